"""The midpoint rule, in a variable's middle or in the middle of log sigma."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scoresde.samplers.runge_kutta.tableau import RungeKutta, Tableau, second_order


@dataclass(frozen=True, kw_only=True)
class Midpoint(RungeKutta):
    r"""y_s = y + h f(w + h/2, y + h/2 f(w, y)),  f = dy/dw.

    Order 2, deterministic without churn, two evaluations a step; a step to sigma = 0 takes the
    posterior mean. It never evaluates at the far end of a step. (Runge 1895; as `heun` with
    alpha = 1/2.)
    """

    variable: str = "sigma"
    last: str = "posterior-mean"

    noun = "midpoint"
    flow_order = 2
    evaluations = 2

    def tableau(self, t, s):
        return second_order(0.5)


@dataclass(frozen=True, kw_only=True)
class DPM2(RungeKutta):
    r"""y_s = y + h eps(y + (r_m - r_t) eps(y, r_t), r_m),  r_m = sqrt(r_t r_s),  y = x/alpha.

    The midpoint of log sigma with steps of r = sigma/alpha, h = r_s - r_t: in r the node is
    1/(1 + sqrt(r_s/r_t)), which tends to 1/2. Order 2, deterministic without churn, two
    evaluations a step; a step to sigma = 0 takes the posterior mean. (The DPM2 of k-diffusion,
    after Lu et al. 2022, DPM-Solver-2, and Karras et al. 2022, algorithm 2.)
    """

    noun = "dpm-2"
    flow_order = 2
    evaluations = 2

    def tableau(self, t, s):
        node = 1.0 / (1.0 + math.sqrt(s.noise_ratio / t.noise_ratio))
        return Tableau((0.0, node), ((), (node,)), (0.0, 1.0))
