"""Thresholding: predictions of x0 held to the range of the data."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.guidance.guided import Guided
from scoresde.processes import NoiseLevel
from scoresde.score import ScoreModel, convert
from scoresde.score.parametrization import INVARIANT_KINDS, row


class Threshold(Guided):
    r"""x0 <- bounded(x0), and every other kind with it at the same state and level.

    A change d of x0 is one of eps by -(alpha/sigma) d, of a kind p x0 + q eps by
    (p - q alpha/sigma) d; it is added to the prediction, so where nothing is out of bounds the
    prediction is bit by bit what it was. The range is in model space, that is after the data's
    scaling. Two ends are left alone: at sigma = 0 the state is the data and nothing is predicted;
    at alpha = 0 eps and score do not depend on x0. Near sigma = 0 a state that lies out of bounds
    is pushed back as 1/sigma, so solvers that end in a step onto x0 suit it, adaptive ones less.
    """

    @abstractmethod
    def bounded(self, x0: Tensor) -> Tensor:
        """x0 (batch, *event) within bounds, row by row."""

    def predict(self, x: Tensor, level: NoiseLevel, kind: str) -> Tensor:
        alpha, sigma = level.alpha, level.sigma
        if not isinstance(sigma, Tensor) and (
            sigma == 0.0 or (alpha == 0.0 and kind in ("eps", "score"))
        ):
            return self.model.predict(x, level, kind)
        between = self.model.kind if self.model.kind in INVARIANT_KINDS else "v"
        out = self.model.predict(x, level, between)
        x0 = convert(out, x, level, between, "x0", self.sigma_data)
        bounded = self.bounded(x0)
        if kind == "x0":
            return bounded
        p, q = row(kind, level, self.sigma_data)
        free = convert(out, x, level, between, kind, self.sigma_data)
        return free + (p - q * (alpha / sigma)) * (bounded - x0)


class StaticThreshold(Threshold):
    r"""x0 <- min(max(x0, low), high), element by element.

    Ho et al. 2020 clip so; the default is the range of images scaled to [-1, 1]. Raises
    `OptionError` unless low < high.
    """

    def __init__(self, model: ScoreModel, *, low: float = -1.0, high: float = 1.0):
        super().__init__(model)
        if not low < high:
            raise OptionError(f"a threshold needs low < high, got {low} and {high}")
        self.low, self.high = low, high

    def bounded(self, x0: Tensor) -> Tensor:
        return x0.clamp(self.low, self.high)


class DynamicThreshold(Threshold):
    r"""x0 <- (bound/s) min(max(x0, -s), s),  s = max(bound, quantile of the sample's own |x0|).

    Large weights of guidance drive whole images out of range; instead of saturating them, each is
    scaled back by its own quantile (interpolated linearly). (Saharia et al. 2022, Imagen, section
    2.3: quantile 0.995, bound 1.) Raises `OptionError` for a quantile outside (0, 1] and a bound
    that is not positive and finite.
    """

    def __init__(self, model: ScoreModel, *, quantile: float = 0.995, bound: float = 1.0):
        super().__init__(model)
        if not 0.0 < quantile <= 1.0:
            raise OptionError(f"quantile of the dynamic threshold is in (0, 1], got {quantile}")
        if not 0.0 < bound < math.inf:
            raise OptionError(f"bound of the dynamic threshold is positive, got {bound}")
        self.quantile, self.bound = quantile, bound

    def bounded(self, x0: Tensor) -> Tensor:
        # sorted: torch.quantile refuses more than 2^24 elements, a batch of images has more
        sizes = x0.abs().flatten(1).sort(dim=1).values
        place = self.quantile * (sizes.shape[1] - 1)
        below, above = math.floor(place), math.ceil(place)
        s = torch.lerp(sizes[:, below], sizes[:, above], place - below).clamp(min=self.bound)
        s = s.reshape(-1, *[1] * (x0.ndim - 1))
        return torch.minimum(torch.maximum(x0, -s), s) * (self.bound / s)
