r"""Samplers that claim no order: the law that they must leave in place all the same.

Three laws, on Gaussians N(m, v):

- `limit law`: from the exact law at the first level, many steps lead to the exact law at the last.
  Exact moments by impulses where the sampler is affine.
- `limit law, drawn`: the same by Monte Carlo where it is not, a step size that depends on the
  state, say. An event holds many independent coordinates, as an image does.
- `law in place`: a predictor-corrector's corrector alone, at one level, must reach its known
  stationary variance, with d = 2 r^2 sigma^2 for `annealed-langevin` and d = 2 r^2 dim/|score|^2
  for `langevin` (in the limit of many coordinates, where |score|^2/dim = q/v^2 at a variance q):

      v/(1 - r^2 sigma^2/v)   and   v (1 + r^2).

  r is so large that a step or a noise of the wrong size, both wrong alike included, shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.processes import NoiseLevel
from scoresde.samplers import GridSampler, PredictorCorrector, Restart, Sampler, sample
from scoresde.samplers.plan import Apply
from scoresde.verify.gaussian import Normals, NormalScore, targets
from scoresde.verify.gaussian_law import LIMIT_BOUND, limit_checks
from scoresde.verify.settings import Setting, own_grid, settings
from scoresde.verify.verdict import Check, judge

STANDARD_ERRORS = 4.0
DRAWN_STEPS = 400  # reverse diffusion is then 0.02 off a variance, half a bound
EVENTS, COORDINATES = 8, 1024  # of each target
SMALL_SNR = 0.04  # the corrector's own bias is then 0.16 per cent of the variance, or 3 times it
PLACE_EVENTS, PLACE_COORDINATES = 16, 1024
PLACE_SNR, PLACE_CORRECTIONS = 0.3, 40  # in place and again a hair below: 80 steps of rate 0.36
PLACE_VARIANCE, PLACE_LOG_SNR = 0.0625, -1.0
PLACE_BIAS = 0.003  # 2/dim, and what the fluctuation of |score|^2 adds
INNER = 48  # how many times finer a restart's own grid is, for the limit


def invariant_checks(
    name: str, sampler: Sampler, *, where: Sequence[Setting] | None = None
) -> list[Check]:
    """The law in the limit of many steps, and in place for a sampler with a corrector."""
    where = where or settings()
    checks = limit_law_checks(name, sampler, where)
    if isinstance(sampler, PredictorCorrector) and sampler.corrector != "none":
        checks += [in_place_check(name, sampler, setting) for setting in where]
    return checks


def limit_law_checks(name: str, sampler: Sampler, where: Sequence[Setting]) -> list[Check]:
    """By exact moments, or drawn if the sampler is not affine."""
    if isinstance(sampler, Restart):  # its law is exact only as its inner grids grow fine too
        finer = [(INNER * (n - 1) + 1, *rest) for n, *rest in sampler.intervals]
        sampler = replace(sampler, intervals=tuple(finer))
    if not _has_functions(sampler, where[0]):
        try:
            return limit_checks(name, sampler, where=where)
        except OptionError as error:  # a run that clips or adapts shows only when run
            if "not affine" not in str(error):
                raise
    return [drawn_check(name, sampler, setting) for setting in where]


def _has_functions(sampler: Sampler, setting: Setting) -> bool:
    if not isinstance(sampler, GridSampler):
        return False
    plan = sampler.plan(setting.levels(4, own_grid(sampler)))
    return any(isinstance(op, Apply) for p in plan.programs for op in p.instructions)


class Crowd(NormalScore):
    """Events (laws, coordinates): independent copies of each Gaussian."""

    def __init__(self, law: Normals, coordinates: int):
        super().__init__(
            Normals(*(np.repeat(v[:, None], coordinates, 1) for v in (law.mean, law.variance)))
        )


def quick_noise(step: int, purpose: int, ids: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Standard normals of a key for one batch as a whole: not the house's noise, but fast."""
    rng = np.random.default_rng([int(step), int(purpose)])
    return torch.from_numpy(rng.standard_normal((len(ids), *shape)))


def drawn_check(name: str, sampler: Sampler, setting: Setting) -> Check:
    """Means, variances and neighbours' covariances of 8,192 draws a target.

    Within 4 standard errors and a bias of `LIMIT_BOUND`; nine entries a process, so a right
    sampler fails once in 1,700 seeds (Bonferroni), and the seed is fixed. A corrector takes short
    steps here, and is judged at its own length in place.
    """
    if isinstance(sampler, PredictorCorrector):
        sampler = replace(sampler, snr=min(sampler.snr, SMALL_SNR))
    levels = setting.levels(DRAWN_STEPS, own_grid(sampler))
    law = targets()
    z = _run(sampler, levels, law, EVENTS, COORDINATES)
    off = _standard_errors(z, 1.0, LIMIT_BOUND)
    detail = (
        f"worst of means, variances and covariances at {DRAWN_STEPS} steps, in standard errors, "
        f"a bias of {LIMIT_BOUND:g} granted"
    )
    return judge(name, "limit law, drawn", setting.title, off, 0.0, STANDARD_ERRORS, detail)


def in_place_check(name: str, sampler: PredictorCorrector, setting: Setting) -> Check:
    """The corrector's stationary law at a level, drawn, against its closed form."""
    corrector = {"snr": PLACE_SNR, "corrections": PLACE_CORRECTIONS}
    no_predictor = {"predictor": "none", "denoise": True, "last": "posterior-mean"}
    alone = replace(sampler, **corrector, **no_predictor)
    level, near = (setting.process.at_log_snr(PLACE_LOG_SNR + d) for d in (0.0, 1e-9))
    law = Normals(np.array([0.5]), np.array([PLACE_VARIANCE]))
    v = float(law.diffused(level).variance[0])
    if sampler.corrector == "langevin":
        expected = 1.0 + PLACE_SNR**2
    else:
        expected = 1.0 / (1.0 - (PLACE_SNR * level.sigma) ** 2 / v)
    z = _run(alone, (level, near), law, PLACE_EVENTS, PLACE_COORDINATES)
    off = _standard_errors(z, expected, PLACE_BIAS)
    detail = (
        f"variance {float(z.var()):.4f} of its law's for {expected:.4f} at snr {PLACE_SNR:g}; "
        "in standard errors"
    )
    return judge(name, "law in place", setting.title, off, 0.0, STANDARD_ERRORS, detail)


def _run(
    sampler: Sampler, levels: Sequence[NoiseLevel], law: Normals, events: int, coordinates: int
) -> Tensor:
    """End states (laws, events, coordinates), less the exact mean, in units of the exact sd."""
    model, ids = Crowd(law, coordinates), torch.arange(events)

    def standardised(level: NoiseLevel) -> tuple[Tensor, Tensor]:
        exact = law.diffused(level)
        return torch.from_numpy(exact.mean)[:, None], torch.from_numpy(exact.variance**0.5)[
            :, None
        ]

    mean, sd = standardised(levels[0])
    x = mean + sd * quick_noise(0, 255, ids, model.event_shape)
    out = sample(model, sampler, levels, x, quick_noise).x
    mean, sd = standardised(levels[-1])
    return ((out - mean) / sd).transpose(0, 1)


def _standard_errors(z: Tensor, variance: float, bias: float) -> float:
    """The worst entry's distance in standard errors, each with a quarter of a bias added to it."""
    n = z[0].numel()
    mean = z.mean((1, 2)) / math.sqrt(variance)
    spread = z.square().mean((1, 2)) / variance - 1.0
    beside = (z[..., 1:] * z[..., :-1]).mean((1, 2)) / variance
    errors = []
    for entry, standard_error in ((mean, 1.0), (spread, math.sqrt(2.0)), (beside, 1.0)):
        granted = standard_error / math.sqrt(n) + bias / STANDARD_ERRORS
        errors.append(entry / granted)
    worst = torch.stack(errors).ravel()
    return float(worst[worst.abs().argmax()]) if bool(worst.isfinite().all()) else math.nan
