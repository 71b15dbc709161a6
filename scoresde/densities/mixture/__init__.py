"""Gaussian mixtures of every structure of covariance, diffused exactly."""

from scoresde.densities.mixture.mixture import GaussianMixture

__all__ = ["GaussianMixture"]
