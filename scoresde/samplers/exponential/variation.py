"""A step between two levels by variation of constants."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.processes import NoiseLevel

PREDICTIONS = ("x0", "eps")


@dataclass(frozen=True)
class Variation:
    r"""x_s = carry x_t + reach int_0^1 e^{z(1-u)} m(u) du, exactly, of the probability flow.

    u = (lambda - lambda_t)/h runs from 0 to 1 with lambda = log(alpha/sigma), h = lambda_s -
    lambda_t, and m is the prediction along the flow:
        x0:  carry = sigma_s/sigma_t, reach = alpha_s h, z = -h;
        eps: carry = alpha_s/alpha_t, reach = -sigma_s h, z = h.
    `whole` = reach phi_1(z) is the weight of a constant m. Where h is infinite (from alpha = 0, or
    to sigma = 0) it alone is finite, and with it the step is DDIM's.
    (Lu et al. 2022, DPM-Solver, proposition 3.1; DPM-Solver++, proposition 4.1.)
    """

    carry: float
    reach: float
    z: float
    whole: float

    @property
    def endless(self) -> bool:
        return math.isinf(self.z)


def variation(prediction: str, t: NoiseLevel, s: NoiseLevel) -> Variation:
    """The step from t to s; raises `OptionError` for eps from alpha = 0."""
    h = 0.5 * (s.log_snr - t.log_snr)
    if prediction == "x0":
        return Variation(s.sigma / t.sigma, s.alpha * h, -h, -s.alpha * math.expm1(-h))
    if t.alpha == 0.0:
        raise OptionError(
            "a solver that interpolates eps works in x/alpha and cannot start at alpha = 0; set "
            "log_snr_min on the grid, or take one that interpolates x0"
        )
    carry = s.alpha / t.alpha
    if s.sigma == 0.0:
        return Variation(carry, 0.0, h, -carry * t.sigma)
    return Variation(carry, -s.sigma * h, h, -s.sigma * math.expm1(h))


def check_prediction(noun: str, prediction: str) -> None:
    if prediction not in PREDICTIONS:
        raise OptionError(unknown(f"prediction of {noun}", prediction, list(PREDICTIONS)))


def check_order(noun: str, order: int, most: int) -> None:
    if isinstance(order, bool) or order not in range(1, most + 1):
        raise OptionError(f"solver_order of {noun} is a whole number, 1 to {most}, got {order!r}")
