r"""Classifiers of noisy states: log p(c | z, level), from a network or by Bayes' rule.

What classifier guidance asks of a classifier is `log_prob(z, level)`, the log-probabilities of all
classes (batch, classes) in nats, differentiable in z (batch, *event) and computed row by row, and
the attributes `classes` and `event_shape`.
"""

from __future__ import annotations

import copy
import math

from torch import Tensor, nn

from scoresde.densities import Density
from scoresde.errors import CapabilityError, OptionError
from scoresde.processes import NoiseLevel
from scoresde.score.network_input import network_input


class NetworkClassifier:
    r"""log p(c | z) = log softmax_c net(z/s, noise),  s = sqrt(alpha^2 sigma_data^2 + sigma^2).

    The network sees what a score network sees: an input of unit variance and the noise
    -log_snr/8, clamped to [-3, 3]; it gives logits (batch, classes). Neither input depends on the
    process, so a classifier trained under one guides samples of every other. `given(labels)`
    binds the classes that an objective scores it by; the log-probabilities do not depend on them.

    Raises `OptionError` for a `sigma_data` out of range, a network of fewer than two classes and
    logits of another shape.
    """

    kind = "class"
    features = 0

    def __init__(self, net: nn.Module, event_shape: tuple[int, ...], sigma_data: float = 1.0):
        self.net = net
        self.event_shape = tuple(event_shape)
        if not 0.0 < sigma_data < math.inf:
            raise OptionError(f"sigma_data is positive and finite, got {sigma_data}")
        self.sigma_data = sigma_data
        self.classes = getattr(net, "classes", 0)
        if self.classes < 2:
            raise OptionError(f"a classifier's net needs classes >= 2, got {self.classes}")
        self.condition: Tensor | None = None

    def given(self, condition: Tensor | None) -> NetworkClassifier:
        """The same classifier beside the labels (batch,) int64 of its rows; -1 is no label."""
        bound = copy.copy(self)
        bound.condition = condition
        return bound

    def at_rows(self, index: slice | Tensor) -> NetworkClassifier:
        return self if self.condition is None else self.given(self.condition[index])

    def log_prob(self, z: Tensor, level: NoiseLevel) -> Tensor:
        logits = self.net(*network_input(z, level, self.sigma_data))
        if logits.shape != (len(z), self.classes):
            raise OptionError(
                f"the classifier's network gives {tuple(logits.shape)} for {len(z)} states, needs "
                f"({len(z)}, {self.classes})"
            )
        return logits.log_softmax(-1)


class ExactClassifier:
    """log p(c | z) of a density with labels, by Bayes' rule at every level.

    Raises `CapabilityError` for a density that has none.
    """

    kind = "class"

    def __init__(self, density: Density):
        if not getattr(density, "classes", 0):
            raise CapabilityError(
                f"{type(density).__name__} knows no classes; give its components labels"
            )
        self.density = density
        self.event_shape, self.classes = density.event_shape, density.classes

    def log_prob(self, z: Tensor, level: NoiseLevel) -> Tensor:
        return self.density.class_log_prob(z, level.alpha, level.sigma)
