"""The ancestral sampler of DDPM."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.processes.level import posterior_variance
from scoresde.samplers.base import GridSampler

VARIANCES = ("posterior", "forward", "learned")


@dataclass(frozen=True, kw_only=True)
class Ancestral(GridSampler):
    r"""x_s = (alpha_{t|s} sigma_s^2/sigma_t^2) x + (alpha_s sigma^2_{t|s}/sigma_t^2) x0 + d z.

    The exact posterior q(z_s | z_t, x) with x0 in place of x. d^2 is `posterior`, sigma^2_Q =
    sigma^2_{t|s} sigma_s^2/sigma_t^2 (DDPM's beta tilde), or `forward`, sigma^2_{t|s} (DDPM's
    beta), or `learned`: what the model itself predicts of q(z_s | z_t), from the same evaluation;
    its capability `predict_with_variance`. No noise is added on the step to the data, so that the
    first beta tilde, which is 0 and which DDPM's code replaces by the second, is never asked for.

    On a subset of the chain's instants these are the respaced variances of Nichol & Dhariwal 2021,
    sec. 4. Weak order 1, with the best variance exact on a Gaussian of independent coordinates;
    one evaluation and one normal a step. (Ho, Jain & Abbeel 2020, Denoising diffusion
    probabilistic models, eq. 6-7 and algorithm 2; Nichol & Dhariwal 2021, Improved DDPM, eq. 15;
    Bao et al. 2022, Analytic-DPM, theorem 1.) Raises `CapabilityError` for `learned` where the
    model offers no variance.
    """

    variance: str = "posterior"

    weak_order = 1
    strong_order = 1.0
    stochastic = True
    variants = ("variance=forward",)

    def __post_init__(self) -> None:
        if self.variance not in VARIANCES:
            raise OptionError(unknown("variance of ancestral", self.variance, list(VARIANCES)))

    def step(self, tape, x, t, s, memory):
        forward, posterior = posterior_variance(t, s)
        z = tape.normal(between=(t, s))
        if self.variance == "learned" and s.sigma > 0.0:
            x0, variance = tape.evaluate_with_variance(x, t, s, "x0")
            noise = tape.apply(_scaled, variance, z)
        else:
            x0 = tape.evaluate(x, t, "x0")
            d2 = forward if self.variance == "forward" else posterior
            noise = math.sqrt(d2 if s.sigma > 0.0 else 0.0) * z
        keep = t.alpha / s.alpha * (s.sigma / t.sigma) ** 2
        return keep * x + s.alpha * forward / t.sigma**2 * x0 + noise, None


def _scaled(variance: Tensor, z: Tensor) -> Tensor:
    return variance.sqrt() * z
