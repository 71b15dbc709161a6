"""DPM-Solver++ in multistep form."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scoresde.samplers.base import GridSampler


@dataclass(frozen=True, kw_only=True)
class DPMSolverPP2M(GridSampler):
    r"""x_s = (sigma_s/sigma_t) x - alpha_s expm1(-h) D,  h = (log_snr_s - log_snr_t)/2,
    D = (1 + 1/(2r)) x0_t - x0_prev/(2r),  r = h_prev/h.

    Second order from one evaluation a step and the one before it; the first step, and a step to
    sigma = 0 (h infinite), take D = x0_t. Deterministic, order 2.
    (Lu et al. 2022, DPM-Solver++, algorithm 2; log_snr is twice its lambda.)
    """

    order = 2
    order_cold = 2

    def step(self, tape, x, t, s, memory):
        h = 0.5 * (s.log_snr - t.log_snr)
        x0 = tape.evaluate(x, t, "x0")
        d = x0
        if memory is not None and s.sigma > 0.0:
            x0_previous, h_previous = memory
            weight = 0.5 * h / h_previous  # 1/(2r); 0 after a step from alpha = 0
            d = (1.0 + weight) * x0 - weight * x0_previous
        return s.sigma / t.sigma * x - s.alpha * math.expm1(-h) * d, (x0, h)
