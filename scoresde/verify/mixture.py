"""The court's nonlinear target: a spherical Gaussian mixture, written apart from the densities."""

from __future__ import annotations

import math
from functools import lru_cache

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

        sum_k r_k [p mu_k + (p alpha v_k + q sigma)/D_k y_k].

    At a level of floats this is two small matrix products: the logits are linear in (z, |z|^2) and
    the answer is (sum_k r_k g_k) z + sum_k r_k (p - alpha g_k) mu_k. No variance being small, the
    expanded square loses nothing. The matrices of a level are remembered, so that the court asks
    for a grid's logarithms once.
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
        if isinstance(level.alpha, Tensor) or x.dtype != torch.float64:
            return self._row_by_row(x, level, p, q)
        logits, offset, answer = _matrices(level.alpha, level.sigma, p, q)
        square = torch.linalg.vecdot(x, x).unsqueeze(1)
        r = torch.addmm(torch.addmm(offset, x, logits[:2]), square, logits[2:]).softmax(-1)
        out = r @ answer
        return torch.addcmul(out[:, 1:], out[:, :1], x)

    def _row_by_row(self, x: Tensor, level: NoiseLevel, p, q) -> Tensor:
        """The same for a level a row."""
        a, s = level.alpha, level.sigma
        y, log_joint, spread = self._parts(x, level)
        r = log_joint.softmax(-1)
        gains = (p * a * self.variances + q * s) / spread
        out = ((r * gains).unsqueeze(-1) * y).sum(1) + p * (r @ self.means)
        return out.to(x.dtype)

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


@lru_cache(maxsize=8192)
def _matrices(a: float, s: float, p: float, q: float) -> tuple[Tensor, Tensor, Tensor]:
    """Logits' matrix (3, K) on (z, |z|^2) and offset (K,), the answer's matrix (K, 3)."""
    logits, offset, answer = [], [], []
    for (u, w), v, weight in zip(MEANS, VARIANCES, WEIGHTS, strict=True):
        d = a * a * v + s * s
        logits.append((a * u / d, a * w / d, -0.5 / d))
        offset.append(math.log(weight / d) - 0.5 * a * a * (u * u + w * w) / d)
        gain = (p * a * v + q * s) / d
        # p - alpha gain without the difference of near numbers
        rest = (p * s * s - q * a * s) / d
        answer.append((gain, rest * u, rest * w))
    made = [torch.tensor(m, dtype=torch.float64) for m in (logits, offset, answer)]
    return made[0].T.contiguous(), made[1], made[2]
