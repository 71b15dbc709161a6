"""A density for each row of a batch: what a density with labels is, given a class a row."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scoresde.densities.base import Density
from scoresde.errors import CapabilityError, OptionError


class PerRow(Density):
    """Row i has the law `densities[which[i]]`, for `which` (batch,) of int64.

    Asked with as many states and sampled with as many ids; raises `OptionError` otherwise. `whole`
    is the density that it comes from, which can be given other labels.
    """

    def __init__(self, whole: Density, densities: list[Density], which: Tensor):
        self.whole, self.densities, self.which = whole, densities, which
        self.event_shape, self.classes = whole.event_shape, whole.classes

    def given(self, labels: Tensor | None) -> Density:
        return self.whole.given(labels)

    def class_log_prob(self, x: Tensor, alpha=1.0, sigma=0.0) -> Tensor:
        return self.whole.class_log_prob(x, alpha, sigma)

    def _flat(self, x: Tensor, alpha, sigma):
        return self.whole._flat(x, alpha, sigma)

    def _gather(self, count: int, ask: Callable[[Density, Tensor], Tensor]) -> Tensor:
        """ask(density, rows) of each density's rows, in the order of the rows."""
        if count != len(self.which):
            raise OptionError(
                f"a density given {len(self.which)} labels was asked about {count} rows"
            )
        used = self.which.unique().tolist() or [0]
        rows = [(self.which == k).nonzero()[:, 0] for k in used]
        parts = [ask(self.densities[k], r) for k, r in zip(used, rows, strict=True)]
        return torch.cat(parts)[torch.cat(rows).argsort()]

    def _log_prob(self, x: Tensor, alpha, sigma) -> Tensor:
        return self._gather(
            len(x), lambda p, r: p._log_prob(x[r], _rows(alpha, r), _rows(sigma, r))
        )

    def _score(self, x: Tensor, alpha, sigma) -> Tensor:
        return self._gather(len(x), lambda p, r: p._score(x[r], _rows(alpha, r), _rows(sigma, r)))

    def _posterior(self, x: Tensor, alpha, sigma) -> tuple[Tensor, Tensor]:
        both = self._gather(
            len(x),
            lambda p, r: torch.stack(
                p._posterior(x[r], _rows(alpha, r), _rows(sigma, r)),
                dim=1,
            ),
        )
        return both[:, 0], both[:, 1]

    def _sample(self, ids: Tensor, seed: int) -> Tensor:
        return self._gather(len(ids), lambda p, r: p._sample(ids[r], seed))


def _rows(level, rows: Tensor):
    return level[rows] if isinstance(level, Tensor) else level


def class_of_rows(labels: Tensor, classes: int) -> Tensor:
    """Labels (batch,) as int64 within -1..classes-1; raises if they are not, or if there are none.

    Raises `CapabilityError` for no classes, `OptionError` for other labels.
    """
    if not classes:
        raise CapabilityError(
            "this density knows no classes; give every component or datum its class "
            "(labels = [0, 1])"
        )
    if labels.ndim != 1 or labels.is_floating_point() or labels.dtype == torch.bool:
        raise OptionError(
            f"labels are whole numbers (batch,), got {labels.dtype} {tuple(labels.shape)}"
        )
    if bool(((labels < -1) | (labels >= classes)).any()):
        raise OptionError(
            f"the density has the classes 0..{classes - 1} (-1: none), got labels from "
            f"{int(labels.min())} to {int(labels.max())}"
        )
    return labels.to(torch.int64)
