"""ER-SDE-Solver."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.processes import NoiseLevel
from scoresde.samplers.base import GridSampler
from scoresde.samplers.stochastic.adams import lambda_step

# log of psi = phi(r)/r as a function of v = log r, by the names of the paper
NOISE_SCALES: dict[str, Callable] = {
    "ode": np.zeros_like,
    "sde": lambda v: v,
    "sde-1": lambda v: np.log(np.exp(-np.exp(-v)) + 10.0),
    "sde-2": lambda v: 0.5 * v,
    "sde-3": lambda v: 1.5 * v,
    "sde-4": lambda v: np.log(np.log10(1.0 + 100.0 * np.exp(1.5 * v))) - 0.1 * v,
    "sde-5": lambda v: np.exp(0.3 * v) + np.log1p(10.0 * np.exp(-np.exp(0.3 * v))),
}
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class ERSDE(GridSampler):
    r"""y_s = R y + (1 - R) x0 + c_1 D_1 + c_2 D_2 + sqrt(r_s^2 - r_t^2 R^2) z,  R = phi_s/phi_t.

    On the extended reverse SDE in y = x/alpha and r = sigma/alpha, whose share of noise is set by
    phi(r). D_1 = dx0/dr and D_2 = d^2 x0/dr^2 are one-sided differences of the last `stages`
    predictions, c_1 = -int (1 - phi_s/phi) dr and c_2 = int (r_t - r)(1 - phi_s/phi) dr from r_s
    to r_t. `noise_scale` names phi: "ode" r, "sde" r^2, "sde-1" r (e^{-1/r} + 10), "sde-2" r^1.5,
    "sde-3" r^2.5, "sde-4" r^0.9 log10(1 + 100 r^1.5) (for r < 1000), "sde-5" r (e^{r^0.3} + 10).

    One evaluation a step; a step to sigma = 0 takes the posterior mean; alpha = 0 is a start like
    any other. Weak order 1 with one stage and 2 with more, strong order 1. "ode" is deterministic,
    of order 1 or 2: D_1 stays a first difference, so the third stage lowers the error, by half,
    and not its order. (Cui, Zhang, Lu & Liao 2023, Elucidating the solution space of extended
    reverse-time SDE, algorithms 1-3 and appendix A.8; Gauss's rule for their sums of 200 points.)
    """

    stages: int = 3
    noise_scale: str = "sde-5"

    variants = ("stages=2, noise_scale=ode",)

    def __post_init__(self) -> None:
        if self.stages not in (1, 2, 3):
            raise OptionError(f"er-sde has 1, 2 or 3 stages, got {self.stages}")
        if self.noise_scale not in NOISE_SCALES:
            known = list(NOISE_SCALES)
            raise OptionError(unknown("noise_scale of er-sde", self.noise_scale, known))

    @property
    def stochastic(self) -> bool:
        return self.noise_scale != "ode"

    @property
    def order(self) -> int | None:
        return None if self.stochastic else min(2, self.stages)

    order_cold = order

    @property
    def weak_order(self) -> int | None:
        return min(2, self.stages) if self.stochastic else None

    @property
    def strong_order(self) -> float | None:
        return 1.0 if self.stochastic else None

    def step(self, tape, x, t, s, memory):
        x0 = tape.evaluate(x, t, "x0")
        if s.sigma == 0.0:
            return s.alpha * x0, None
        past = [(t, x0), *(memory or ())][: self.stages]
        fall = self._fall(t, s)
        noise = math.sqrt(-math.expm1(2.0 * fall)) * s.sigma
        rest = s.alpha * -math.expm1(fall - lambda_step(t, s))
        state = s.sigma / t.sigma * math.exp(fall) * x + rest * x0
        if len(past) > 1:
            slopes, (c1, c2) = _differences(past), self._integrals(t, s)
            state = state + s.alpha * c1 * slopes[0]
            if len(past) > 2:
                reach = t.noise_ratio - past[2][0].noise_ratio
                state = state + s.alpha * c2 * 2.0 / reach * (slopes[0] - slopes[1])
        kept = tuple(node for node in past if node[0].alpha > 0.0)
        return state + noise * tape.normal(between=(t, s)), kept

    def _fall(self, t: NoiseLevel, s: NoiseLevel) -> float:
        """log(psi_s/psi_t), at most 0."""
        ends = -0.5 * np.array([t.log_snr, s.log_snr])
        with np.errstate(invalid="ignore"):  # "sde-4" has no limit where alpha_t = 0
            from_, to = NOISE_SCALES[self.noise_scale](ends)
            fall = float(to - from_)
        if not fall <= _ROUNDING:
            raise OptionError(
                f"noise_scale {self.noise_scale!r} of er-sde needs phi(r)/r to grow with r = "
                f"sigma/alpha, and it falls from r = {s.noise_ratio:.4g} to {t.noise_ratio:.4g}; "
                "set log_snr_min=-13 on the grid or take 'sde-5'"
            )
        return min(fall, 0.0)

    def _integrals(self, t: NoiseLevel, s: NoiseLevel) -> tuple[float, float]:
        """(c_1, c_2), by Gauss's rule in log r: both integrands keep their sign."""
        log_psi, h, v_s = NOISE_SCALES[self.noise_scale], lambda_step(t, s), -0.5 * s.log_snr
        v = v_s + 0.5 * h * (1.0 + _NODES)
        r, end = np.exp(v), v_s + log_psi(np.array(v_s))
        parts = 0.5 * h * _WEIGHTS * r * -np.expm1(end - v - log_psi(v))
        return -float(parts.sum()), float(((t.noise_ratio - r) * parts).sum())


def _differences(past) -> list:
    """Newton's first differences of x0 in r, the newest first."""
    return [(new - old) / (a.noise_ratio - b.noise_ratio) for (a, new), (b, old) in pairwise(past)]
