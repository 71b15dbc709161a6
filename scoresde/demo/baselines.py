"""Exact baselines beside the network: what a fitted density denoises, and how well.

A metric that a fitted Gaussian wins proves nothing, so the network's denoising error on held-out
data stands beside that of the best Gaussian and the best kernel density estimate of the same
training split.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.densities import Density, Gaussian, GaussianMixture
from scoresde.kernels import Purpose, normal
from scoresde.processes import NoiseLevel
from scoresde.score import ExactScore, ScoreModel

BANDWIDTHS = torch.logspace(-2.5, 0.5, 61, dtype=torch.float64)


def fit_gaussian(x: Tensor) -> Gaussian:
    """Mean and full covariance of x (n, *event), by maximum likelihood."""
    flat = x.double().flatten(1)
    mean = flat.mean(0)
    centred = flat - mean
    covariance = centred.T @ centred / len(flat)
    return Gaussian(mean=mean, covariance=covariance, event_shape=tuple(x.shape[1:]))


def fit_kde(x: Tensor) -> GaussianMixture:
    """Spherical kernels on x (n, *event), the bandwidth by leave-one-out likelihood on a grid.

    The likelihood is taken over the first 1,500 data, each left out of all the others.
    """
    flat = x.double().flatten(1)
    n, d = flat.shape
    square = torch.cdist(flat[:1500], flat).square().fill_diagonal_(math.inf)

    def left_out(h: Tensor) -> Tensor:
        kernels = torch.logsumexp(-0.5 * square / h**2, dim=1)
        return kernels.mean() - d * h.log()

    best = BANDWIDTHS[torch.stack([left_out(h) for h in BANDWIDTHS]).argmax()]
    variances = torch.full((n,), float(best**2), dtype=torch.float64)
    return GaussianMixture(means=flat, covariances=variances, event_shape=tuple(x.shape[1:]))


@dataclass(frozen=True)
class DenoisingRow:
    """Held-out x0-MSE at one noise level: network, baselines, and the paired difference."""

    sigma: float
    network: float
    baselines: dict[str, float]
    best: str
    advantage: float  # best baseline minus network
    standard_error: float  # of the advantage, paired by test datum

    @property
    def in_errors(self) -> float:
        """The advantage in paired standard errors."""
        return self.advantage / self.standard_error


def denoising_errors(
    model: ScoreModel,
    baselines: dict[str, Density],
    test: Tensor,
    sigmas: tuple[float, ...],
    *,
    repeats: int = 8,
    seed: int = 0,
) -> list[DenoisingRow]:
    """E|x0_hat(x + sigma eps) - x|^2 a dimension, over test data (m, *event) and `repeats` noises.

    Every model sees the same noise, so differences are paired; repeats of one datum are averaged
    before the standard error is taken over data.
    """
    models = {"network": model, **{name: ExactScore(d) for name, d in baselines.items()}}
    return [_row(models, test, sigma, repeats, seed) for sigma in sigmas]


def _row(models, test: Tensor, sigma: float, repeats: int, seed: int) -> DenoisingRow:
    level = NoiseLevel(t=math.nan, alpha=1.0, sigma=sigma)
    x = test.repeat(repeats, *[1] * (test.ndim - 1))
    eps = normal(seed, Purpose.VALIDATE, 0, torch.arange(len(x)), tuple(test.shape[1:]))
    z = x + sigma * eps.to(x.dtype)
    errors = {}
    with torch.no_grad():
        for name, model in models.items():
            x0 = torch.cat([model.predict(part, level, "x0") for part in z.split(720)])
            per_draw = (x0 - x).double().square().flatten(1).mean(1)
            errors[name] = per_draw.reshape(repeats, -1).mean(0)
    network = errors.pop("network")
    best = min(errors, key=lambda name: float(errors[name].mean()))
    gain = errors[best] - network
    return DenoisingRow(
        sigma,
        float(network.mean()),
        {name: float(e.mean()) for name, e in errors.items()},
        best,
        float(gain.mean()),
        float(gain.std() / math.sqrt(len(gain))),
    )
