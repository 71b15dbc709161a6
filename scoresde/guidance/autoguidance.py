"""Autoguidance: a model guided by a bad version of itself."""

from __future__ import annotations

from torch import Tensor

from scoresde.errors import OptionError
from scoresde.guidance.extrapolation import Extrapolation
from scoresde.guidance.guided import check_shape
from scoresde.score import ScoreModel


class Autoguidance(Extrapolation):
    r"""Autoguidance: bad + w (good - bad), away from a smaller or less trained model of the data.

    Both make the same errors, the bad one larger, so their difference points to where the good one
    should be; unlike classifier-free guidance it narrows no class. Labels are given to both where
    the bad model takes them; an unconditional bad model under a conditional good one makes it
    classifier-free guidance with two networks. (Karras et al. 2024, Guiding a diffusion model
    with a bad version of itself.)
    Raises `OptionError` for models of different events or numbers of classes or features.
    """

    guide = "score model"

    def __init__(
        self,
        model: ScoreModel,
        bad: ScoreModel,
        *,
        weight: float = 2.0,
        interval: tuple[float, float] | None = None,
    ):
        check_shape(bad.event_shape, model, "the bad model of autoguidance")
        for what in ("classes", "features"):
            ours, theirs = getattr(model, what), getattr(bad, what)
            if theirs not in (0, ours):
                raise OptionError(
                    f"the bad model of autoguidance has {theirs} {what}, the model {ours}; take "
                    "one of the same labels, or one without"
                )
        super().__init__(model, bad, weight, interval)

    def given(self, condition: Tensor | None) -> Autoguidance:
        bound = super().given(condition)
        if self.weak.classes or self.weak.features:
            bound.weak = self.weak.given(condition)
        return bound

    def at_rows(self, index: slice | Tensor) -> Autoguidance:
        some = super().at_rows(index)
        some.weak = self.weak.at_rows(index)
        return some
