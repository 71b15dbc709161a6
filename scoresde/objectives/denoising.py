"""Denoising score matching."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scoresde.objectives.levels import LevelObjective
from scoresde.processes import NoiseLevel
from scoresde.score import ScoreModel, coefficients
from scoresde.score.parametrization import row


@dataclass(frozen=True, kw_only=True)
class Denoising(LevelObjective):
    r"""E_t w(t) |x0_hat(z_t) - x|^2,  z_t = alpha x + sigma eps: denoising score matching.

    The residual is taken in the network's own `kind`, out - target = (x0_hat - x)/c with c from
    the affine table, and weighted by w c^2: the same loss in every kind, without a conversion's
    rounding. In the score it reads w sigma^4/alpha^2 |s + (z - alpha x)/sigma^2|^2. (Vincent
    2011, eq. 9-11, times 2.) Summed over the event's dimensions for a bound in nats (`snr-rate`,
    `vlb`), averaged otherwise.
    """

    def errors(self, model, states, draws) -> Tensor:
        x, eps, level, weight = states.x, states.eps, states.level, states.weight
        return weighted_errors(model, self.kind, x, eps, level, weight)


def weighted_errors(
    model: ScoreModel, kind: str, x: Tensor, eps: Tensor, level: NoiseLevel, weight: Tensor
) -> Tensor:
    r"""w(level) times the mean square of x0_hat - x over the event, (batch,), for float64 levels.

    Both factors of the kind's own residual are computed in float64: c of x0 = c_z z + c kind, and
    the target p x + q eps.
    """
    near = level.cast(x.dtype)
    z = near.alpha * x + near.sigma * eps
    p, q = row(kind, level, model.sigma_data)
    target = _cast(p, x) * x + _cast(q, x) * eps
    _, c = coefficients(level, kind, "x0", model.sigma_data)
    out = model.predict(z, near, kind)
    factor = (weight * c * c).to(x.dtype).reshape(-1)
    return factor * (out - target).square().flatten(1).mean(1)


def _cast(number, like: Tensor):
    return number.to(like.dtype) if isinstance(number, Tensor) else number
