r"""Components with covariance matrices: one for all (tied), or one each (full)."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from scoresde.densities.mixture.components import (
    LOST,
    Components,
    Diffused,
    Products,
    square_distances,
)
from scoresde.densities.mixture.whitening import Matrices, Whitening, side_by_side


class Rotated(Components):
    """Sigma_k from `covariances`, (K, d, d) or (1, d, d)."""

    def __init__(self, means: Tensor, covariances: Tensor):
        super().__init__(means)
        self.own = Matrices(covariances)

    @property
    def degenerate(self) -> bool:
        return self.own.singular

    @cached_property
    def clean_ratio(self) -> float:
        return self.own.ratio(self.offsets)

    def matrices(self) -> Tensor:
        return self.own.dense.expand(len(self.means), -1, -1)


class Tied(Rotated):
    """Sigma_k = Sigma, `covariance` (d, d)."""

    structure = "tied"

    def __init__(self, means: Tensor, covariance: Tensor):
        super().__init__(means, covariance.unsqueeze(0))

    @property
    def variances(self) -> Tensor:
        return self.own.variances[0]

    @property
    def axes(self) -> Tensor:
        return self.own.axes[0]

    def width(self, alpha, sigma) -> int:
        rotated = self.ratio(alpha, sigma) <= LOST * LOST
        return sum(self.means.shape) if rotated else self.means.numel()

    def at(self, alpha, sigma) -> Diffused:
        ratio = self.ratio(alpha, sigma)
        if ratio <= LOST * LOST:
            return TiedAt(self, alpha, sigma, products=ratio <= LOST)
        return Differences(self, alpha, sigma)

    def coloured(self, z: Tensor, k: Tensor) -> Tensor:
        return (z * self.variances.sqrt()) @ self.axes.T


class TiedAt(Diffused):
    """y = (x - alpha c) A about the centre c, (batch, d), with A A^T = C^{-1}."""

    def __init__(self, own: Tied, alpha: float, sigma: float, *, products: bool):
        self.white = Whitening(own.own, alpha, sigma)
        self.centre = alpha * own.centre
        self.means = alpha * own.offsets @ self.white.matrix[0]
        ones = torch.ones_like(self.means[:, :1])
        self.products = Products(self.white.peaks, self.means, ones) if products else None

    def offsets(self, x: Tensor) -> Tensor:
        return (x - self.centre) @ self.white.matrix[0]

    def log_normals(self, y: Tensor) -> Tensor:
        if self.products is not None:
            return self.products(y)
        return self.white.peaks - 0.5 * square_distances(y, self.means)

    def _average(self, y: Tensor, r: Tensor) -> Tensor:
        return r.sum(-1, keepdim=True) * y - r @ self.means

    def pull(self, y: Tensor, r: Tensor) -> Tensor:
        return self._average(y, r) @ self.white.matrix[0].T

    def shift(self, y: Tensor, r: Tensor) -> Tensor:
        return self._average(y, r) @ self.white.gain[0].T


class Full(Rotated):
    """Sigma_k, `covariances` (K, d, d)."""

    structure = "full"

    @property
    def variances(self) -> Tensor:
        return self.own.variances

    @property
    def axes(self) -> Tensor:
        return self.own.axes

    def width(self, alpha, sigma) -> int:
        return self.means.numel()

    def at(self, alpha, sigma) -> Diffused:
        if self.ratio(alpha, sigma) <= LOST * LOST:
            return FullAt(self, alpha, sigma)
        return Differences(self, alpha, sigma)

    def coloured(self, z: Tensor, k: Tensor) -> Tensor:
        axes = self.axes[k].mT.contiguous().mT  # whose layout decides the last bit of a draw
        return torch.einsum("be,bde->bd", z * self.variances[k].sqrt(), axes)


class FullAt(Diffused):
    """y = (x - alpha mu_k) A_k, (batch, K, d), as (x - alpha c) A_k - alpha (mu_k - c) A_k."""

    def __init__(self, own: Full, alpha: float, sigma: float):
        self.white = Whitening(own.own, alpha, sigma)
        self.centre = alpha * own.centre
        self.means = torch.einsum("kd,kde->ke", alpha * own.offsets, self.white.matrix)
        self.matrix = side_by_side(self.white.matrix)

    @cached_property
    def gain(self) -> Tensor:
        return side_by_side(self.white.gain)

    def offsets(self, x: Tensor) -> Tensor:
        y = torch.addmm(self.means.flatten(), x - self.centre, self.matrix, beta=-1.0)
        return y.view(len(x), *self.means.shape)

    def log_normals(self, y: Tensor) -> Tensor:
        return self.white.peaks - 0.5 * y.square().sum(-1)

    def pull(self, y: Tensor, r: Tensor) -> Tensor:
        return (self.matrix @ (r.unsqueeze(-1) * y).flatten(1).T).T

    def shift(self, y: Tensor, r: Tensor) -> Tensor:
        return (self.gain @ (r.unsqueeze(-1) * y).flatten(1).T).T


class Differences(Diffused):
    """y = (x - alpha mu_k) A_k, (batch, K, d), of explicit differences; levels of every kind."""

    def __init__(self, own: Rotated, alpha, sigma):
        self.means = own.means
        self.white = Whitening(own.own, alpha, sigma)
        self.alpha = alpha.unsqueeze(-1) if isinstance(alpha, Tensor) else alpha

    def offsets(self, x: Tensor) -> Tensor:
        y, turn = x.unsqueeze(1) - self.alpha * self.means, self.white.matrix
        y = y @ turn[0] if len(turn) == 1 else torch.einsum("bkd,kde->bke", y, turn)
        return y * self.white.scale

    def log_normals(self, y: Tensor) -> Tensor:
        return self.white.peaks - 0.5 * y.square().sum(-1)

    def _average(self, y: Tensor, r: Tensor, back: Tensor) -> Tensor:
        y = r.unsqueeze(-1) * y
        return y.sum(1) @ back[0].T if len(back) == 1 else torch.einsum("bke,kde->bd", y, back)

    def pull(self, y: Tensor, r: Tensor) -> Tensor:
        return self._average(y * self.white.scale, r, self.white.matrix)

    def shift(self, y: Tensor, r: Tensor) -> Tensor:
        return self._average(y * self.white.gain_scale, r, self.white.gain)
