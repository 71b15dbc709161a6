"""Exact baselines beside the network: what a fitted density denoises, and how well.

A metric that a fitted Gaussian wins proves nothing, so the network's denoising error on held-out
data stands beside those of classical models that were fitted to the same training split.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.densities import Density
from scoresde.estimators import Estimator
from scoresde.estimators.kde import KernelDensity
from scoresde.estimators.mixture import EM, GMM
from scoresde.kernels import Purpose, normal
from scoresde.processes import NoiseLevel
from scoresde.score import ExactScore, ScoreModel

# share of the median variance; held-out digits are denoised as well as under any floor from 0.001
# to 0.3, within 2 % at every level
MIXTURE_FLOOR = 0.01
BASELINES: dict[str, Estimator] = {
    "Gaussian": GMM(k=1),
    "mixture": GMM(k=10, floor=MIXTURE_FLOOR, method=EM(tolerance=1e-3)),
    "KDE": KernelDensity(),
}


def fitted(
    x: Tensor, names: Iterable[str] = tuple(BASELINES), *, seed: int = 0
) -> dict[str, Density]:
    """The laws of the baselines that are named, fitted to x (n, *event)."""
    return {name: BASELINES[name].fit(x, seed=seed).density for name in names}


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
