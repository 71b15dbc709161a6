r"""Moving averages of the weights: exponential, by a power function, and made afterwards.

An average after step k is avg_k = (1 - w_k) avg_{k-1} + w_k theta_k, so a rule is its w_k.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scoresde.errors import OptionError

LONGEST = 1.0 / math.sqrt(12.0)  # of a power-function average: the deviation of a flat profile


@dataclass(frozen=True)
class Exponential:
    """w_k = 1 - min(2^(-1/half_life), (1 + k)/(10 + k)), half_life in steps.

    The second entry is a warm-up: an average that begins at the untrained weights forgets them
    within the first steps, whatever its half-life.
    """

    half_life: float

    @property
    def label(self) -> str:
        return f"half-life-{self.half_life:g}"

    def weight(self, step: int) -> float:
        """w_k after `step` steps, the first being 1."""
        return 1.0 - min(2.0 ** (-1.0 / self.half_life), (1.0 + step) / (10.0 + step))


@dataclass(frozen=True)
class Power:
    r"""w_k = 1 - (1 - 1/k)^(gamma + 1): an average over the profile p(tau) ~ tau^gamma, tau <= k.

    `length` is the profile's standard deviation over the run's length, sigma_rel = (gamma +
    1)^(1/2) (gamma + 2)^-1 (gamma + 3)^-1/2. (Karras et al. 2024, Analyzing and improving the
    training dynamics of diffusion models, eq. 121, 123 and 127.)
    """

    length: float

    @property
    def label(self) -> str:
        return f"length-{self.length:g}"

    @cached_property
    def gamma(self) -> float:
        """The exponent of this length: the real root >= 0 of (g + 2)^2 (g + 3) s^2 = g + 1."""
        check_length(self.length)
        inverse = self.length**-2
        roots = np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse])
        return float(np.real(roots[np.abs(np.imag(roots)) < 1e-6]).max())

    def weight(self, step: int) -> float:
        """w_k after `step` steps, the first being 1."""
        return 1.0 - (1.0 - 1.0 / step) ** (self.gamma + 1.0)


Average = Exponential | Power


def check_length(length: float) -> float:
    if isinstance(length, bool) or not 0.0 < length < LONGEST:
        raise OptionError(
            f"lengths of power-function averages lie in (0, {LONGEST:.4g}), got {length}"
        )
    return length


def _overlap(steps: np.ndarray, gammas: np.ndarray) -> np.ndarray:
    r"""Inner products of profiles p(tau) = (g + 1) tau^g / T^(g + 1) on [0, T], all with all.

    With T = min(T_a, T_b): (g_a + 1)(g_b + 1) T^(g_a + g_b + 1) / [(g_a + g_b + 1) T_a^(g_a + 1)
    T_b^(g_b + 1)]; powers are taken in the logarithm.
    """
    a, b = gammas[:, None], gammas[None, :]
    log_a, log_b = np.log(steps)[:, None], np.log(steps)[None, :]
    powers = (a + b + 1.0) * np.minimum(log_a, log_b) - (a + 1.0) * log_a - (b + 1.0) * log_b
    return (a + 1.0) * (b + 1.0) / (a + b + 1.0) * np.exp(powers)


def post_hoc(kept: Sequence[tuple[int, float]], step: int, length: float) -> np.ndarray:
    r"""The weights of kept averages whose sum is nearest to another power-function average.

    kept: (step, length) of each average at hand; the result, float64 in their order, minimises
    ||sum_i x_i p_i - p||^2 over the profiles (Karras et al. 2024, algorithm 3) among those of sum
    1. Without that condition the sum was measured 2e-3 off, and all that the weights have in
    common was scaled by it. Raises `OptionError` for a step that nothing kept reaches.
    """
    if not kept or step > max(s for s, _ in kept) or step < 1:
        known = ", ".join(str(s) for s in sorted({s for s, _ in kept})) or "none"
        raise OptionError(
            f"an average at step {step} needs snapshots up to it; there are: {known}"
        )
    products = _products(kept, step, length)
    # Lagrange's conditions: the last row and column hold the sum, which takes the target's place
    products[-1, :-1] = products[:-1, -1]
    right = np.append(products[:-1, -1], 1.0)
    products[-1, :] = products[:, -1] = 1.0
    products[-1, -1] = 0.0
    solution, *_ = np.linalg.lstsq(products, right, rcond=1e-12)
    return solution[:-1]


def profile_distance(
    kept: Sequence[tuple[int, float]], weights: Sequence[float], step: int, length: float
) -> float:
    """||sum_i x_i p_i - p|| / ||p|| over the profiles, of `post_hoc`'s arguments and weights x."""
    products = _products(kept, step, length)
    signed = np.append(weights, -1.0)
    return math.sqrt(max(signed @ products @ signed, 0.0) / products[-1, -1])


def _products(kept: Sequence[tuple[int, float]], step: int, length: float) -> np.ndarray:
    """Inner products of the profiles kept and, in the last place, of the one asked for."""
    steps = np.array([*(s for s, _ in kept), step], dtype=np.float64)
    gammas = np.array([Power(s).gamma for s in [*(own for _, own in kept), length]])
    return _overlap(steps, gammas)
