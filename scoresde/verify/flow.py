"""Solvers that choose their own steps: the flow itself, from pure noise to a positive sigma."""

from __future__ import annotations

import torch

from scoresde.errors import OptionError
from scoresde.samplers import FlowSampler, Sampler, sample
from scoresde.verify.evaluations import DOMAIN_BOUND, CountingScore
from scoresde.verify.exact_flow import flow_of_mixture, relative_error
from scoresde.verify.gaussian import NormalScore, targets
from scoresde.verify.mixture import MixtureScore
from scoresde.verify.per_sample import at_tolerance
from scoresde.verify.settings import (
    ends_of,
    settings,
    settings_from_noise,
)
from scoresde.verify.verdict import Check, judge

FLOW_BOUND = 1e-6
FIXED_STEPS = 160  # for methods that step along the grid
TIGHT = 1e-7  # the tolerance of solvers whose own is meant for pictures


def tightened(sampler: Sampler) -> tuple[Sampler, str]:
    """(the sampler with tolerances of 1e-7 where its own are larger, that in words)."""
    if (getattr(sampler, "rtol", None) or 0.0) <= TIGHT:
        return sampler, ""
    return at_tolerance(sampler, TIGHT), f" at tolerance {TIGHT:g}"


def flow_checks(name: str, sampler: Sampler) -> list[Check]:
    """Within 1e-6 of DOP853 on a mixture, on the stated settings and from alpha = 0.

    A solver whose default tolerance is coarse is judged at 1e-7. One that does not work in phi
    may decline to start at alpha = 0, by `OptionError`.
    """
    checks, outside = [], 0.0
    sampler, at = tightened(sampler)
    steps = 1 if sampler.evaluations is None else FIXED_STEPS
    for setting in (*settings(), *settings_from_noise()):
        levels = setting.levels(steps)
        from_noise = levels[0].alpha == 0.0
        x, exact = flow_of_mixture(setting)
        model = CountingScore(MixtureScore())
        try:
            got = sample(model, sampler, levels, x).x
        except OptionError:
            if from_noise and not isinstance(sampler, FlowSampler):
                continue
            raise
        title = setting.title + (" from alpha = 0" if from_noise else "")
        detail = f"{model.rows / len(x):.0f} evaluations a sample{at}"
        error = relative_error(got, exact)
        checks.append(judge(name, "flow", title, error, 0.0, FLOW_BOUND, detail))
        low, high = ends_of(levels)
        outside = max(outside, low - model.lowest, model.highest - high)
    detail = "distance in phi beyond the grid's ends, alpha = 0 among them"
    checks.append(judge(name, "domain", "all of these", outside, 0.0, DOMAIN_BOUND, detail))
    return checks


def gaussian_flow_checks(name: str, sampler: Sampler) -> list[Check]:
    r"""z_s = alpha_s m + sqrt(V_s/V_t) (z_t - alpha_t m), V = alpha^2 v + sigma^2: no ODE solver.

    The flow between Gaussians in closed form, for solvers whose steps depend on the state and
    whose moments follow no recursion.
    """
    law, checks = targets(), []
    sampler, at = tightened(sampler)
    for setting in settings():
        first, last = setting.levels(1)
        before, after = law.diffused(first), law.diffused(last)
        offsets = torch.tensor([[-1.5], [0.2], [2.0]], dtype=torch.float64)
        mean, spread = torch.from_numpy(before.mean), torch.from_numpy(before.variance).sqrt()
        got = sample(NormalScore(law), sampler, (first, last), mean + offsets * spread).x
        spread = torch.from_numpy(after.variance).sqrt()
        error = float(((got - torch.from_numpy(after.mean)) / spread - offsets).abs().max())
        checks.append(
            judge(name, "gaussian law", setting.title, error, 0.0, FLOW_BOUND, f"flow{at}")
        )
    return checks
