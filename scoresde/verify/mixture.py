"""The court's nonlinear target: a spherical Gaussian mixture, written apart from the densities."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scoresde.processes import NoiseLevel
from scoresde.score import ScoreModel
from scoresde.score.parametrization import row

MEANS = ((-1.2, 0.3), (0.9, 1.0), (0.4, -1.1))
VARIANCES = (0.25, 0.16, 0.36)
WEIGHTS = (0.5, 0.2, 0.3)


class MixtureScore(ScoreModel):
    r"""The exact score of p(x) = sum_k w_k N(x; mu_k, v_k I) in the plane, at any level.

    With y_k = z - alpha mu_k, D_k = alpha^2 v_k + sigma^2 and responsibilities r_k(z) =
    softmax_k(log w_k - log D_k - |y_k|^2/(2 D_k)), a kind p x0 + q eps is

        sum_k r_k [p mu_k + (p alpha v_k + q sigma)/D_k y_k],

    in one pass and without the subtraction of nearly equal numbers at either end.
    """

    kind = "v"
    event_shape = (2,)
    conservative = True

    def __init__(self):
        self.means = torch.tensor(MEANS, dtype=torch.float64)
        self.variances = torch.tensor(VARIANCES, dtype=torch.float64)
        self.log_weights = torch.tensor(WEIGHTS, dtype=torch.float64).log()

    def forward(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return self.predict(x, level, self.kind)

    def predict(self, x: Tensor, level: NoiseLevel, kind: str) -> Tensor:
        p, q = row(kind, level, self.sigma_data)
        a, s = level.alpha, level.sigma
        y, log_joint, spread = self._parts(x, level)
        r = log_joint.softmax(-1)
        gains = (p * a * self.variances + q * s) / spread
        return ((r * gains).unsqueeze(-1) * y).sum(1) + p * (r @ self.means)

    def log_density(self, x: Tensor, level: NoiseLevel) -> Tensor:
        """(batch,) in nats."""
        return self._parts(x, level)[1].logsumexp(-1) - math.log(2.0 * math.pi)

    def value_and_score(self, x: Tensor, level: NoiseLevel) -> tuple[Tensor, Tensor]:
        return self.log_density(x, level), self.predict(x, level, "score")

    def _parts(self, x: Tensor, level: NoiseLevel):
        """y (batch, K, 2), log w_k N(z; ...) + log 2 pi (batch, K), D_k (K,) or (batch, K)."""
        a, s = level.alpha, level.sigma  # floats, or (batch, 1)
        d = a * a * self.variances + s * s
        centres = a.unsqueeze(-1) * self.means if isinstance(a, Tensor) else a * self.means
        y = x.unsqueeze(1) - centres
        return y, self.log_weights - d.log() - y.square().sum(-1) / (2.0 * d), d
