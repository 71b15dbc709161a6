"""Extrapolation from a weaker prediction through a stronger one."""

from __future__ import annotations

import torch
from torch import Tensor

from scoresde.guidance.guided import Guided, check_weight, cost
from scoresde.guidance.interval import Interval
from scoresde.processes import NoiseLevel
from scoresde.score import ScoreModel, convert


class Extrapolation(Guided):
    r"""out = weak + w (strong - weak) = strong + (w - 1)(strong - weak), in the kind asked for.

    w = 1 is the strong model, w = 0 the weak one, w > 1 goes beyond. Outside of `interval`, two
    noise ratios sigma/alpha, the weight is 1; there, and wherever the weight is 1 or 0, one model
    alone is run. Else both are, one after the other on the same rows: a batch of twice the rows
    would need twice the memory. Of kind F, the prediction is in the strong model's sigma_data.
    """

    def __init__(
        self,
        strong: ScoreModel,
        weak: ScoreModel,
        weight: float,
        interval: tuple[float, float] | None,
    ):
        super().__init__(strong)
        self.weak = weak
        self.weight, self.interval = check_weight(weight), Interval.of(interval)

    @property
    def evaluations_per_call(self) -> int:
        if self.weight == 1.0:
            return cost(self.model)
        if self.weight == 0.0:
            return cost(self.weak) if self.interval is None else self._dearer
        return cost(self.model) + cost(self.weak)

    @property
    def _dearer(self) -> int:
        return max(cost(self.model), cost(self.weak))

    def predict(self, x: Tensor, level: NoiseLevel, kind: str) -> Tensor:
        inside = True if self.interval is None else self.interval.covers(level)
        if self.weight == 1.0 or inside is False:
            return self.model.predict(x, level, kind)
        weak = self._weak_prediction(x, level, kind)
        if self.weight == 0.0 and inside is True:
            return weak
        strong = self.model.predict(x, level, kind)
        out = strong + (self.weight - 1.0) * (strong - weak)
        return out if inside is True else torch.where(inside, out, strong)

    def _weak_prediction(self, x: Tensor, level: NoiseLevel, kind: str) -> Tensor:
        if kind != "F" or self.weak.sigma_data == self.sigma_data:
            return self.weak.predict(x, level, kind)
        v = self.weak.predict(x, level, "v")
        return convert(v, x, level, "v", "F", self.sigma_data)
