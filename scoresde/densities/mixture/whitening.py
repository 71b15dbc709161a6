r"""Covariance matrices, factorised to whiten alpha^2 Sigma + sigma^2 I at any level."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from scoresde.densities.base import singular
from scoresde.densities.mixture.components import Movable, log_peaks
from scoresde.densities.principal import principal_axes
from scoresde.errors import OptionError


class Matrices(Movable):
    r"""Symmetric matrices Sigma >= 0, `dense` (K, d, d); raises `OptionError` for others.

    Above sigma = 0 they are taken along their principal axes, found once (`principal_axes`). At
    sigma = 0 Cholesky's factor serves, which spares a fit the axes. Both keep their digits
    whatever the scales of the coordinates; axes of matrices that require gradients do not.
    """

    def __init__(self, dense: Tensor):
        self.dense = dense
        if not torch.allclose(dense, dense.mT, rtol=1e-8, atol=1e-12):
            raise OptionError("covariances holds a matrix that is not symmetric")
        root, failed = torch.linalg.cholesky_ex(dense)
        self.root = None if bool(failed.any()) else root
        if self.root is None:
            variances = self.spectrum[0].detach()
            smallest = float(variances.min())
            if smallest < -1e-10 * max(float(variances.max()), 1e-300):
                raise OptionError(f"covariances holds a negative variance, {smallest:.3g}")

    @cached_property
    def singular(self) -> bool:
        """Whether some matrix has a direction of no width, to rounding."""
        return self.root is None or singular(self.dense.detach(), self.root.detach())

    @cached_property
    def spectrum(self) -> tuple[Tensor, Tensor]:
        """Variances as found, ascending, (K, d), and axes, the columns of (K, d, d)."""
        with torch.inference_mode(False), torch.enable_grad():  # kept for callers of every mode
            variances, axes = principal_axes(self.dense)
            return variances, laid_out(axes)

    @property
    def variances(self) -> Tensor:
        return self.spectrum[0].clamp(min=0.0)

    @property
    def axes(self) -> Tensor:
        return self.spectrum[1]

    @cached_property
    def clean(self) -> Tensor:
        """L^{-T} of Sigma = L L^T, which whitens at sigma = 0."""
        with torch.inference_mode(False), torch.enable_grad():
            unit = torch.eye(self.dense.shape[-1], dtype=torch.float64, device=self.dense.device)
            inverse = torch.linalg.solve_triangular(self.root, unit, upper=False)
            return laid_out(inverse.mT)

    def ratio(self, offsets: Tensor) -> float:
        """A bound on the squared lengths of whitened offsets (K, d), and on what they lose."""
        if self.root is None:
            return math.inf
        lengths = offsets.detach().abs().unsqueeze(-2) @ self.clean.detach().abs()
        return float(lengths.square().sum((-2, -1)).max())


def laid_out(matrices: Tensor) -> Tensor:
    """(K, d, e) in the memory of (d, K e), so that `side_by_side` copies nothing."""
    return matrices.transpose(0, 1).contiguous().transpose(0, 1)


def side_by_side(matrices: Tensor) -> Tensor:
    """(K, d, e) as (d, K e)."""
    return matrices.transpose(0, 1).flatten(1)


class Whitening:
    r"""C^{-1} = A A^T of C = alpha^2 Sigma + sigma^2 I, with A = `matrix` `scale`.

    For floats A (K, d, d) is whole and `scale` is 1; for levels (batch, 1) of rows `matrix` holds
    the axes and `scale` (batch, K, d). alpha Sigma A is `gain` `gain_scale` likewise, which takes
    whitened offsets to alpha Sigma C^{-1} (x - alpha mu).
    """

    def __init__(self, own: Matrices, alpha, sigma):
        self.own, self.alpha = own, alpha
        self.scale = self.gain_scale = 1.0
        by_row = isinstance(alpha, Tensor)
        self.rooted = not by_row and sigma == 0.0 and own.root is not None
        if self.rooted:
            variances = (alpha * own.root.diagonal(dim1=-2, dim2=-1)).square()
            self.matrix = own.clean if alpha == 1.0 else own.clean / alpha
        elif by_row:
            alpha, sigma = alpha.unsqueeze(-1), sigma.unsqueeze(-1)
            variances = alpha * alpha * own.variances + sigma * sigma
            self.matrix, self.scale = own.axes, variances.rsqrt()
            self.gain_scale = alpha * own.variances * self.scale
        else:
            variances = alpha * alpha * own.variances + sigma * sigma
            self.matrix = own.axes * variances.rsqrt().unsqueeze(-2)
        self.by_row = by_row
        self.peaks = log_peaks(variances, own.dense.shape[-1])

    @cached_property
    def gain(self) -> Tensor:
        if self.rooted:
            return self.own.root
        if self.by_row:
            return self.own.axes
        return self.matrix * (self.alpha * self.own.variances).unsqueeze(-2)
