"""The densities that a file can hold, by name."""

from __future__ import annotations

from scoresde.densities.affine import Affine
from scoresde.densities.conditioned import Conditioned
from scoresde.densities.gaussian import Gaussian
from scoresde.densities.kde import KDE
from scoresde.densities.mixture import GaussianMixture
from scoresde.densities.mixture_of import MixtureOf
from scoresde.densities.product import Product
from scoresde.families import Family

PACKABLE = Family(
    "density",
    {
        "gaussian": Gaussian,
        "gaussian-mixture": GaussianMixture,
        "kde": KDE,
        "mixture": MixtureOf,
        "product": Product,
        "affine": Affine,
        "conditioned": Conditioned,
    },
)
