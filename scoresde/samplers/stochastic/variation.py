"""A step of the SDE between two levels by variation of constants."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scoresde.processes import NoiseLevel


@dataclass(frozen=True)
class SDEVariation:
    r"""x_s = carry x_t + whole x0 + noise z for a constant x0, exactly, of

        dz = [f z - (1 + eta)/2 g^2 score] dt + sqrt(eta) g dw:

    with h = lambda_s - lambda_t, lambda = log(alpha/sigma), and rate = (1 + eta) h:
    carry = (sigma_s/sigma_t) e^{-eta h}, whole = alpha_s (1 - e^{-rate}),
    noise = sigma_s sqrt(1 - e^{-2 eta h}). Finite from alpha = 0, where h and rate are infinite.
    (Lu et al. 2022, DPM-Solver++, eq. 18, for eta = 1.)
    """

    h: float
    rate: float
    carry: float
    whole: float
    noise: float


def sde_variation(t: NoiseLevel, s: NoiseLevel, eta: float) -> SDEVariation:
    h = 0.5 * (s.log_snr - t.log_snr)
    faded = eta * h if eta > 0.0 else 0.0  # 0 times an infinite h is none
    return SDEVariation(
        h,
        (1.0 + eta) * h,
        s.sigma / t.sigma * math.exp(-faded),
        -s.alpha * math.expm1(-(1.0 + eta) * h),
        s.sigma * math.sqrt(-math.expm1(-2.0 * faded)),
    )
