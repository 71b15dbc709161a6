"""Densities whose diffused score is exact: the truth behind the same interface as a network."""

from scoresde.densities.base import Density
from scoresde.densities.gaussian import Gaussian
from scoresde.densities.mixture import GaussianMixture
from scoresde.families import Family

DENSITIES = Family("density", {"gaussian": Gaussian, "gaussian-mixture": GaussianMixture})

__all__ = ["DENSITIES", "Density", "Gaussian", "GaussianMixture"]
