"""Exact scores: of a density that can be diffused, and of a plain log-density."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from scoresde.densities import Density
from scoresde.errors import CapabilityError, OptionError
from scoresde.processes import CLEAN, NoiseLevel
from scoresde.score.model import ScoreModel
from scoresde.score.parametrization import row


class ExactScore(ScoreModel):
    """The score of a density's diffused law, exact at every level of every process.

    Each kind is put together from both posterior means, which the density gives side by
    side, so no conversion loses digits at either end; the score itself is asked of the
    density and is defined at sigma = 0 too. A density with labels is given them row by row.
    """

    kind = "v"
    conservative = True

    def __init__(self, density: Density):
        self.density = density
        self.event_shape = density.event_shape
        self.classes = getattr(density, "classes", 0)
        self.condition: Tensor | None = None

    def given(self, condition: Tensor | None) -> ExactScore:
        if not self.classes:
            return super().given(condition)
        bound = copy.copy(self)
        bound.density, bound.condition = self.density.given(condition), condition
        return bound

    def to(self, device) -> ExactScore:
        """The same score on a torch device, where the states that it is asked at must lie."""
        moved = copy.copy(self)
        moved.density = self.density.to(device)
        if self.condition is not None:
            moved.condition = self.condition.to(device)
        return moved

    def at_rows(self, index: slice | Tensor) -> ExactScore:
        return self if self.condition is None else self.given(self.condition[index])

    def forward(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return self.predict(x, level, self.kind)

    def predict(self, x: Tensor, level: NoiseLevel, kind: str) -> Tensor:
        if kind == "score":
            return self.density.score(x, level.alpha, level.sigma)
        x0, eps = self.density.posterior(x, level.alpha, level.sigma)
        p, q = row(kind, level, self.sigma_data)
        return p * x0 + q * eps

    def log_density(self, x: Tensor, level: NoiseLevel = CLEAN) -> Tensor:
        return self.density.log_prob(x, level.alpha, level.sigma)

    def value_and_score(self, x: Tensor, level: NoiseLevel = CLEAN) -> tuple[Tensor, Tensor]:
        return self.log_density(x, level), self.predict(x, level, "score")


class LogDensity(ScoreModel):
    """A plain log-density, known up to a constant: a score with no noise level, by autograd.

    `log_prob` maps (batch, *event) to (batch,) in nats, row by row. Only the clean level can be
    asked for; other levels raise `CapabilityError`.
    """

    kind = "score"
    conservative = True

    def __init__(self, log_prob: Callable[[Tensor], Tensor], event_shape: tuple[int, ...]):
        self.log_prob = log_prob
        self.event_shape = tuple(event_shape)

    def _clean(self, level: NoiseLevel) -> None:
        if level.alpha != 1.0 or level.sigma != 0.0:
            raise CapabilityError(
                "a plain log-density has a score at the clean level alone, asked at "
                f"alpha = {level.alpha}, sigma = {level.sigma}; use a Langevin kernel"
            )

    def forward(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return self.value_and_score(x, level)[1]

    def log_density(self, x: Tensor, level: NoiseLevel = CLEAN) -> Tensor:
        self._clean(level)
        return self.log_prob(x)

    def value_and_score(self, x: Tensor, level: NoiseLevel = CLEAN) -> tuple[Tensor, Tensor]:
        self._clean(level)
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            value = self.log_prob(x)
            if value.shape != (len(x),):
                raise OptionError(
                    f"log_prob of {len(x)} states must have shape ({len(x)},), "
                    f"got {tuple(value.shape)}"
                )
            (score,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), score
