r"""The interface of a mixture's components N(mu_k, Sigma_k), of one structure.

Diffused they are N(alpha mu_k, C_k), C_k = alpha^2 Sigma_k + sigma^2 I. Distances come of matrix
products about the mean of the means where those keep their digits, and of explicit differences
elsewhere.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from scoresde.densities.base import LOG_TWO_PI

# An expanded square loses (distance of a mean from the centre / sd)^2 units of rounding: 2^14 of
# them leave a log-density good to 5e-12.
LOST = 2.0**14
_SMALLEST_ALPHA = 1e-18  # below it a row's alpha m is lost beside x in any case


class Movable:
    """Holds tensors, tuples of them, and others of its kind."""

    def to(self, device) -> Self:
        """The same on a torch device."""

        def there(value):
            if isinstance(value, tuple):
                return tuple(there(inner) for inner in value)
            return value.to(device) if hasattr(value, "to") else value

        moved = copy.copy(self)
        for name, value in vars(self).items():
            setattr(moved, name, there(value))
        return moved


class Diffused(ABC):
    """Components at a level, asked about rows x (batch, d) by their offsets y from the means.

    The form of y is the structure's own; r (batch, K) are weights of the components.
    """

    @abstractmethod
    def offsets(self, x: Tensor) -> Any:
        """x - alpha mu_k, in the form that the other methods take."""

    @abstractmethod
    def log_normals(self, y: Any) -> Tensor:
        """log N(x; alpha mu_k, C_k) in nats, (batch, K)."""

    @abstractmethod
    def pull(self, y: Any, r: Tensor) -> Tensor:
        """sum_k r_k C_k^{-1} (x - alpha mu_k), (batch, d)."""

    @abstractmethod
    def shift(self, y: Any, r: Tensor) -> Tensor:
        """sum_k r_k alpha Sigma_k C_k^{-1} (x - alpha mu_k), (batch, d)."""


class Components(Movable, ABC):
    """K Gaussians on R^d in float64; `means` (K, d) lie at `centre` (d,) + `offsets` (K, d)."""

    structure: ClassVar[str]

    def __init__(self, means: Tensor):
        self.means = means
        self.centre = means.mean(0)
        self.offsets = means - self.centre

    @cached_property
    def degenerate(self) -> bool:
        """Whether a component has no width in some direction."""
        return not bool((self.variances > 0.0).all())

    @cached_property
    def reach(self) -> float:
        """Largest squared distance of a mean from the centre."""
        return float(self.offsets.detach().square().sum(-1).max())

    @property
    @abstractmethod
    def clean_ratio(self) -> float:
        """Largest squared distance of a mean from the centre in units of a variance."""

    def ratio(self, alpha, sigma) -> float:
        """A bound on the same of the diffused components; infinite for a level of each row."""
        if isinstance(alpha, Tensor):
            return math.inf
        diffused = (alpha / sigma) * (alpha / sigma) * self.reach if sigma else math.inf
        return min(self.clean_ratio, diffused)  # NaN, of 0 / 0, is under no threshold

    @abstractmethod
    def width(self, alpha, sigma) -> int:
        """How many numbers the evaluation of a row holds."""

    @abstractmethod
    def at(self, alpha, sigma) -> Diffused:
        """At floats, or at tensors (batch, 1) for as many rows."""

    @abstractmethod
    def coloured(self, z: Tensor, k: Tensor) -> Tensor:
        """Sigma_k^{1/2} z for rows z (batch, d) and components k (batch,)."""

    @abstractmethod
    def matrices(self) -> Tensor:
        """Sigma_k, dense, (K, d, d)."""


class Products:
    """c_k - 1/2 sum_j p_kj (y_j - m_kj)^2 by two matrix products.

    Means m (K, d), precisions p (K, d), or (K, 1) where all coordinates share one.
    """

    def __init__(self, constant: Tensor, means: Tensor, precisions: Tensor):
        weighted = precisions * means
        self.constant = constant - 0.5 * (weighted * means).sum(-1)
        self.linear, self.square = weighted.T, precisions.T

    def __call__(self, y: Tensor) -> Tensor:
        squares = y.square()
        if len(self.square) == 1:
            squares = squares.sum(-1, keepdim=True)
        linear = torch.addmm(self.constant, y, self.linear)
        return linear.addmm_(squares, self.square, alpha=-0.5)


def square_distances(x: Tensor, means: Tensor, alpha=1.0) -> Tensor:
    """|x - alpha m_k|^2 by explicit differences, (batch, K), with no (batch, K, d) in between."""
    exact = {"compute_mode": "donot_use_mm_for_euclid_dist"}
    if isinstance(alpha, Tensor):
        alpha = alpha.clamp(min=_SMALLEST_ALPHA)
        return (torch.cdist(x / alpha, means, **exact) * alpha).square()
    return torch.cdist(x, alpha * means, **exact).square()


def log_peaks(variances: Tensor, dim: int) -> Tensor:
    """log N at the mean, -(d log 2 pi + log det) / 2, of variances (..., d) or (..., 1)."""
    log_det = variances.log().sum(-1) * (dim // variances.shape[-1])
    return -0.5 * (dim * LOG_TWO_PI + log_det)
