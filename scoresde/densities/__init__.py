"""Densities whose diffused score is exact: the truth behind the same interface as a network."""

from scoresde.densities.base import Density
from scoresde.densities.family import DENSITIES
from scoresde.densities.gaussian import Gaussian
from scoresde.densities.mixture import GaussianMixture
from scoresde.densities.stored import load, save

__all__ = ["DENSITIES", "Density", "Gaussian", "GaussianMixture", "load", "save"]
