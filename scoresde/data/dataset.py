"""What every data set loads to."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scoresde.data.scaling import Scaling


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Two splits in model space, and the scaling that leads back to the data as given.

    train (n, *event) and test (m, *event), float32; labels, where there are any, int64 (n,), (m,).
    `attribution` names the makers and the licence, or says that the data come from a formula.
    """

    name: str
    train: Tensor
    test: Tensor
    scaling: Scaling
    attribution: str
    train_labels: Tensor | None = None
    test_labels: Tensor | None = None

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(self.train.shape[1:])

    @property
    def std(self) -> float:
        """Root-mean-square deviation of the training split's elements from their common mean."""
        return self.train.double().std(correction=0).item()
