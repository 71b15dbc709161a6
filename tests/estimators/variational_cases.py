"""Problems for variational Bayes: data in clusters, and starts of every structure."""

import numpy as np
import torch

from scoresde.densities import GaussianMixture

STRUCTURES = ["spherical", "diagonal", "tied", "full"]


def draws(seed, n=60, d=3, spread=3.0, clusters=3):
    rng = np.random.default_rng(seed)
    centres = spread * rng.standard_normal((clusters, d))
    return torch.from_numpy(centres[np.arange(n) % clusters] + rng.standard_normal((n, d)))


def start(x, k, structure, seed=0, scale=1.0):
    """Means at data, the common covariance that of the data, scaled."""
    rng = np.random.default_rng(seed)
    x = x.reshape(len(x), -1).double()
    cov = scale * torch.cov(x.T).reshape(x.shape[1], -1)
    own = {
        "spherical": cov.trace().expand(k) / len(cov),
        "diagonal": cov.diagonal().expand(k, -1),
        "tied": cov,
        "full": cov.expand(k, -1, -1),
    }
    means = x[rng.choice(len(x), k, replace=False)]
    return GaussianMixture(means=means, covariances=own[structure], structure=structure)
