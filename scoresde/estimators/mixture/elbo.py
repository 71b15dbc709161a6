r"""The evidence lower bound of a mixture, for any responsibilities.

    ELBO(r) = sum_n sum_k r_nk log(w_k N(x_n; mu_k, Sigma_k)) - r_nk log r_nk
            = log-likelihood - sum_n KL(r_n | p(k | x_n))

EM climbs it by turns: in r, where the posterior makes it the log-likelihood, then in the
parameters (Neal & Hinton 1998). The entropy of r is what makes it tight: without it the sum falls
short of the likelihood even at the posterior.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoresde.densities import GaussianMixture
from scoresde.errors import DataError
from scoresde.estimators.base import flat
from scoresde.estimators.mixture.statistics import log_joint_of


def elbo(
    mixture: GaussianMixture, x: Tensor, responsibilities: Tensor, entropy: bool = True
) -> float:
    """The bound in nats, summed over x (n, *event) under responsibilities (n, K).

    Without `entropy` the last term is left out. Raises `DataError` for responsibilities that are
    not the rows of probabilities of these data and components.
    """
    r = responsibilities.to(torch.float64)
    k = len(mixture.means)
    if tuple(r.shape) != (len(x), k):
        raise DataError(f"responsibilities are ({len(x)}, {k}) here, got {tuple(r.shape)}")
    if not bool((r >= 0.0).all()) or not bool(((r.sum(-1) - 1.0).abs() < 1e-6).all()):
        raise DataError("responsibilities are at least 0 and sum to 1 in every row")
    joint = log_joint_of(mixture)(flat(x))
    bound = torch.where(r > 0.0, r * joint, 0.0).sum()
    if entropy:
        bound = bound + torch.special.entr(r).sum()
    return float(bound)
