"""The densities that every law of densities is held to: a member adds a line to CASES."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from scoresde.densities import (
    KDE,
    Affine,
    Conditioned,
    Gaussian,
    GaussianMixture,
    MixtureOf,
    Product,
    Stored,
    save,
)

RNG = np.random.default_rng(11)


def covariance(d: int) -> np.ndarray:
    root = RNG.standard_normal((d, d))
    return root @ root.T / d + 0.1 * np.eye(d)


MEANS = RNG.standard_normal((4, 3)) * 2.0
WEIGHTS = [0.1, 0.4, 0.3, 0.2]
FACTOR = RNG.standard_normal((3, 2))
FACTORS = np.random.default_rng(12).standard_normal((4, 3, 2))
SHARED = FACTOR @ FACTOR.T + 0.1 * np.eye(3)
CASES = {
    "full gaussian": Gaussian(mean=MEANS[0], covariance=covariance(3)),
    "low-rank gaussian": Gaussian(mean=MEANS[1], factor=FACTOR, variance=0.05),
    "image gaussian": Gaussian(
        mean=np.arange(6.0).reshape(1, 2, 3) / 6, factor=RNG.standard_normal((6, 2)), variance=0.1
    ),
    "spherical mixture": GaussianMixture(
        means=MEANS, covariances=[0.1, 0.5, 1.0, 0.02], weights=WEIGHTS
    ),
    "diagonal mixture": GaussianMixture(
        means=MEANS, covariances=RNG.uniform(0.05, 1.0, (4, 3)), weights=WEIGHTS
    ),
    "full mixture": GaussianMixture(
        means=MEANS, covariances=np.stack([covariance(3) for _ in range(4)]), weights=WEIGHTS
    ),
    "tied mixture": GaussianMixture(
        means=MEANS, covariances=SHARED, weights=WEIGHTS, structure="tied"
    ),
    "low-rank mixture": GaussianMixture(
        means=MEANS, factors=FACTORS, variances=[0.1, 0.5, 1.0, 0.02], weights=WEIGHTS
    ),
    "kernel density estimate": KDE(points=MEANS, bandwidth=0.4, weights=WEIGHTS),
}
TURN = np.linalg.qr(RNG.standard_normal((3, 3)))[0]
CASES |= {
    "mixture of parts": MixtureOf(
        parts=(CASES["full mixture"], CASES["low-rank gaussian"], CASES["full gaussian"]),
        weights=[0.5, 2.0, 0.0],
    ),
    "product": Product(parts=(CASES["low-rank gaussian"], CASES["diagonal mixture"])),
    "product as an image": Product(
        parts=(CASES["full gaussian"], CASES["spherical mixture"]), event_shape=(1, 2, 3)
    ),
}
CASES |= {
    "affine mixture": Affine(
        base=CASES["spherical mixture"], scale=[1.0, 0.5, 2.0], matrix=TURN, shift=1.0
    ),
    "similar mixture of parts": Affine(
        base=CASES["mixture of parts"], scale=0.4, matrix=TURN, shift=[1.0, 2.0, 3.0]
    ),
    "similar product": Affine(base=CASES["product"], scale=[2, -2, 2, 2, -2, 2], shift=0.5),
    "conditioned mixture": Conditioned(
        base=CASES["diagonal mixture"], matrix=[[1.0, 2.0, 0.0]], y=[0.5], noise=0.3
    ),
}
FOLDER = tempfile.TemporaryDirectory()
save(Path(FOLDER.name) / "mixture.safetensors", CASES["full mixture"])
CASES["stored mixture"] = Stored(path=f"{FOLDER.name}/mixture.safetensors")
LEVELS = [(1.0, 0.0), (0.999, 0.0447), (0.6, 0.8), (0.01, 0.99995), (0.0, 1.0), (1.0, 30.0)]


def parts(density) -> list[tuple[float, np.ndarray, np.ndarray]] | None:
    """(weight, mean, dense covariance) of every component; None for other laws."""
    if isinstance(density, Gaussian):
        return [(1.0, density.mean.numpy(), density.covariance.numpy())]
    if isinstance(density, KDE):
        weights, spread = density.weights.numpy(), density.bandwidth**2 * np.eye(density.dim)
        return [(w, m, spread) for w, m in zip(weights, density.points.numpy(), strict=True)]
    if not isinstance(density, GaussianMixture):
        return None
    return list(
        zip(
            density.weights.numpy(),
            density.means.numpy(),
            density.covariance_matrices().numpy(),
            strict=True,
        )
    )


GAUSSIAN_PARTS = [name for name in CASES if parts(CASES[name]) is not None]
EVERY = pytest.mark.parametrize("case", CASES)
OF_PARTS = pytest.mark.parametrize("case", GAUSSIAN_PARTS)
AT = pytest.mark.parametrize("level", LEVELS, ids=str)


def states(density, alpha: float, sigma: float, n: int = 16) -> torch.Tensor:
    """Draws of the diffused law."""
    rng = torch.Generator().manual_seed(5)
    eps = torch.randn(n, *density.event_shape, generator=rng, dtype=torch.float64)
    return alpha * density.sample(torch.arange(n), 3) + sigma * eps
