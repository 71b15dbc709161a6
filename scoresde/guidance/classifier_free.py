"""Classifier-free guidance."""

from __future__ import annotations

from scoresde.errors import OptionError
from scoresde.guidance.extrapolation import Extrapolation
from scoresde.score import ScoreModel


class ClassifierFree(Extrapolation):
    r"""Classifier-free: score(z) + w (score(z|c) - score(z)), by one net with and without labels.

    The gradient of (1 - w) log q(z) + w log q(z|c) = log q(z) + w log p(c|z) + constant. w = 1 is
    the conditional model, w = 0 the unconditional one. Ho & Salimans write (1 + s) conditional -
    s unconditional, s = w - 1; Imagen's and EDM2's weight is w. A net must have been trained with
    a share of its labels left out. Rows without a label (-1, or a vector with NaN) are left
    unguided, and so is the model before it is given any. Except at w = 1 and w = 0 the result is
    no diffused law of anything, so stochastic and deterministic samplers may differ in theirs.
    (Ho & Salimans 2022, Classifier-free diffusion guidance, eq. 6; interval: Kynkäänniemi et al.
    2024.) Raises `OptionError` for a model that takes no condition.
    """

    needs_labels = True

    def __init__(
        self,
        model: ScoreModel,
        *,
        weight: float = 2.0,
        interval: tuple[float, float] | None = None,
    ):
        if not (model.classes or model.features):
            raise OptionError(
                f"classifier-free guidance needs a conditional model and {type(model).__name__} "
                "is none; train a net with `classes`, or guide by a classifier"
            )
        super().__init__(model, model.given(None), weight, interval)
