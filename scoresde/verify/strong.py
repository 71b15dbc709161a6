"""Strong order: paths, not laws, on one Brownian path a sample whatever the number of steps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor

from scoresde.kernels import BrownianNoise
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
LIMIT_BOUND = 0.04  # of a spread; solvers of strong order 1 lie 0.01 to 0.03 apart here
REFERENCE_STEPS = 1280  # of the exact exponential step


def path_of(sampler: Sampler, setting: Setting, steps: int, grid: str | None = None) -> Tensor:
    """Final states (samples, 2) on the paths of seed 6, from the same starts at any step count."""
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

    Against the exact exponential step (DDIM with eta = 1) on a fine grid, sample by sample.
    """
    setting = settings()[0]
    error = rms(path_of(sampler, setting, LIMIT_STEPS), _fine(setting))
    detail = f"{LIMIT_STEPS} steps, path by path, in units of the samples' spread"
    return [judge(name, "path limit", setting.title, error, 0.0, LIMIT_BOUND, detail)]


@cache
def _fine(setting: Setting) -> Tensor:
    return path_of(DDIM(eta=1.0), setting, REFERENCE_STEPS)
