r"""Components of low rank: a mixture of probabilistic PCAs, with no d x d matrix anywhere.

(Tipping & Bishop 1999, Mixtures of probabilistic principal component analysers.)
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from scoresde.densities.base import LOG_TWO_PI
from scoresde.densities.mixture.components import LOST, Components, Diffused, Products
from scoresde.densities.mixture.whitening import laid_out, side_by_side


class LowRank(Components):
    r"""Sigma_k = W_k W_k^T + r_k I of `factors` (K, d, m), m < d, and `variances` r (K,).

    Held as W_k = U_k diag(s_k) V^T: C_k has variances alpha^2 (s_k^2 + r_k) + sigma^2 along the
    columns of U_k and rho_k = alpha^2 r_k + sigma^2 elsewhere.
    """

    structure = "low-rank"

    def __init__(self, means: Tensor, factors: Tensor, variances: Tensor):
        super().__init__(means)
        self.variances = variances
        axes, singular, _ = torch.linalg.svd(factors, full_matrices=False)
        self.axes = laid_out(axes)
        self.spread = singular.square()  # s^2, (K, m)

    @cached_property
    def reach(self) -> float:
        """Largest squared distance of a mean from the centre, and the components' own extent."""
        squares = self.offsets.square().sum(-1) + self.spread.sum(-1)
        return float(squares.detach().max())

    @cached_property
    def clean_ratio(self) -> float:
        squares = self.offsets.square().sum(-1) + self.spread.sum(-1)
        return float((squares / self.variances).detach().max())

    def width(self, alpha, sigma) -> int:
        k, d = self.means.shape
        m = self.spread.shape[1]
        return k * (m + 1) + d if self.ratio(alpha, sigma) <= LOST else k * (d + m)

    def at(self, alpha, sigma) -> Diffused:
        return LowRankAt(self, alpha, sigma)

    def coloured(self, z: Tensor, k: Tensor) -> Tensor:
        rest = self.variances[k].unsqueeze(-1)
        along = torch.einsum("bd,bdm->bm", z, self.axes[k])
        more = (self.spread[k] + rest).sqrt() - rest.sqrt()
        return rest.sqrt() * z + torch.einsum("bm,bdm->bd", along * more, self.axes[k])

    def matrices(self) -> Tensor:
        spread = (self.axes * self.spread.unsqueeze(-2)) @ self.axes.mT
        return spread + torch.diag_embed(self.variances.unsqueeze(-1).expand_as(self.means))


class LowRankAt(Diffused):
    """y: x - alpha c (batch, d), the coordinates U_k^T (x - alpha mu_k) (batch, K, m), and by
    differences what of x - alpha mu_k lies outside the axes (batch, K, d), None by products.

    Variances along the axes are (K, m) or (batch, K, m), outside them (K,) or (batch, K).
    """

    def __init__(self, own: LowRank, alpha, sigma):
        self.own, self.alpha = own, alpha
        d, m = own.axes.shape[1:]
        self.outside = alpha * alpha * own.variances + sigma * sigma
        self.gain_outside = alpha * own.variances / self.outside
        by_row = isinstance(alpha, Tensor)
        self.a, s = (alpha.unsqueeze(-1), sigma.unsqueeze(-1)) if by_row else (alpha, sigma)
        spread, outside = self.a * self.a * own.spread, self.outside.unsqueeze(-1)
        self.along = outside + spread
        self.excess = spread / (outside * self.along)  # 1 / outside - 1 / along
        self.gain_excess = self.a * own.spread * s * s / (outside * self.along)
        log_det = self.along.log().sum(-1) + (d - m) * self.outside.log()
        self.peaks = -0.5 * (d * LOG_TWO_PI + log_det)
        self.side_by_side = side_by_side(own.axes)  # (d, K m)
        self.products = None
        if own.ratio(alpha, sigma) <= LOST:
            self.means = torch.einsum("kd,kdm->km", alpha * own.offsets, own.axes)
            self.products = Products(self.peaks, alpha * own.offsets, 1.0 / outside)

    def offsets(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        own, centred = self.own, x - self.alpha * self.own.centre
        if self.products is not None:
            along = torch.addmm(self.means.flatten(), centred, self.side_by_side, beta=-1.0)
            return centred, along.view(len(x), *own.spread.shape), None
        y = x.unsqueeze(1) - self.a * own.means
        along = torch.einsum("bkd,kdm->bkm", y, own.axes)
        rest = y - torch.einsum("bkm,kdm->bkd", along, own.axes)
        # what rounding leaves of it along the axes would be divided by a small variance
        left = torch.einsum("bkd,kdm->bkm", rest, own.axes)
        return centred, along, rest - torch.einsum("bkm,kdm->bkd", left, own.axes)

    def log_normals(self, y: tuple[Tensor, Tensor, Tensor | None]) -> Tensor:
        centred, along, rest = y
        if rest is None:
            return self.products(centred) + 0.5 * (along.square() * self.excess).sum(-1)
        square = (along.square() / self.along).sum(-1) + rest.square().sum(-1) / self.outside
        return self.peaks - 0.5 * square

    def _average(self, y, share: Tensor, along: Tensor) -> Tensor:
        """sum_k share_k (x - alpha mu_k) + U_k along_k."""
        out = share.sum(-1, keepdim=True) * y[0] - self.alpha * (share @ self.own.offsets)
        return out + along.flatten(1) @ self.side_by_side.T

    def pull(self, y: tuple[Tensor, Tensor, Tensor | None], r: Tensor) -> Tensor:
        if y[2] is not None:
            out = ((r / self.outside).unsqueeze(-1) * y[2]).sum(1)
            return out + (r.unsqueeze(-1) * y[1] / self.along).flatten(1) @ self.side_by_side.T
        return self._average(y, r / self.outside, -r.unsqueeze(-1) * y[1] * self.excess)

    def shift(self, y: tuple[Tensor, Tensor, Tensor | None], r: Tensor) -> Tensor:
        return self._average(y, r * self.gain_outside, r.unsqueeze(-1) * y[1] * self.gain_excess)
