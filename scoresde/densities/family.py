"""The family of densities, by name."""

from __future__ import annotations

from scoresde.densities.gaussian import Gaussian
from scoresde.densities.mixture import GaussianMixture
from scoresde.families import Family

DENSITIES = Family("density", {"gaussian": Gaussian, "gaussian-mixture": GaussianMixture})
