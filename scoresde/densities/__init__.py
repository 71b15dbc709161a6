"""Densities whose diffused score is exact: the truth behind the same interface as a network."""

from scoresde.densities.affine import Affine, affine
from scoresde.densities.base import Density
from scoresde.densities.conditioned import Conditioned, condition, log_evidence
from scoresde.densities.family import DENSITIES
from scoresde.densities.from_file import Stored
from scoresde.densities.gaussian import Gaussian
from scoresde.densities.kde import KDE, FarFromDataWarning
from scoresde.densities.mixture import GaussianMixture
from scoresde.densities.mixture_of import MixtureOf
from scoresde.densities.product import Product
from scoresde.densities.stored import load, save

__all__ = [
    "DENSITIES",
    "KDE",
    "Affine",
    "Conditioned",
    "Density",
    "FarFromDataWarning",
    "Gaussian",
    "GaussianMixture",
    "MixtureOf",
    "Product",
    "Stored",
    "affine",
    "condition",
    "load",
    "log_evidence",
    "save",
]
