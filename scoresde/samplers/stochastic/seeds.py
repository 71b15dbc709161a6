"""SEEDS."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import hyp1f1

from scoresde.errors import OptionError
from scoresde.processes import NoiseLevel
from scoresde.samplers.base import GridSampler
from scoresde.samplers.levels import at_log_snr
from scoresde.samplers.plan import Term
from scoresde.samplers.stochastic.adams import lambda_step

FRACTIONS = {1: (), 2: (0.5,), 3: (1.0 / 3.0, 2.0 / 3.0)}  # of the step in lambda


@dataclass(frozen=True, kw_only=True)
class SEEDS(GridSampler):
    r"""x_s = (alpha_s/alpha_t) x - 2 sigma_s (e^h - 1) eps + sigma_s sqrt(e^{2h} - 1) z.

    Exponential Runge-Kutta on the reverse SDE with eps, in lambda = log(alpha/sigma), h =
    lambda_s - lambda_t, of 1, 2 or 3 `stages`. The step above, cut short at h/2, leads to the
    state whose eps the second stage takes for the whole step. With three stages, one cut short at
    h/3 gives eps_1, one at 2h/3 with the slope 3 (eps_1 - eps) gives eps_2, and the whole step has
    the slope 3/2 (eps_2 - eps); a slope's weight is 2 sigma ((e^{ch} - 1)/(ch) - 1) c. The noises
    of a step's stages lie on one Brownian path, as sums of its increments between the stages.

    Weak order 1, 2 and 2 by stages, strong order 1; two stages have an h^2 term so small that a
    hundred steps show 1.6. One evaluation a stage, one for a step to sigma = 0, which takes the
    posterior mean. It cannot start at alpha = 0. (Gonzalez, Fernandez,
    Tran, Gherbi, Hajri & Masmoudi 2023, SEEDS: exponential SDE solvers, algorithms 1-3.)
    """

    stages: int = 3

    stochastic = True
    strong_order = 1.0
    variants = ("stages=1",)

    def __post_init__(self) -> None:
        if self.stages not in FRACTIONS:
            raise OptionError(f"seeds has 1, 2 or 3 stages, got {self.stages}")

    @property
    def evaluations(self) -> int:
        return self.stages

    @property
    def weak_order(self) -> int:
        return 1 if self.stages == 1 else 2

    def step(self, tape, x, t, s, memory):
        if s.sigma == 0.0:
            return s.alpha * tape.evaluate(x, t, "x0"), None
        if t.alpha == 0.0:
            raise OptionError(
                "seeds works in x/alpha and cannot start at alpha = 0; set log_snr_min on the grid"
            )
        h, fractions = lambda_step(t, s), FRACTIONS[self.stages]
        inner = [at_log_snr(t, t.log_snr + 2.0 * c * h) for c in fractions]
        eps = tape.evaluate(x, t, "eps")
        state, change, reached = x / t.alpha, Term({}), t
        nodes = zip((*fractions, 1.0), (1.0, *fractions), (*inner, s), strict=True)
        for c, before, level in nodes:
            # in x/alpha the noise is Brownian motion in (sigma/alpha)^2
            state = state + _noise(reached, level) * tape.normal(between=(reached, level))
            constant, rising = math.expm1(c * h), _rising(c * h) * c / before
            new = constant if self.stages == 2 else rising
            drift = 2.0 * level.noise_ratio * (constant * eps + new * change)
            y = tape.keep(level.alpha * (state - drift))
            if level is not s:
                change, reached = tape.evaluate(y, level, "eps") - eps, level
        return y, None


def _rising(h: float) -> float:
    """(e^h - 1)/h - 1 = h/2 1F1(1; 3; h), which does not cancel for small h."""
    return 0.5 * h * float(hyp1f1(1.0, 3.0, h))


def _noise(t: NoiseLevel, s: NoiseLevel) -> float:
    """sqrt(r_t^2 - r_s^2), r = sigma/alpha."""
    return s.noise_ratio * math.sqrt(math.expm1(2.0 * lambda_step(t, s)))
