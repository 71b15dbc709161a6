r"""Wishart laws of precision matrices, one batch for each structure of covariances.

A law W(S^-1, nu) of order p has the density B |Lambda|^((nu-p-1)/2) exp(-tr(S Lambda)/2), with

    log B = nu/2 log|S| - nu p/2 log 2 - log Gamma_p(nu/2).

S is the inverse of the usual scale matrix: what a prior adds to the scatter of the data. Of order
one it is the Gamma law with shape nu/2 and rate S/2. (Bishop 2006, appendix B.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

STRUCTURES = ("spherical", "diagonal", "tied", "full")
MATRICES = ("tied", "full")  # those whose precisions are matrices


@dataclass(frozen=True, kw_only=True, eq=False)
class Wishart:
    """Independent laws of all precisions of a mixture, float64.

    structure   scatters S   degrees nu   a law of order one or d for
    spherical   (K,)         (K,)         each component's precision, common to all axes
    diagonal    (K, d)       (K,)         each component's precision along each axis
    tied        (d, d)       ()           the precision matrix of all components
    full        (K, d, d)    (K,)         each component's precision matrix
    """

    structure: str
    scatters: Tensor
    degrees: Tensor

    @property
    def order(self) -> int:
        """p, the size of a precision matrix."""
        return self.scatters.shape[-1] if self.structure in MATRICES else 1

    @cached_property
    def factors(self) -> Tensor:
        """Lower Cholesky factors of the scatters, for structures of matrices."""
        return torch.linalg.cholesky(self.scatters)

    @property
    def log_scatters(self) -> Tensor:
        """log|S| of every law."""
        if self.structure in MATRICES:
            return 2.0 * self.factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return self.scatters.log()

    @property
    def nu(self) -> Tensor:
        """The degrees of every law, broadcasting with `log_scatters`."""
        return self.degrees[:, None] if self.structure == "diagonal" else self.degrees

    @property
    def excess(self) -> Tensor:
        """E log|Lambda| - log|E Lambda| = sum_{i<p} psi((nu - i)/2) + p log(2/nu), <= 0."""
        steps = torch.arange(self.order, dtype=torch.float64, device=self.nu.device)
        each = torch.special.digamma((self.nu[..., None] - steps) / 2.0)
        return each.sum(-1) + self.order * (2.0 / self.nu).log()

    @property
    def expected_log(self) -> Tensor:
        """E log|Lambda| of every law."""
        return self.excess + self.order * self.nu.log() - self.log_scatters

    def traces(self, squares: Tensor) -> Tensor:
        """tr(S^-1 A) of every law, A in the shape of the scatters."""
        if self.structure in MATRICES:
            inner = torch.cholesky_solve(squares, self.factors)
            return inner.diagonal(dim1=-2, dim2=-1).sum(-1)
        return squares / self.scatters

    @property
    def log_constants(self) -> Tensor:
        """log B of every law."""
        gammas = torch.special.multigammaln(self.nu / 2.0, self.order)
        half = self.nu / 2.0
        return half * (self.log_scatters - self.order * math.log(2.0)) - gammas

    def divergence(self, prior: Wishart) -> Tensor:
        """KL(self || prior), summed over all laws; a scalar in nats.

        = log B - log B0 + (nu - nu0)/2 E log|Lambda| + nu/2 (tr(S^-1 S0) - p)
        """
        gap = 0.5 * (self.nu - prior.nu) * self.expected_log
        pull = 0.5 * self.nu * (self.traces(prior.scatters) - self.order)
        return (self.log_constants - prior.log_constants + gap + pull).sum()
