"""Components with diagonal covariances: spherical, or a variance for every coordinate."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from scoresde.densities.mixture.components import (
    LOST,
    Components,
    Diffused,
    Products,
    log_peaks,
    square_distances,
)


class Spherical(Components):
    """Sigma_k = v_k I, `variances` (K,)."""

    structure = "spherical"
    axes = None

    def __init__(self, means: Tensor, variances: Tensor):
        super().__init__(means)
        self.variances = variances

    @cached_property
    def clean_ratio(self) -> float:
        return float((self.offsets.square().sum(-1) / self.variances).detach().max())

    def width(self, alpha, sigma) -> int:
        return sum(self.means.shape)

    def at(self, alpha, sigma) -> Diffused:
        return SphericalAt(self, alpha, sigma)

    def coloured(self, z: Tensor, k: Tensor) -> Tensor:
        return z * self.variances[k].sqrt().unsqueeze(-1)

    def matrices(self) -> Tensor:
        return torch.diag_embed(self.variances.unsqueeze(-1).expand_as(self.means))


class SphericalAt(Diffused):
    """y = x, and x - alpha c about the centre c; variances (K,) or (batch, K)."""

    def __init__(self, own: Spherical, alpha, sigma):
        self.own, self.alpha = own, alpha
        self.centre = alpha * own.centre
        self.variances = alpha * alpha * own.variances + sigma * sigma
        self.peaks = log_peaks(self.variances.unsqueeze(-1), own.means.shape[1])
        self.products = None
        if own.ratio(alpha, sigma) <= LOST:
            precisions = 1.0 / self.variances.unsqueeze(-1)
            self.products = Products(self.peaks, alpha * own.offsets, precisions)

    def offsets(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x - self.centre

    def log_normals(self, y: tuple[Tensor, Tensor]) -> Tensor:
        if self.products is not None:
            return self.products(y[1])
        square = square_distances(y[0], self.own.means, self.alpha)
        return self.peaks - 0.5 * square / self.variances

    def _average(self, y: tuple[Tensor, Tensor], share: Tensor) -> Tensor:
        """sum_k share_k (x - alpha mu_k)."""
        return share.sum(-1, keepdim=True) * y[1] - self.alpha * (share @ self.own.offsets)

    def pull(self, y: tuple[Tensor, Tensor], r: Tensor) -> Tensor:
        return self._average(y, r / self.variances)

    def shift(self, y: tuple[Tensor, Tensor], r: Tensor) -> Tensor:
        return self._average(y, r * (self.alpha * self.own.variances / self.variances))


class Diagonal(Components):
    """Sigma_k = diag(v_k), `variances` (K, d)."""

    structure = "diagonal"
    axes = None

    def __init__(self, means: Tensor, variances: Tensor):
        super().__init__(means)
        self.variances = variances

    @cached_property
    def clean_ratio(self) -> float:
        return float((self.offsets.square() / self.variances).sum(-1).detach().max())

    def width(self, alpha, sigma) -> int:
        exact = self.ratio(alpha, sigma) <= LOST
        return sum(self.means.shape) if exact else self.means.numel()

    def at(self, alpha, sigma) -> Diffused:
        if self.ratio(alpha, sigma) <= LOST:
            return DiagonalProducts(self, alpha, sigma)
        return DiagonalDifferences(self, alpha, sigma)

    def coloured(self, z: Tensor, k: Tensor) -> Tensor:
        return z * self.variances[k].sqrt()

    def matrices(self) -> Tensor:
        return torch.diag_embed(self.variances)


class DiagonalProducts(Diffused):
    """y = x - alpha c about the centre c, (batch, d); variances (K, d)."""

    def __init__(self, own: Diagonal, alpha: float, sigma: float):
        self.alpha, self.own = alpha, own
        self.means = alpha * own.offsets
        self.variances = alpha * alpha * own.variances + sigma * sigma
        peaks = log_peaks(self.variances, own.means.shape[1])
        self.products = Products(peaks, self.means, 1.0 / self.variances)

    def offsets(self, x: Tensor) -> Tensor:
        return x - self.alpha * self.own.centre

    def log_normals(self, y: Tensor) -> Tensor:
        return self.products(y)

    def _average(self, y: Tensor, r: Tensor, gains: Tensor) -> Tensor:
        """sum_k r_k gains_k (x - alpha mu_k)."""
        return y * (r @ gains) - r @ (gains * self.means)

    def pull(self, y: Tensor, r: Tensor) -> Tensor:
        return self._average(y, r, 1.0 / self.variances)

    def shift(self, y: Tensor, r: Tensor) -> Tensor:
        return self._average(y, r, self.alpha * self.own.variances / self.variances)


class DiagonalDifferences(Diffused):
    """y = x - alpha mu_k, (batch, K, d); variances (K, d) or (batch, K, d)."""

    def __init__(self, own: Diagonal, alpha, sigma):
        self.own = own
        if isinstance(alpha, Tensor):
            alpha, sigma = alpha.unsqueeze(-1), sigma.unsqueeze(-1)
        self.alpha = alpha
        self.variances = alpha * alpha * own.variances + sigma * sigma
        self.peaks = log_peaks(self.variances, own.means.shape[1])

    def offsets(self, x: Tensor) -> Tensor:
        return x.unsqueeze(1) - self.alpha * self.own.means

    def log_normals(self, y: Tensor) -> Tensor:
        return self.peaks - 0.5 * (y.square() / self.variances).sum(-1)

    def pull(self, y: Tensor, r: Tensor) -> Tensor:
        return torch.einsum("bk,bkd->bd", r, y / self.variances)

    def shift(self, y: Tensor, r: Tensor) -> Tensor:
        gains = self.alpha * self.own.variances / self.variances
        return torch.einsum("bk,bkd->bd", r, y * gains)
