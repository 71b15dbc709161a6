"""Classifier guidance."""

from __future__ import annotations

import copy
import math
from typing import Protocol

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.guidance.guided import Guided, check_shape, check_weight, cost
from scoresde.guidance.interval import Interval
from scoresde.processes import NoiseLevel
from scoresde.score import ExactClassifier, ScoreModel
from scoresde.score.parametrization import row

_NOISIEST = math.exp(12.0)  # sigma/alpha at log_snr = -24, where a network's input stops


class Classifier(Protocol):
    """log p(c | z, level) of every class, (batch, classes), row by row and differentiable in z."""

    classes: int
    event_shape: tuple[int, ...]

    def log_prob(self, z: Tensor, level: NoiseLevel) -> Tensor: ...


class ClassifierGuidance(Guided):
    r"""Classifier: score(z) + w grad_z log p(c | z, level), by a classifier of noisy states.

    With the exact classifier w = 1 is the conditional score, by Bayes' rule; w > 1 sharpens the
    class to p(c|z)^w. `conditional` guides the model of the class itself, as Dhariwal & Nichol do
    in their best runs. Labels are given to the guided model (`given`), and only then does the
    classifier act; rows labelled -1 are left as they are. Outside of `interval`, two noise ratios
    sigma/alpha, it is not run. (Dhariwal & Nichol 2021, algorithms 1 and 2.)

    A change g of the score is one of x0 by (sigma^2/alpha) g, of eps by -sigma g, of a kind by
    (p sigma^2/alpha - q sigma) g. At alpha = 0 only eps and score can be guided: the gradient is
    0 there, and its share in x0 a limit that it does not tell. A network's gradient is not
    proportional to alpha to rounding, so for all but the exact classifier that holds below
    log_snr = -24 too, where a network is told no more noise. Raises `OptionError` for the other
    kinds there, and for a classifier or labels that do not fit.
    """

    guide = "classifier"
    needs_labels = True

    def __init__(
        self,
        model: ScoreModel,
        classifier: Classifier,
        *,
        weight: float = 1.0,
        interval: tuple[float, float] | None = None,
        conditional: bool = False,
    ):
        super().__init__(model)
        check_shape(classifier.event_shape, model, "the classifier")
        if conditional and model.classes != classifier.classes:
            raise OptionError(
                f"the classifier knows {classifier.classes} classes, the model {model.classes}; "
                "guide the unconditional model (conditional = false) or take one of equal classes"
            )
        self.classifier, self.conditional = classifier, conditional
        self.classes, self.features = classifier.classes, 0
        self.weight, self.interval = check_weight(weight), Interval.of(interval)
        self.labels: Tensor | None = None

    @property
    def evaluations_per_call(self) -> int:
        """The model's and one of the classifier, forward and backward."""
        return cost(self.model) + (self.weight != 0.0)

    def given(self, condition: Tensor | None) -> ClassifierGuidance:
        bound = copy.copy(self)
        bound.labels = None if condition is None else self._checked(condition)
        if self.conditional:
            bound.model = self.model.given(condition)
        return bound

    def _checked(self, labels: Tensor) -> Tensor:
        if labels.ndim != 1 or labels.is_floating_point():
            raise OptionError(
                f"labels are whole numbers (batch,), got {labels.dtype} {tuple(labels.shape)}"
            )
        if bool(((labels < -1) | (labels >= self.classes)).any()):
            raise OptionError(
                f"the classifier knows the classes 0..{self.classes - 1} (-1: none), "
                f"got labels from {int(labels.min())} to {int(labels.max())}"
            )
        return labels.to(torch.int64)

    def at_rows(self, index: slice | Tensor) -> ClassifierGuidance:
        some = super().at_rows(index)
        some.labels = None if self.labels is None else self.labels[index]
        return some

    def predict(self, x: Tensor, level: NoiseLevel, kind: str) -> Tensor:
        out = self.model.predict(x, level, kind)
        inside = True if self.interval is None else self.interval.covers(level)
        if self.labels is None or self.weight == 0.0 or inside is False:
            return out
        guided = out + self._shift(level, kind) * self._gradient(x, level)
        return guided if inside is True else torch.where(inside, guided, out)

    def _shift(self, level: NoiseLevel, kind: str):
        """The change of a kind for one unit of the score, times the weight."""
        if kind == "score":
            return self.weight
        p, q = row(kind, level, self.sigma_data)
        if kind == "eps":
            return -self.weight * level.sigma
        exact = isinstance(self.classifier, ExactClassifier)
        least = 0.0 if exact else level.sigma / _NOISIEST
        if not isinstance(level.alpha, Tensor) and level.alpha <= least:
            raise OptionError(
                f"a classifier's gradient does not determine {kind} at alpha = {level.alpha:.3g}; "
                "start the grid at a smaller noise level (log_snr_min above -24), or give "
                "guidance an interval that ends"
            )
        return self.weight * (p * (level.sigma / level.alpha) - q) * level.sigma

    def _gradient(self, x: Tensor, level: NoiseLevel) -> Tensor:
        """grad_z log p(c | z) of every row's own class; 0 for rows without one."""
        if len(self.labels) != len(x):
            raise OptionError(
                f"a model given {len(self.labels)} labels was asked of {len(x)} rows"
            )
        with torch.enable_grad():
            z = x.detach().requires_grad_()
            log_prob = self.classifier.log_prob(z, level)
            if log_prob.shape != (len(x), self.classes):
                raise OptionError(
                    f"a classifier's log_prob of {len(x)} states must have the shape "
                    f"({len(x)}, {self.classes}), got {tuple(log_prob.shape)}"
                )
            own = log_prob.gather(1, self.labels.clamp(min=0)[:, None])[:, 0]
            own = torch.where(self.labels >= 0, own, torch.zeros_like(own))
            (gradient,) = torch.autograd.grad(own.sum(), z)
        return gradient
