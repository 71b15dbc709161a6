"""A stochastic Runge-Kutta method of weak order 2."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scoresde.processes.level import posterior_variance
from scoresde.samplers.base import GridSampler


@dataclass(frozen=True, kw_only=True)
class StochasticRungeKutta(GridSampler):
    r"""y_s = y + (S_s - S_t) (x0(y, t) + x0(y', s))/2 + sqrt(S_s - S_t) z,  S = alpha^2/sigma^2.

    y' = y + (S_s - S_t) x0(y, t) + sqrt(S_s - S_t) z, with the same z. In y = alpha x/sigma^2 the
    reverse SDE is dy = x0 dS + dB(S): noise of a constant scale, a drift without a linear part.
    There Platen's explicit scheme of weak order 2 is this one, and y' is the ancestral step. Weak
    order 2, strong order 1, two evaluations a step, one for the last to sigma = 0, which takes
    the posterior mean. It may start at alpha = 0. (Kloeden & Platen 1992, Numerical solution of
    stochastic differential equations, sec. 15.1, additive noise, with Gaussian increments.)
    """

    weak_order = 2
    strong_order = 1.0
    stochastic = True
    evaluations = 2

    def step(self, tape, x, t, s, memory):
        x0 = tape.evaluate(x, t, "x0")
        if s.sigma == 0.0:
            return s.alpha * x0, None
        forward, posterior = posterior_variance(t, s)
        share = s.alpha * forward / t.sigma**2  # alpha_s (1 - S_t/S_s)
        z = tape.normal(between=(t, s))
        kept = t.alpha / s.alpha * (s.sigma / t.sigma) ** 2 * x + math.sqrt(posterior) * z
        ancestral = tape.keep(kept + share * x0)
        x0_s = tape.evaluate(ancestral, s, "x0")
        return ancestral + 0.5 * share * (x0_s - x0), None
