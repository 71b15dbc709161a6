"""Measured order of deterministic samplers on a flow that is not linear."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from scoresde.processes import NoiseLevel
from scoresde.samplers import Sampler, sample
from scoresde.verify.exact_flow import flow_of_mixture, relative_error
from scoresde.verify.mixture import MixtureScore
from scoresde.verify.settings import Setting, own_grid, settings
from scoresde.verify.verdict import Check, judge

STEPS = (10, 20, 40, 80, 160, 320, 640, 1280)
FLOOR = 1e-12  # relative; below it an error is rounding
ORDER_BOUND = 0.15
SETTLED, SETTLED_STEPS = 0.03, 160  # three slopes this near, at this many steps
COLD_START = -2.0  # a log SNR where the score bends: from pure noise a cold start costs nothing


def slope(errors: Sequence[float], floor: float = FLOOR) -> float:
    """Order by the last two halvings of the step whose errors stay above the floor.

    `errors` belong to step counts that double. NaN if fewer than three stay above it.
    """
    above = []
    for error in errors:
        if not error > floor:
            break
        above.append(error)
    if len(above) < 3:
        return math.nan
    return math.log2(above[-3] / above[-1]) / 2.0


def errors_by_steps(
    measure: Callable[[int], float],
    steps: Sequence[int] = STEPS,
    floor: float = FLOOR,
    settled: float = 0.0,
) -> list[float]:
    """Errors at doubling step counts, as far as the next would still be above rounding.

    Earlier where the slopes of three halvings have come within `settled` of one another.
    """
    errors: list[float] = []
    for count in steps:
        errors.append(measure(count))
        enough = len(errors) > 2 and errors[-1] ** 2 < floor * errors[-2]
        if enough or not errors[-1] > floor:
            break
        if settled and len(errors) > 3 and count >= SETTLED_STEPS:
            slopes = [math.log2(a / b) for a, b in pairwise(errors[-4:])]
            if max(slopes) - min(slopes) < settled:
                break
    return errors


def ramped(levels: tuple[NoiseLevel, ...], setting: Setting) -> tuple[NoiseLevel, ...]:
    """The grid with its first interval cut at 2^-k of its log SNR, k = 1, 2, ...

    A solver's first steps are then so short that a start of first order costs nothing, and what
    remains is the order it has with an accurate start. Steps grow by no more than a factor of 2.
    """
    first, second = levels[0].log_snr, levels[1].log_snr
    halvings = math.ceil(2.0 * math.log2(len(levels)))
    cuts = [first + (second - first) * 2.0**-k for k in range(halvings, 0, -1)]
    return (levels[0], *(setting.process.at_log_snr(cut) for cut in cuts), *levels[1:])


def error_on_mixture(
    sampler: Sampler, setting: Setting, steps: int, accurate_start: bool = False
) -> float:
    """Relative error of a sampler's final states against the exact flow's."""
    levels = setting.levels(steps, own_grid(sampler))
    if accurate_start:
        levels = ramped(levels, setting)
    x, exact = flow_of_mixture(setting)
    return relative_error(sample(MixtureScore(), sampler, levels, x).x, exact)


def order_checks(
    name: str,
    sampler: Sampler,
    *,
    where: Sequence[Setting] | None = None,
    steps: Sequence[int] = STEPS,
) -> list[Check]:
    """`order_cold` against the slope from the sampler's own start, `order` where it differs.

    Under the first process up to the last step count, where a small term of lower order would
    show; under the others until the slopes have settled. A deterministic sampler with a fixed
    number of evaluations a step has an order: one that declares none fails.
    """
    checks, floor = [], getattr(sampler, "rounding", FLOOR)
    cases = [("order, own start", sampler.order_cold, False, where or settings())]
    if sampler.order != sampler.order_cold:
        cold = [replace(setting, log_snr_min=COLD_START) for setting in where or settings()]
        cases = [
            ("order, own start", sampler.order_cold, False, cold),
            ("order, accurate start", sampler.order, True, where or settings()),
        ]
    for law, declared, accurate, places in cases:
        for place, setting in enumerate(places):
            errors = errors_by_steps(
                lambda n, s=setting, a=accurate: error_on_mixture(sampler, s, n, a),
                steps,
                floor,
                SETTLED if place else 0.0,
            )
            detail = f"error {errors[-1]:.1e} at {steps[len(errors) - 1]} steps"
            if declared is None:
                detail = "declares no order and is neither stochastic nor adaptive; " + detail
            checks.append(
                judge(
                    name, law, setting.title, slope(errors, floor), declared, ORDER_BOUND, detail
                )
            )
    return checks
