"""The one interface through which samplers, objectives and judges see a score."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from scoresde.errors import CapabilityError
from scoresde.processes import NoiseLevel
from scoresde.score.parametrization import convert


class ScoreModel(ABC):
    r"""A model of s(z, level) = grad log q(z), in whichever kind is native to it.

    A member states its `kind` and gives `forward`; `predict` gives any other kind by the affine
    table. A level may come from any process. A conditional model says what it can be given:
    labels of `classes` classes, or vectors of `features` numbers.

    Optional capabilities, methods that a member offers or does not, asked for with `ask`:
    `log_density(x, level)` (batch,) in nats; `value_and_score(x, level)`, both from one pass;
    `divergence(x, level)`, the trace of the score's Jacobian in closed form;
    `predict_with_variance(x, level, to, kind)`, the prediction and, from the same pass, the
    model's own variance of q(z_s | z_t) for the step from the level down to `to`, of the shape of
    x or of one number a row, (batch, 1, ..., 1); `conservative`, true if a gradient by
    construction.
    """

    kind: str
    event_shape: tuple[int, ...]
    sigma_data: float = 1.0
    classes: int = 0
    features: int = 0

    @abstractmethod
    def forward(self, x: Tensor, level: NoiseLevel) -> Tensor:
        """The native prediction for states x (batch, *event) at a level, of the shape of x."""

    def predict(self, x: Tensor, level: NoiseLevel, kind: str) -> Tensor:
        """The prediction as any kind."""
        out = self.forward(x, level)
        return convert(out, x, level, self.kind, kind, self.sigma_data)

    def given(self, condition: Tensor | None) -> ScoreModel:
        """The model of q(z | c): a label, int64 (batch,), or a vector (batch, features) a row.

        It is bound to those rows and asked with as many states; a label of -1 or a vector with
        NaN is no condition. None is the unconditional model. Raises `CapabilityError` where the
        model knows of no condition.
        """
        if condition is None:
            return self
        raise CapabilityError(
            f"{type(self).__name__} is not conditional: it can be given neither labels nor "
            "vectors; leave the label out, or train a net with `classes` or `features`"
        )

    def at_rows(self, index: slice | Tensor) -> ScoreModel:
        """The same model for some of the rows that it is bound to; itself where it is to none."""
        return self


_WAYS_OUT = {
    "predict_with_variance": "take ancestral with variance='posterior' or 'forward', or wrap a "
    "network of twice the channels as a LearnedVarianceNetwork",
}


def ask(model: ScoreModel, capability: str, whose: str):
    """The model's capability, or a `CapabilityError` that names who needs it."""
    method = getattr(model, capability, None)
    if method is None:
        other = "take an exact density or a sampler that needs the score alone"
        raise CapabilityError(
            f"{whose} needs {capability} of its score model and {type(model).__name__} offers "
            f"none; {_WAYS_OUT.get(capability, other)}"
        )
    return method
