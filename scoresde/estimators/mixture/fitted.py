r"""What a fit of a mixture leaves, and how many numbers it chose."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scoresde.densities import GaussianMixture
from scoresde.estimators.base import Fitted
from scoresde.estimators.mixture.estimate import PARTS


def free_parameters(
    structure: str, k: int, d: int, rank: int = 0, parts: tuple[str, ...] = PARTS
) -> int:
    """Numbers that a fit may choose: K - 1 weights, K d means, and covariances.

    K, K d, d(d + 1)/2, K d(d + 1)/2 or K (d m - m(m - 1)/2 + 1): a factor W (d, m) counts up to
    rotations (Tipping & Bishop 1999).
    """
    covariances = {
        "spherical": k,
        "diagonal": k * d,
        "tied": d * (d + 1) // 2,
        "full": k * d * (d + 1) // 2,
        "low-rank": k * (d * rank - rank * (rank - 1) // 2 + 1),
    }[structure]
    counts = {"weights": k - 1, "means": k * d, "covariances": covariances}
    return sum(counts[part] for part in parts)


@dataclass(frozen=True, kw_only=True, eq=False)
class MixtureFit(Fitted):
    """A fitted mixture. The trace is the method's objective in nats per datum.

    `log_likelihood` of the `count` data in nats and `log_likelihood_error`, the standard error of
    its mean over data; `parameters`, the numbers that the fit chose; `objectives` reached by each
    restart; `posterior`, a variational posterior's parameters by name.
    """

    density: GaussianMixture
    count: int
    log_likelihood: float
    log_likelihood_error: float
    parameters: int
    floor: float
    objectives: tuple[float, ...] = ()
    posterior: dict[str, Tensor] = field(default_factory=dict)

    @property
    def bic(self) -> float:
        """-2 L + p log n: the lower, the better (Schwarz 1978)."""
        return -2.0 * self.log_likelihood + self.parameters * math.log(self.count)

    @property
    def aic(self) -> float:
        """-2 L + 2 p (Akaike 1974)."""
        return -2.0 * self.log_likelihood + 2.0 * self.parameters

    def responsibilities(self, x: Tensor) -> Tensor:
        """p(k | x), float64 (n, K)."""
        return self.density.responsibilities(self.rows(x).reshape(x.shape))

    def labels(self, x: Tensor) -> Tensor:
        """The likeliest component of every datum, int64 (n,)."""
        return self.responsibilities(x).argmax(-1)

    def facts(self) -> dict[str, object]:
        """`dead` components hold less than one datum; those `at_floor` have a variance at the
        floor in some direction: collapsed, or flat data."""
        weights = self.density.weights
        return {
            "log_likelihood": self.log_likelihood / self.count,
            "log_likelihood_error": self.log_likelihood_error,
            "parameters": self.parameters,
            "bic": self.bic,
            "aic": self.aic,
            "weights": weights.tolist(),
            "dead": int((weights * self.count < 1.0).sum()),
            "at_floor": _at(self.density, self.floor),
            "objectives": list(self.objectives),
        }


def _at(mixture: GaussianMixture, floor: float) -> int:
    """How many components have a variance within a thousandth of the floor, or below."""
    given, near = mixture.arguments(), 1.001 * floor
    k, d = mixture.means.shape
    if mixture.structure == "low-rank":
        return int((given["variances"] <= near).sum())
    c = given["covariances"]
    if mixture.structure in ("spherical", "diagonal"):
        return int((c.reshape(k, -1) <= near).any(-1).sum())
    eye = torch.eye(d, dtype=c.dtype, device=c.device)
    failed = torch.linalg.cholesky_ex(c - near * eye).info > 0
    return int(failed.expand(k).sum())
