"""The law of many samples on a mixture: where a solver must be right and no recursion tells."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from scoresde.kernels import Noise, Purpose, normal, uniform
from scoresde.processes import NoiseLevel
from scoresde.samplers import Sampler, sample
from scoresde.verify.mixture import MixtureScore
from scoresde.verify.settings import Setting, own_grid, settings
from scoresde.verify.verdict import Check, judge

SAMPLES = 3000
STANDARD_ERRORS = 4.0
ENTRIES = ("mean 0", "mean 1", "variance 0", "covariance", "variance 1", "weight 0", "weight 1")
FEW, MANY = 80, 400  # steps of methods of second order or more, and of the rest


@cache
def exact_states(setting: Setting) -> tuple[NoiseLevel, Tensor]:
    """(the first level, draws of the mixture's exact law there), (samples, 2) float64."""
    model, ids = MixtureScore(), torch.arange(SAMPLES)
    (first, _) = setting.levels(1)
    u = uniform(12, Purpose.DATA, 0, ids, (1,))
    k = (u > model.log_weights.exp().cumsum(0)[:-1]).sum(1)
    z = normal(12, Purpose.DATA, 1, ids, (2,))
    data = model.means[k] + model.variances[k].sqrt()[:, None] * z
    return first, first.alpha * data + first.sigma * normal(12, Purpose.DATA, 2, ids, (2,))


def statistics(x: Tensor, level: NoiseLevel) -> tuple[Tensor, Tensor]:
    """(the seven entries' values for each sample (n, 7), their exact expectations (7,)).

    First and second moments, and the responsibilities of two components, whose expectations are
    the components' weights.
    """
    model = MixtureScore()
    weights = model.log_weights.exp()
    mean = level.alpha * (weights @ model.means)
    off = level.alpha * model.means - mean
    spread = level.alpha**2 * model.variances + level.sigma**2
    covariance = (weights[:, None] * off).T @ off + (weights @ spread) * torch.eye(2).double()
    y = x - mean
    r = model._parts(x, level)[1].softmax(-1)
    columns = [x[:, 0], x[:, 1], y[:, 0] ** 2, y[:, 0] * y[:, 1], y[:, 1] ** 2, r[:, 0], r[:, 1]]
    exact = [*mean, covariance[0, 0], covariance[0, 1], covariance[1, 1], *weights[:2]]
    return torch.stack(columns, dim=1), torch.stack([torch.as_tensor(e) for e in exact])


def steps_for(sampler: Sampler) -> int:
    """So many that the sampler's own error is far below a standard error."""
    best = max(sampler.order_cold or 0, sampler.weak_order or 0)
    return FEW if best > 1 else MANY


def mixture_law_checks(
    name: str, sampler: Sampler, *, where: Setting | None = None
) -> list[Check]:
    """Mean, covariance and weights of 3,000 samples, each within 4 standard errors of the truth.

    From exact draws at the first level to sigma > 0. Held together by Bonferroni: seven entries at
    4 standard errors fail a perfect sampler once in 2,000 seeds. Measured is the worst entry.
    """
    setting = where or settings()[0]
    _, x = exact_states(setting)
    adaptive = sampler.evaluations is None and not sampler.stochastic
    levels = setting.levels(1 if adaptive else steps_for(sampler), own_grid(sampler))
    out = sample(MixtureScore(), sampler, levels, x, Noise(13)).x
    values, exact = statistics(out, levels[-1])
    off = (values.mean(0) - exact) / (values.std(0) / math.sqrt(len(values)))
    worst = int(off.abs().argmax())
    if not bool(torch.isfinite(off).all()):
        return [judge(name, "mixture law", setting.title, math.nan, 0.0, STANDARD_ERRORS)]
    detail = f"{ENTRIES[worst]}, in standard errors of {SAMPLES} samples"
    return [
        judge(name, "mixture law", setting.title, float(off[worst]), 0.0, STANDARD_ERRORS, detail)
    ]
