"""Strong order: paths, not laws, on one Brownian path a sample whatever the number of steps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor

from scoresde.samplers import DDIM, Sampler, sample, start
from scoresde.verify.mixture import MixtureScore
from scoresde.verify.order import slope
from scoresde.verify.settings import Setting, own_grid, settings
from scoresde.verify.verdict import Check, judge

ONE_LIMIT = (
    "ancestral",
    "ancestral(variance=forward)",
    "ddim(eta=1)",
    "euler-maruyama",
    "euler-ancestral",
    "dpm-2-ancestral",
    "dpmpp-2s-ancestral",
    "dpmpp-sde",
    "dpmpp-2m-sde",
    "dpmpp-3m-sde",
    "sa-solver",
    "seeds",
    "stochastic-runge-kutta",
)
"""Solvers of the reverse SDE with eta = 1: on one path they have one limit."""
SAMPLES = 192
STEPS = (40, 80, 160, 320)  # successive differences, so three slopes' worth of errors
STRONG_BOUND = 0.25
LIMIT_STEPS = 320
LIMIT_BOUND = 0.02
REFERENCE_STEPS = 1280  # of the exact exponential step


def path_of(sampler: Sampler, setting: Setting, steps: int, grid: str | None = None) -> Tensor:
    """Final states (samples, 2) on the paths of seed 6, from the same starts at any step count."""
    from scoresde.kernels import BrownianNoise

    levels = setting.levels(steps, grid or own_grid(sampler))
    ids, noise = torch.arange(SAMPLES), BrownianNoise(6)
    x = start(levels[0], noise, ids, (2,))
    return sample(MixtureScore(), sampler, levels, x, noise, ids=ids).x


def rms(x: Tensor, y: Tensor) -> float:
    """Root mean square over the samples of the distance, in units of their spread."""
    return float((x - y).norm() / (y - y.mean(0)).norm())


def strong_order_checks(
    name: str,
    sampler: Sampler,
    *,
    where: Sequence[Setting] | None = None,
    steps: Sequence[int] = STEPS,
) -> list[Check]:
    """`strong_order` against the slope of sqrt(E |x_N - x_2N|^2), the path held fixed.

    The differences of a method of strong order p fall as N^-p. The bound is wider than that of
    other orders: at these step counts the slope of a correct method still moves by 0.1.
    """
    checks = []
    for setting in where or settings()[:1]:
        states = [path_of(sampler, setting, n) for n in steps]
        differences = [rms(a, b) for a, b in pairwise(states)]
        detail = (
            f"paths of {SAMPLES} samples; {differences[-1]:.1e} from {steps[-2]} to {steps[-1]}"
        )
        checks.append(
            judge(
                name,
                "strong order",
                setting.title,
                slope(differences),
                sampler.strong_order,
                STRONG_BOUND,
                detail,
            )
        )
    return checks


def path_limit_checks(name: str, sampler: Sampler) -> list[Check]:
    """Samplers of the reverse SDE reach one and the same sample on one path, not only its law.

    Against the exact exponential step (DDIM with eta = 1) on a fine grid, sample by sample; by
    extrapolation from N and 2 N steps for the linear part of the error.
    """
    setting = settings()[0]
    fine = _fine(setting)
    coarse, better = (path_of(sampler, setting, n) for n in (LIMIT_STEPS // 2, LIMIT_STEPS))
    error = rms(2.0 * better - coarse, fine)
    detail = f"{rms(better, fine):.1e} at {LIMIT_STEPS} steps, extrapolated; path by path"
    return [judge(name, "path limit", setting.title, error, 0.0, LIMIT_BOUND, detail)]


@cache
def _fine(setting: Setting) -> Tensor:
    coarse, better = (path_of(DDIM(eta=1.0), setting, REFERENCE_STEPS // n) for n in (2, 1))
    return 2.0 * better - coarse
