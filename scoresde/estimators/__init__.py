"""Classical models by one verb, `fit`: each leaves an exact law and a baseline for a network."""

from scoresde.estimators.base import Estimator, Fitted, NotFittedError
from scoresde.estimators.family import ESTIMATORS
from scoresde.estimators.kde import KernelDensity, KernelDensityModel
from scoresde.estimators.kmeans.estimator import KMeans, KMeansModel
from scoresde.estimators.kmedoids.estimator import KMedoids, KMedoidsModel
from scoresde.estimators.mixture import (
    EM,
    GMM,
    METHODS,
    GradientAscent,
    MixtureFit,
)
from scoresde.estimators.pca import PCA, PCAModel
from scoresde.estimators.ppca import PPCA, PPCAModel
from scoresde.estimators.stored import load, save

__all__ = [
    "EM",
    "ESTIMATORS",
    "GMM",
    "METHODS",
    "PCA",
    "PPCA",
    "Estimator",
    "Fitted",
    "GradientAscent",
    "KMeans",
    "KMeansModel",
    "KMedoids",
    "KMedoidsModel",
    "KernelDensity",
    "KernelDensityModel",
    "MixtureFit",
    "NotFittedError",
    "PCAModel",
    "PPCAModel",
    "load",
    "save",
]
