"""The one interface of a metric: a distance between two weighted samples, many weights at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

Shared = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Metric(ABC):
    """A distance between two samples x (n, d) and y (m, d), each under R weightings of its rows.

    The distance is taken in two parts, so that what depends on one sample is computed once for
    all comparisons in which it stands: `side`, of one sample, then `between` two sides. Row r of
    the weights of one side meets row r of the other's; weights are not negative and sum to 1.
    Equal weights give the plain estimate, others its bootstrap replicates or those of a subset.
    """

    label: ClassVar[str]  # head of a table's column
    unit: ClassVar[str]  # "data", "data^2": power of the unit of the samples
    paired: ClassVar[bool] = False  # rows of both sides belong together, aligned by sample id
    signed: ClassVar[bool] = False  # may be negative

    @abstractmethod
    def side(self, x: np.ndarray, weights: np.ndarray) -> object:
        """x: (n, d) float64, weights: (R, n) -> whatever `between` needs of this sample."""

    @abstractmethod
    def between(self, a: object, b: object, shared: Shared | None = None) -> np.ndarray:
        """(R,) distances between two sides.

        shared: places in a and in b of rows that began at the same noise, and so are not
        independent of each other. Most metrics leave it unused.
        """

    def __call__(self, x: np.ndarray, y: np.ndarray) -> float:
        """The distance between x (n, *event) and y (m, *event), all rows alike."""
        sides = []
        for sample in (x, y):
            rows = np.asarray(sample, dtype=np.float64).reshape(len(sample), -1)
            sides.append(self.side(rows, np.full((1, len(rows)), 1.0 / len(rows))))
        return float(self.between(*sides)[0])
