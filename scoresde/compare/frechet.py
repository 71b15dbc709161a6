"""Fréchet distance between Gaussian fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from scoresde.compare.metric import Metric, Shared
from scoresde.errors import OptionError


@dataclass(frozen=True)
class Moments:
    """Means (R, d), symmetric square roots of covariances (R, d, d), and their traces (R,)."""

    mean: np.ndarray
    root: np.ndarray
    trace: np.ndarray


@dataclass(frozen=True, kw_only=True)
class GaussianFrechet(Metric):
    r"""F = |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^{1/2}), in the unit of the data squared.

    The squared 2-Wasserstein distance between N(m_1, C_1) and N(m_2, C_2), of the samples' means
    and unbiased covariances, on the data themselves (pixels), not on a network's features. Biased
    upward by O(d^2 (1/n + 1/m)), which is large: hold it against the floor. A Gaussian fitted to
    the data passes it, so a low value proves little.

    tr (C_1 C_2)^{1/2} is the sum of the singular values of C_1^{1/2} C_2^{1/2}: only symmetric
    eigenproblems and no inverse, so that constant pixels do no harm. Costs O(d^3) a replicate;
    beyond `interval_dim` coordinates there is a value but no interval.
    (Dowson & Landau 1982, eq. 16; Heusel et al. 2017, eq. 6.)
    """

    label: ClassVar[str] = "pixel Fréchet"
    unit: ClassVar[str] = "data^2"
    interval_dim: int = 256

    def __post_init__(self) -> None:
        if self.interval_dim < 0:
            raise OptionError(f"interval_dim is not negative, got {self.interval_dim}")

    def side(self, x: np.ndarray, weights: np.ndarray) -> Moments:
        if x.shape[1] > self.interval_dim:
            weights = weights[:1]
        mean = weights @ x
        covariance = np.empty((len(weights), x.shape[1], x.shape[1]))
        for w, m, c in zip(weights, mean, covariance, strict=True):
            # Rows of weight 0 (a subset) cost nothing; weights enter by their roots, so that the
            # product is symmetric to the last bit.
            kept = w > 0.0
            centred = (x[kept] - m) * np.sqrt(w[kept] / (1.0 - w @ w))[:, None]
            np.matmul(centred.T, centred, out=c)
        return Moments(mean, square_root(covariance), np.trace(covariance, axis1=1, axis2=2))

    def between(self, a: Moments, b: Moments, shared: Shared | None = None) -> np.ndarray:
        overlap = np.linalg.svd(a.root @ b.root, compute_uv=False).sum(axis=1)
        apart = np.square(a.mean - b.mean).sum(axis=1)
        # Rounding can leave identical samples a hair below zero.
        return np.maximum(apart + a.trace + b.trace - 2.0 * overlap, 0.0)


def square_root(covariance: np.ndarray) -> np.ndarray:
    """C^{1/2}, symmetric, of C (R, d, d); eigenvalues within rounding of 0 count as 0."""
    values, axes = np.linalg.eigh(covariance)
    noise = values[:, -1:] * values.shape[1] * np.finfo(np.float64).eps
    roots = np.sqrt(np.where(values > noise, values, 0.0))
    return (axes * roots[:, None, :]) @ axes.swapaxes(1, 2)
