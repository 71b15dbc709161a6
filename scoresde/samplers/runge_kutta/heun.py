"""Heun's method with churn, the sampler of EDM."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scoresde.errors import OptionError
from scoresde.kernels import Purpose
from scoresde.processes import NoiseLevel
from scoresde.samplers.base import GridSampler
from scoresde.samplers.plan import Move


@dataclass(frozen=True, kw_only=True)
class Heun(GridSampler):
    r"""y_s = y + h (eps(y, t) + eps(y + h eps(y, t), s))/2,  y = x/alpha, h = r_s - r_t.

    With r = sigma/alpha: the trapezoid rule on dy/dr = eps, in EDM's variables under any process;
    a step to sigma = 0 is Euler's. Order 2, deterministic without churn, two evaluations a step.
    Churn first moves up to (1 + gamma) times the noise, gamma = min(churn/steps, sqrt 2 - 1)
    where churn_min <= sigma/alpha <= churn_max, adding noise of scale `churn_noise`. (Karras,
    Aittala, Aila & Laine 2022, algorithms 1 and 2.)
    """

    churn: float = 0.0
    churn_min: float = 0.0
    churn_max: float = math.inf
    churn_noise: float = 1.0

    evaluations = 2
    variants = ("churn=20",)

    def __post_init__(self) -> None:
        for name in ("churn", "churn_min", "churn_noise"):
            value = getattr(self, name)
            if not 0.0 <= value < math.inf:
                raise OptionError(f"{name} of heun is finite and not negative, got {value}")
        if not self.churn_max >= self.churn_min:
            raise OptionError(
                f"churn_max of heun is at least churn_min = {self.churn_min}, got {self.churn_max}"
            )

    @property
    def stochastic(self) -> bool:
        return self.churn > 0.0

    @property
    def order(self) -> int | None:
        return None if self.stochastic else 2

    order_cold = order

    def moves(self, levels):
        moves = []
        most = math.sqrt(2.0) - 1.0
        for move in super().moves(levels):
            t, s = move.source, move.target
            inside = self.churn_min <= t.noise_ratio <= self.churn_max
            gamma = min(self.churn / (len(levels) - 1), most) if inside else 0.0
            if gamma > 0.0:
                up = NoiseLevel(t=math.nan, alpha=t.alpha, sigma=t.sigma * (1.0 + gamma))
                moves += [Move(t, up, move.step, "noise"), Move(up, s, move.step)]
            else:
                moves.append(move)
        return moves

    def step(self, tape, x, t, s, memory):
        if s.sigma > t.sigma and s.alpha == t.alpha:  # churn: up to s
            z = tape.normal(Purpose.CHURN)
            return x + self.churn_noise * math.sqrt(s.sigma**2 - t.sigma**2) * z, None
        if t.alpha == 0.0:
            raise OptionError(
                "heun works in x/alpha and cannot start at alpha = 0; set log_snr_min on the grid"
            )
        h = s.noise_ratio - t.noise_ratio
        eps = tape.evaluate(x, t, "eps")
        carried = s.alpha / t.alpha * x
        euler = carried + s.alpha * h * eps
        if s.sigma == 0.0:
            return euler, None
        euler = tape.keep(euler)
        eps_s = tape.evaluate(euler, s, "eps")
        return carried + 0.5 * s.alpha * h * (eps + eps_s), None
