r"""The mean-field posterior of a Gaussian mixture: Dirichlet weights, Normal-Wishart components.

q(z, pi, mu, Lambda) = prod_n q(z_n) Dir(pi; a) q(mu, Lambda), with q(mu, Lambda) a Normal-Wishart
law in the structure of the mixture. (Attias 2000; Bishop 2006, 10.2.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from scoresde.data.dataset import Rows, block_rows, blocks
from scoresde.densities import GaussianMixture
from scoresde.errors import DataError
from scoresde.estimators.base import flat
from scoresde.estimators.mixture.normal_wishart import NormalWishart
from scoresde.estimators.mixture.statistics import Statistics
from scoresde.estimators.mixture.wishart import MATRICES, STRUCTURES, Wishart


@dataclass(frozen=True, kw_only=True, eq=False)
class Posterior:
    """Dir(pi; concentrations (K,)) and the Normal-Wishart law of the components; also a prior."""

    concentrations: Tensor
    components: NormalWishart

    def updated(self, data: Statistics) -> Posterior:
        """This prior's conjugate posterior given what responsibilities gathered: a = a0 + N."""
        return Posterior(
            concentrations=self.concentrations + data.counts,
            components=self.components.updated(data),
        )

    @property
    def expected_log_weights(self) -> Tensor:
        """E log pi_k = psi(a_k) - psi(sum a), (K,)."""
        a = self.concentrations
        return torch.special.digamma(a) - torch.special.digamma(a.sum())

    @property
    def weights(self) -> Tensor:
        """E pi, (K,)."""
        return self.concentrations / self.concentrations.sum()

    def mixture(
        self, *, floor: float = 0.0, event_shape: tuple[int, ...] | None = None
    ) -> GaussianMixture:
        """The mixture at E[pi], E[mu] and E[Lambda]^-1, with `floor` added to its variances."""
        covariances = self.components.covariances
        if self.components.structure in MATRICES:
            covariances = covariances + floor * torch.eye(
                self.components.dim, dtype=torch.float64, device=covariances.device
            )
        else:
            covariances = covariances + floor
        return GaussianMixture(
            means=self.components.means,
            covariances=covariances,
            weights=self.weights,
            structure=self.components.structure,
            event_shape=event_shape,
        )

    @cached_property
    def _centre(self) -> tuple[GaussianMixture, Tensor]:
        """A mixture whose log joint is that of the posterior but for a constant of each k."""
        offsets = self.components.excess + self.expected_log_weights - self.weights.log()
        return self.mixture(), offsets

    def log_joint(self, x: Tensor) -> Tensor:
        """E log pi_k + E log N(x; mu_k, Lambda_k^-1): log rho of Bishop 10.46, (batch, K)."""
        mixture, offsets = self._centre
        return mixture.log_joint(x) + offsets

    def divergence(self, prior: Posterior) -> Tensor:
        """KL(self || prior) of weights, means and precisions, a scalar in nats."""
        a, b = self.concentrations, prior.concentrations
        weights = (
            torch.lgamma(a.sum())
            - torch.lgamma(b.sum())
            - (torch.lgamma(a) - torch.lgamma(b)).sum()
            + ((a - b) * self.expected_log_weights).sum()
        )
        return weights + self.components.divergence(prior.components)

    def bound(self, prior: Posterior, data: Statistics) -> Tensor:
        """The ELBO of this posterior and the responsibilities of `data`, a scalar in nats.

        E log p(x|z,mu,Lambda) + E log p(z|pi) + H(q(z)) - KL(q(pi,mu,Lambda) || p(pi,mu,Lambda)),
        the sum of Bishop's 10.71-10.77; `data` are gathered with their entropy.
        """
        expected = (data.counts * self.expected_log_weights).sum() + self.components.expected(data)
        return expected + data.entropy - self.divergence(prior)

    def collapsed_bound(self, prior: Posterior, x: Tensor | Rows) -> float:
        """The ELBO of this posterior and its own best responsibilities, in nats, by one pass.

        sum_n logsumexp_k log rho_nk - KL(q(pi,mu,Lambda) || p(pi,mu,Lambda))
        """
        device = self.concentrations.device
        total = -self.divergence(prior)
        for block in blocks(x):
            total = total + self.log_joint(flat(block).to(device)).logsumexp(-1).sum()
        return float(total)

    def predictive(self, x: Tensor) -> Tensor:
        """log p(x | data), x (batch, *event) -> (batch,): a mixture of Student laws.

        What the Bayesian model says of a new datum once means, precisions and weights have been
        integrated out over q (Bishop 10.81). It has no exact diffusion; `mixture` has.
        """
        k, d = self.components.means.shape
        rows = []
        for part in x.split(max(1, block_rows((k, d)))):
            part = flat(part).to(self.concentrations.device)
            joint = self.weights.log() + self.components.log_predictive(part)
            rows.append(joint.logsumexp(-1))
        return torch.cat(rows) if rows else x.new_zeros(0, dtype=torch.float64)

    def tensors(self) -> dict[str, Tensor]:
        """The parameters by name, as `Climb.posterior` holds them."""
        own = self.components
        return {
            "concentrations": self.concentrations,
            "means": own.means,
            "mean_precisions": own.mean_precisions,
            "degrees": own.precisions.degrees,
            f"{own.structure}_scatters": own.precisions.scatters,
        }

    @classmethod
    def of(cls, tensors: dict[str, Tensor]) -> Posterior:
        """The posterior of `tensors()`; raises `DataError` where the names are others."""
        for structure in STRUCTURES:
            if f"{structure}_scatters" in tensors:
                break
        else:
            raise DataError(
                f"no variational posterior has the tensors {sorted(tensors)}; fit by vb or svi"
            )
        return cls(
            concentrations=tensors["concentrations"],
            components=NormalWishart(
                means=tensors["means"],
                mean_precisions=tensors["mean_precisions"],
                precisions=Wishart(
                    structure=structure,
                    scatters=tensors[f"{structure}_scatters"],
                    degrees=tensors["degrees"],
                ),
            ),
        )
