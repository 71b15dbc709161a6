"""A density that is made of others and, once made, is one of the family's plain members."""

from __future__ import annotations

import copy
from typing import Self

from torch import Tensor

from scoresde.densities.base import Density


class Derived(Density):
    """A law that is asked as `density`, whatever it was made of.

    A member sets `density` and `event_shape`; classes and labels are those of `density`.
    """

    density: Density

    @property
    def degenerate(self) -> bool:
        return self.density.degenerate

    @property
    def classes(self) -> int:
        return getattr(self.density, "classes", 0)

    def given(self, labels: Tensor | None) -> Self:
        """p(x|c) of one class a row, as the `density`'s own; the number of rows is then fixed."""
        bound = copy.copy(self)
        bound.density = self.density.given(labels)
        return bound

    def class_log_prob(self, x: Tensor, alpha=1.0, sigma=0.0) -> Tensor:
        """log p(c|z) of every class, (batch, classes), of a density that knows classes."""
        flat = x.reshape(len(x), *self.density.event_shape)
        return self.density.class_log_prob(flat, alpha, sigma)

    def _log_prob(self, x: Tensor, alpha, sigma) -> Tensor:
        return self.density._log_prob(x, alpha, sigma)

    def _score(self, x: Tensor, alpha, sigma) -> Tensor:
        return self.density._score(x, alpha, sigma)

    def _posterior(self, x: Tensor, alpha, sigma) -> tuple[Tensor, Tensor]:
        return self.density._posterior(x, alpha, sigma)

    def _sample(self, ids: Tensor, seed: int) -> Tensor:
        return self.density._sample(ids, seed)


def plain(density: Density) -> Density:
    """The law itself, where a density was derived."""
    while isinstance(density, Derived):
        density = density.density
    return density
