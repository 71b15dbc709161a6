"""Root mean square difference of paired samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from scoresde.compare.metric import Metric, Shared
from scoresde.compare.sample_set import SampleSet


@dataclass(frozen=True)
class Weighted:
    """A sample (n, d) and its weights (R, n)."""

    x: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True, kw_only=True)
class PairedRMS(Metric):
    r"""RMS = (sum_i w_i |x_i - y_i|^2 / d)^{1/2}, in the unit of the data, a coordinate.

    x_i and y_i come from the same starting noise: the strong error of a deterministic sampler,
    free of the noise of sampling; of order h^p for a solver of order p. Both sides hold the same
    samples in the same order under the same weights.
    """

    label: ClassVar[str] = "paired RMS"
    unit: ClassVar[str] = "data"
    paired: ClassVar[bool] = True

    def side(self, x: np.ndarray, weights: np.ndarray) -> Weighted:
        return Weighted(x, weights)

    def between(self, a: Weighted, b: Weighted, shared: Shared | None = None) -> np.ndarray:
        difference = a.x - b.x
        # Scaled by the largest, so that differences of 1e-200 keep their squares.
        largest = np.abs(difference).max() or 1.0
        return largest * np.sqrt(a.weights @ np.square(difference / largest).mean(axis=1))


def why_unpaired(reference: SampleSet, candidate: SampleSet, common: int) -> str:
    """Why there is no paired error, or '' where there is one."""
    for sample, whose in ((candidate, ""), (reference, "the reference: ")):
        if sample.stochastic:
            return f"{whose}stochastic"
        if sample.sample_id is None:
            return f"{whose}no sample ids"
    if not reference.same_start(candidate):
        return "another start"
    return "" if common >= 2 else ("only one common id" if common else "no common ids")
