"""What every wrapper of a score model shares: its shape, its kind, its conditions."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from scoresde.errors import OptionError
from scoresde.processes import NoiseLevel
from scoresde.score import ScoreModel


class Guided(ScoreModel):
    """A score model around another one, whose rows stay as independent as they were.

    Predictions are put together in the kind that is asked for: what guidance does is linear in
    the score, and at one state and level all kinds are affine in it alike. `given` and `rows` are
    those of the wrapped model.

    A member states what else it is made of, `guide`: nothing (""), a "classifier" or a second
    "score model"; and whether it does nothing without labels, `needs_labels`.
    """

    guide: ClassVar[str] = ""
    needs_labels: ClassVar[bool] = False

    def __init__(self, model: ScoreModel):
        self.model = model
        self.kind, self.event_shape = model.kind, tuple(model.event_shape)
        self.sigma_data = model.sigma_data
        self.classes, self.features = model.classes, model.features

    @property
    def evaluations_per_call(self) -> int:
        """Networks run by one call, at most. A sampler counts a call as one evaluation."""
        return cost(self.model)

    def forward(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return self.predict(x, level, self.kind)

    @abstractmethod
    def predict(self, x: Tensor, level: NoiseLevel, kind: str) -> Tensor:
        """The guided prediction of any kind."""

    def given(self, condition: Tensor | None) -> Guided:
        bound = copy.copy(self)
        bound.model = self.model.given(condition)
        return bound

    def at_rows(self, index: slice | Tensor) -> Guided:
        some = copy.copy(self)
        some.model = self.model.at_rows(index)
        return some


def cost(model: ScoreModel) -> int:
    """Networks run by one call of a model."""
    return getattr(model, "evaluations_per_call", 1)


def check_weight(weight: float) -> float:
    if not math.isfinite(weight):
        raise OptionError(f"the weight of guidance is a finite number, got {weight}")
    return float(weight)


def check_shape(shape, model: ScoreModel, what: str) -> None:
    """Raises `OptionError` where what guides lives on other events than the model."""
    if tuple(shape) != tuple(model.event_shape):
        raise OptionError(
            f"{what} has events of shape {tuple(shape)}, the model {tuple(model.event_shape)}; "
            "both see the same states, so take one of the same data"
        )
