"""The law of a sampler's output on Gaussian targets: by references, by limits, by weak order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from scoresde.samplers import Sampler
from scoresde.verify.gaussian import Normals, moments, targets
from scoresde.verify.order import SETTLED, errors_by_steps, slope
from scoresde.verify.references import REFERENCES
from scoresde.verify.settings import Setting, own_grid, settings
from scoresde.verify.verdict import Check, judge, worst_of

REFERENCE_BOUND = 1e-10
REFERENCE_GRIDS = ((9, "uniform-log-snr", "min"), (8, "karras", "clean"))
WEAK_STEPS = (20, 40, 80, 160, 320, 640)
WEAK_BOUND = 0.2
WEAK_FLOOR = 1e-11  # variances at sigma = 50 carry a rounding of 1e-13 through 640 steps
LIMIT_STEPS = (160, 320)
LIMIT_BOUND = 0.01


def displaced(law: Normals, level) -> Normals:
    """A start that is not the process's own, so that no coefficient is multiplied by 0."""
    exact = law.diffused(level)
    return Normals(exact.mean + 0.5 * level.scale, 1.3 * exact.variance)


def reference_checks(
    name: str, sampler: Sampler, reference: Callable | None = None
) -> list[Check]:
    """Exact moments against the member's own recursion, written from its paper."""
    reference = reference or REFERENCES[type(sampler)]
    law, checks = targets(), []
    for setting in settings():
        differences = []
        for steps, grid, final in REFERENCE_GRIDS:
            levels = setting.levels(steps, grid, final)
            first = displaced(law, levels[0])
            expected = reference(sampler, setting.process, levels, law, first)
            if expected is None:
                continue
            got = moments(sampler, levels, law, first)
            differences.append(_difference(got, expected))
        if differences:
            worst = worst_of(differences)
            detail = f"mean and variance of {len(differences)} grids, independent coefficients"
            checks.append(
                judge(name, "gaussian law", setting.title, worst, 0.0, REFERENCE_BOUND, detail)
            )
    return checks


def _difference(got: Normals, expected: Normals) -> float:
    """As `Normals.distance`; means relative to their own size where they are large."""
    size = np.maximum(np.sqrt(expected.variance), np.abs(expected.mean))
    mean = np.abs(got.mean - expected.mean) / size
    return worst_of([mean, np.abs(got.variance / expected.variance - 1.0)])


def on_normals(sampler: Sampler, setting: Setting, steps: int) -> tuple[Normals, Normals]:
    """(the output's law from the exact start, the exact law N(alpha m, alpha^2 v + sigma^2))."""
    law = targets()
    levels = setting.levels(steps, own_grid(sampler))
    got = moments(sampler, levels, law, law.diffused(levels[0]))
    return got, law.diffused(levels[-1])


def error_on_normals(sampler: Sampler, setting: Setting, steps: int) -> float:
    got, exact = on_normals(sampler, setting, steps)
    return got.distance(exact)


def weak_order_checks(
    name: str,
    sampler: Sampler,
    *,
    where: Sequence[Setting] | None = None,
    steps: Sequence[int] = WEAK_STEPS,
) -> list[Check]:
    """`weak_order` against the slope of the moments' error; no Monte Carlo."""
    checks, floor = [], max(WEAK_FLOOR, getattr(sampler, "rounding", 0.0))
    for place, setting in enumerate(where or settings()):
        errors = errors_by_steps(
            lambda n, s=setting: error_on_normals(sampler, s, n),
            steps,
            floor,
            SETTLED if place else 0.0,
        )
        measured = slope(errors, floor)
        detail = f"error of the moments {errors[-1]:.1e} at {steps[len(errors) - 1]} steps"
        checks.append(
            judge(
                name, "weak order", setting.title, measured, sampler.weak_order, WEAK_BOUND, detail
            )
        )
    return checks


def limit_checks(
    name: str, sampler: Sampler, *, where: Sequence[Setting] | None = None
) -> list[Check]:
    """The law that many steps lead to, for samplers without an order or without a reference.

    Moments at N and 2 N steps, extrapolated to none missing: 2 m_2N - m_N.
    """
    few, many = LIMIT_STEPS
    reason = "it has no order" if type(sampler) in REFERENCES else "no independent coefficients"
    checks = []
    for setting in where or settings():
        (coarse, exact), (fine, _) = (on_normals(sampler, setting, n) for n in LIMIT_STEPS)
        limit = Normals(2.0 * fine.mean - coarse.mean, 2.0 * fine.variance - coarse.variance)
        detail = (
            f"{coarse.distance(exact):.1e} at {few}, {fine.distance(exact):.1e} at {many} steps, "
            f"extrapolated; {reason}"
        )
        error = limit.distance(exact)
        checks.append(judge(name, "limit law", setting.title, error, 0.0, LIMIT_BOUND, detail))
    return checks
