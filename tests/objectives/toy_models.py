"""Score models of known answers, for the laws of objectives."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from scoresde.densities import Density
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
