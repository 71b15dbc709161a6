"""Score models of known answers, for the laws of objectives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.densities import Density
from scoresde.objectives import Times
from scoresde.processes import NoiseLevel
from scoresde.score import ExactScore, ScoreModel


class ExactKind(ScoreModel):
    """A density's exact score that answers natively in any one kind."""

    def __init__(self, density: Density, kind: str, sigma_data: float = 1.0):
        self.exact = ExactScore(density)
        self.exact.sigma_data = self.sigma_data = sigma_data
        self.event_shape, self.kind = density.event_shape, kind

    def forward(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return self.exact.predict(x, level, self.kind)


class Formula(ScoreModel):
    """A model whose native output is a formula of the state."""

    def __init__(self, kind: str, formula: Callable[[Tensor], Tensor], sigma_data: float = 1.0):
        self.kind, self.formula, self.sigma_data = kind, formula, sigma_data

    def forward(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return self.formula(x)


@dataclass(frozen=True, kw_only=True)
class At(Times):
    """One time, always."""

    t: float

    def draw(self, u: Tensor, process) -> tuple[Tensor, Tensor]:
        return torch.full_like(u, self.t), torch.ones_like(u)


def slopes(losses: Callable[[Tensor], Tensor], theta: Tensor) -> Tensor:
    """d losses/d theta, (batch, parameters), exact for losses that are quadratic in theta."""
    steps = torch.eye(len(theta), dtype=theta.dtype)
    return torch.stack([0.5 * (losses(theta + e) - losses(theta - e)) for e in steps], dim=1)


def within(found: Tensor, expected, errors: float = 4.0) -> bool:
    """Whether the means of the columns of found (batch, ...) are those expected, by their SE."""
    error = found.std(0) / len(found) ** 0.5
    return bool(((found.mean(0) - expected).abs() <= errors * error + 1e-12).all())
