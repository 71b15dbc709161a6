"""Churn, the noise that EDM's samplers put in before a step."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from scoresde.errors import OptionError
from scoresde.kernels import Purpose
from scoresde.processes import NoiseLevel
from scoresde.samplers.base import GridSampler
from scoresde.samplers.plan import Move, Tape, Term

GAMMA_MAX = math.sqrt(2.0) - 1.0


@dataclass(frozen=True, kw_only=True)
class Churned(GridSampler):
    r"""x + churn_noise alpha sqrt(r_hat^2 - r^2) z,  r = sigma/alpha,  r_hat = (1 + gamma) r.

    Before a step from r the state is taken up to r_hat, gamma = min(churn/steps, sqrt 2 - 1)
    where churn_min <= r <= churn_max and 0 elsewhere, and the step begins there. The law at r_hat
    is exact if churn_noise = 1. churn = 0 draws no noise. (Karras, Aittala, Aila & Laine 2022,
    Elucidating the design space of diffusion-based generative models, algorithm 2.)
    """

    churn: float = 0.0
    churn_min: float = 0.0
    churn_max: float = math.inf
    churn_noise: float = 1.0

    noun: ClassVar[str] = ""  # the name by which errors call it
    flow_order: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for name in ("churn", "churn_min", "churn_noise"):
            value = getattr(self, name)
            if not 0.0 <= value < math.inf:
                raise OptionError(f"{name} of {self.noun} is finite and not negative, got {value}")
        if not self.churn_max >= self.churn_min:
            raise OptionError(
                f"churn_max of {self.noun} is at least churn_min = {self.churn_min}, "
                f"got {self.churn_max}"
            )

    @property
    def stochastic(self) -> bool:
        return self.churn > 0.0

    @property
    def order(self) -> int | None:
        return None if self.stochastic else self.flow_order

    order_cold = order

    def moves(self, levels):
        moves = []
        for move in super().moves(levels):
            t = move.source
            inside = self.churn_min <= t.noise_ratio <= self.churn_max and t.alpha > 0.0
            gamma = min(self.churn / (len(levels) - 1), GAMMA_MAX) if inside else 0.0
            if gamma > 0.0:
                up = NoiseLevel(t=math.nan, alpha=t.alpha, sigma=t.sigma * (1.0 + gamma))
                moves += [Move(t, up, move.step, "noise"), Move(up, move.target, move.step)]
            else:
                moves.append(move)
        return moves

    def step(self, tape, x, t, s, memory):
        if s.noise_ratio > t.noise_ratio:  # churn: up to s
            spread = math.sqrt((s.sigma - t.sigma) * (s.sigma + t.sigma))
            return x + self.churn_noise * spread * tape.normal(Purpose.CHURN), None
        return self.descend(tape, x, t, s), None

    @abstractmethod
    def descend(self, tape: Tape, x: Term, t: NoiseLevel, s: NoiseLevel) -> Term:
        """The state at s of a step down from t."""
