"""Energy distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from scoresde.compare.distances import blocks
from scoresde.compare.metric import Metric, Shared


@dataclass(frozen=True)
class Spread:
    """A sample (n, d), its weights (R, n), and E|X - X'| under each, (R,)."""

    x: np.ndarray
    weights: np.ndarray
    within: np.ndarray


@dataclass(frozen=True, kw_only=True)
class EnergyDistance(Metric):
    r"""D = 2 E|X - Y| - E|X - X'| - E|Y - Y'|, zero only where the laws agree.

    unbiased (default): the U-statistic, in which
    E|X - X'| ~ sum_{i != j} w_i w_j |x_i - x_j| / (1 - sum_i w_i^2).
    It has mean 0 at any size where the laws agree, and is then often negative. Pairs (x_i, y_i)
    that began at the same noise are left out of E|X - Y| in the same way, since they lie closer
    than independent ones; so it stays unbiased, and is 0 for identical samples of the same noise.
    Otherwise the V-statistic, which keeps the pairs i = j: never negative, zero for identical
    samples, biased upward by E|X - X'|/n + E|Y - Y'|/m. In the unit of the data;
    scipy.stats.energy_distance is the square root of the V form.
    (Székely & Rizzo 2013, "Energy statistics", eq. 2.1 and 6.1.)
    """

    label: ClassVar[str] = "energy"
    unit: ClassVar[str] = "data"
    signed: ClassVar[bool] = True
    unbiased: bool = True

    def side(self, x: np.ndarray, weights: np.ndarray) -> Spread:
        within = _mean_distance(x, weights, x, weights)
        if self.unbiased:
            within /= 1.0 - np.square(weights).sum(axis=1)
        return Spread(x, weights, within)

    def between(self, a: Spread, b: Spread, shared: Shared | None = None) -> np.ndarray:
        across = _mean_distance(a.x, a.weights, b.x, b.weights)
        if self.unbiased and shared is not None:
            own, theirs = shared
            together = a.weights[:, own] * b.weights[:, theirs]
            apart = np.linalg.norm(a.x[own] - b.x[theirs], axis=1)
            across = (across - together @ apart) / (1.0 - together.sum(axis=1))
        return 2.0 * across - a.within - b.within


def _mean_distance(x: np.ndarray, w: np.ndarray, y: np.ndarray, v: np.ndarray) -> np.ndarray:
    """sum_ij w_ri v_rj |x_i - y_j| for every r: w (R, n), v (R, m) -> (R,)."""
    total = np.zeros(len(w))
    for rows, block in blocks(x, y):
        total += np.einsum("ri,ri->r", w[:, rows], v @ block.T)
    return total
