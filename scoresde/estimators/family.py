"""The family of estimators, by name."""

from __future__ import annotations

from scoresde.estimators.kde import KernelDensity
from scoresde.estimators.kmeans.estimator import KMeans
from scoresde.estimators.kmedoids.estimator import KMedoids
from scoresde.estimators.mixture.gmm import GMM
from scoresde.estimators.pca import PCA
from scoresde.estimators.ppca import PPCA
from scoresde.families import Family

ESTIMATORS = Family(
    "estimator",
    {
        "gmm": GMM,
        "kde": KernelDensity,
        "kmeans": KMeans,
        "kmedoids": KMedoids,
        "pca": PCA,
        "ppca": PPCA,
    },
)
