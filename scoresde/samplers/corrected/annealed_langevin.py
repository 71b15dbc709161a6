"""Annealed Langevin dynamics over a grid of noise levels."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scoresde.errors import OptionError
from scoresde.samplers.base import GridSampler
from scoresde.samplers.plan import Move


@dataclass(frozen=True, kw_only=True)
class AnnealedLangevin(GridSampler):
    r"""`corrections` times x <- x + d score + sqrt(2 d) z at every level, d = step_size sigma^2.

    Between levels x/alpha stays: x <- (alpha_s/alpha_t) x. A step to sigma = 0 takes the posterior
    mean; a grid that ends with noise is corrected at its last level too. It has no order: its law
    is right in the limit of many corrections and small steps.
    (Song & Ermon 2019, Generative modeling by estimating gradients, algorithm 1; their step at
    level i is epsilon sigma_i^2/sigma_L^2 = 2 d.)
    """

    step_size: float = 0.1
    corrections: int = 5

    stochastic = True
    evaluations = None

    def __post_init__(self) -> None:
        if not 0.0 < self.step_size < 1.0:
            raise OptionError(f"annealed-langevin needs 0 < step_size < 1, got {self.step_size}")
        if isinstance(self.corrections, bool) or not 1 <= self.corrections <= 2000:
            raise OptionError(
                f"corrections of annealed-langevin lie in 1..2000, got {self.corrections}"
            )

    def moves(self, levels):
        moves = []
        for move in super().moves(levels):
            moves += [Move(move.source, move.source, move.step, "correct")] * self.corrections
            moves.append(move)
        last = moves[-1]
        if last.target.sigma > 0.0:
            moves += [Move(last.target, last.target, last.step, "correct")] * self.corrections
        return moves

    def step(self, tape, x, t, s, memory):
        if s.sigma == 0.0:
            return s.alpha * tape.evaluate(x, t, "x0"), None
        if s is not t:
            if t.alpha == 0.0:
                raise OptionError(
                    "annealed-langevin carries x/alpha, so it cannot start at alpha = 0; set "
                    "log_snr_min on the grid"
                )
            return (s.alpha / t.alpha) * x, None
        d = self.step_size * t.sigma**2
        eps = tape.evaluate(x, t, "eps")  # score = -eps/sigma
        z = tape.normal()
        return x - (d / t.sigma) * eps + math.sqrt(2.0 * d) * z, None
