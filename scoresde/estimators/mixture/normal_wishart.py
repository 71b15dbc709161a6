r"""Normal-Wishart laws of the means and precisions of a mixture: conjugate to Gaussian data.

    Lambda_k ~ W(S_k^-1, nu_k),   mu_k | Lambda_k ~ N(m_k, (beta_k Lambda_k)^-1)

With diagonal or spherical precisions this is the Normal-Gamma law, with tied ones a single Wishart
law under all means. (Bishop 2006, 10.2 and exercises 10.24-25; DeGroot 1970, ch. 9.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scoresde.densities.base import LOG_TWO_PI
from scoresde.estimators.mixture.statistics import Statistics
from scoresde.estimators.mixture.wishart import MATRICES, Wishart


def squares(y: Tensor, weights: Tensor, structure: str) -> Tensor:
    """w_k y_k y_k^T in a structure's shape: traced, its diagonal, summed over k, or in full.

    y (K, d), weights (K,) -> (K,), (K, d), (d, d) or (K, d, d).
    """
    if structure == "spherical":
        return weights * y.square().sum(-1)
    if structure == "diagonal":
        return weights[:, None] * y.square()
    if structure == "tied":
        return (weights[:, None] * y).mT @ y
    return weights[:, None, None] * y[:, :, None] * y[:, None, :]


@dataclass(frozen=True, kw_only=True, eq=False)
class NormalWishart:
    """means m (K, d), mean_precisions beta (K,), and the law of the precisions; all float64."""

    means: Tensor
    mean_precisions: Tensor
    precisions: Wishart

    @property
    def structure(self) -> str:
        return self.precisions.structure

    @property
    def dim(self) -> int:
        return self.means.shape[1]

    @property
    def covariances(self) -> Tensor:
        """E[Lambda_k]^-1 = S_k / nu_k, in the structure's shape."""
        nu = self.precisions.nu
        return self.precisions.scatters / (nu[..., None, None] if self._matrices else nu)

    @property
    def excess(self) -> Tensor:
        """E log N(x; mu_k, Lambda_k^-1) - log N(x; m_k, E[Lambda_k]^-1), free of x, (K,)."""
        excess = self.precisions.excess
        if self.structure in ("spherical", "diagonal"):
            excess = self.dim * excess.reshape(len(self.means))
        return 0.5 * (excess - self.dim / self.mean_precisions)

    def updated(self, data: Statistics) -> NormalWishart:
        """The conjugate posterior of this prior and of what responsibilities gathered.

        beta = beta0 + N,   m = (beta0 m0 + N xbar) / beta,   nu = nu0 + N (spherical: + N d),
        S = S0 + sum_n r_n (x_n - xbar)(x_n - xbar)^T
               + beta0 N / beta (xbar - m0)(xbar - m0)^T                  (Bishop 10.60-10.63)

        Tied: nu and S gather over all components.
        """
        counts = data.counts
        offsets = data.sums / counts.clamp(min=torch.finfo(torch.float64).tiny)[:, None]
        within = data.squares - squares(offsets, counts, self.structure)
        if not self._matrices:
            within = within.clamp(min=0.0)
        shifts = (data.centres - self.means) + offsets
        beta = self.mean_precisions + counts
        pull = squares(shifts, self.mean_precisions * counts / beta, self.structure)
        own = self.precisions
        gathered = {"spherical": self.dim * counts, "tied": counts.sum()}.get(
            self.structure, counts
        )
        return NormalWishart(
            means=self.means + (counts / beta)[:, None] * shifts,
            mean_precisions=beta,
            precisions=replace(
                own, scatters=own.scatters + within + pull, degrees=own.degrees + gathered
            ),
        )

    def expected(self, data: Statistics) -> Tensor:
        """sum_nk r_nk E log N(x_n; mu_k, Lambda_k^-1) from the statistics, a scalar in nats."""
        about = data.recentred(self.means).squares
        free = self._log_det - self.dim * (LOG_TWO_PI + 1.0 / self.mean_precisions)
        quadratic = (self.precisions.nu * self.precisions.traces(about)).sum()
        return 0.5 * ((data.counts * free).sum() - quadratic)

    def divergence(self, prior: NormalWishart) -> Tensor:
        """KL(self || prior) of the laws of all means and precisions, a scalar in nats.

        The means add 1/2 [d (beta0/beta - 1 - log(beta0/beta)) + beta0 nu (m-m0)^T W (m-m0)].
        """
        ratio = prior.mean_precisions / self.mean_precisions
        spread = self.dim * (ratio - 1.0 - ratio.log()).sum()
        shift = squares(self.means - prior.means, prior.mean_precisions, self.structure)
        moved = (self.precisions.nu * self.precisions.traces(shift)).sum()
        return self.precisions.divergence(prior.precisions) + 0.5 * (spread + moved)

    def log_predictive(self, x: Tensor) -> Tensor:
        r"""log E N(x; mu_k, Lambda_k^-1) of every component, x (batch, d) -> (batch, K).

        A Student law with nu + 1 - p degrees of freedom (Bishop 10.81-10.82); with diagonal
        precisions the product of one in each coordinate. q = beta/(1+beta) y^T S^-1 y:

        log Gamma((nu+n)/2) - log Gamma((nu+n-d)/2) - (d log(pi (1+1/beta)) + log|S|)/2
        - (nu+n)/2 log(1+q),    n = 1 for matrices, d for a common precision
        """
        own, d = self.precisions, self.dim
        keep = self.mean_precisions / (1.0 + self.mean_precisions)
        y = x[:, None, :] - self.means
        if self.structure == "diagonal":
            q, n, d = keep[:, None] * y.square() / own.scatters, 1, 1
            keep = keep[:, None]
        elif self.structure == "spherical":
            q, n = keep * y.square().sum(-1) / own.scatters, d
        else:
            white = torch.linalg.solve_triangular(own.factors, y.permute(1, 2, 0), upper=False)
            q, n = keep * white.square().sum(1).mT, 1
        half = (own.nu + n) / 2.0
        log_det = own.log_scatters * (d if self.structure == "spherical" else 1)
        log_q = (
            torch.lgamma(half)
            - torch.lgamma(half - d / 2.0)
            - 0.5 * (d * (math.log(math.pi) - keep.log()) + log_det)
            - half * torch.log1p(q)
        )
        return log_q.sum(-1) if self.structure == "diagonal" else log_q

    @property
    def _matrices(self) -> bool:
        return self.structure in MATRICES

    @property
    def _log_det(self) -> Tensor:
        """E log|Lambda_k|, (K,) or (): of the d axes of a component."""
        logs = self.precisions.expected_log
        if self.structure == "diagonal":
            return logs.sum(-1)
        return self.dim * logs if self.structure == "spherical" else logs
