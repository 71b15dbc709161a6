"""How a step is split into a stretch of the flow and fresh noise."""

from __future__ import annotations

import math

from scoresde.errors import OptionError
from scoresde.processes import NoiseLevel
from scoresde.processes.level import posterior_variance
from scoresde.samplers.levels import at_noise_ratio


def ancestral_split(t: NoiseLevel, s: NoiseLevel, eta: float) -> tuple[float, float]:
    r"""(down, up), down^2 + up^2 = sigma_s^2: go down to noise `down`, then add `up`.

    up = min(sigma_s, eta sigma_Q), sigma_Q^2 = sigma_s^2 (1 - r^2), r = alpha_t sigma_s/(alpha_s
    sigma_t). Both are of x at alpha_s; down/alpha_s and up/alpha_s are k-diffusion's sigma_down
    and sigma_up. An exact flow down to `down` followed by the noise keeps the marginals for every
    eta. down = sigma_s sqrt(1 - eta^2 + eta^2 r^2) has nothing to cancel for eta <= 1.
    """
    r = t.alpha * s.sigma / (s.alpha * t.sigma)
    down = s.sigma * math.sqrt(max((1.0 - eta) * (1.0 + eta) + (eta * r) ** 2, 0.0))
    _, posterior = posterior_variance(t, s)
    return down, min(s.sigma, eta * math.sqrt(posterior))


def middle_level(t: NoiseLevel, s: NoiseLevel, down: float) -> NoiseLevel:
    """The level half-way in log SNR from t to the noise `down` at alpha_s.

    That is s itself for eta = 1. Below s, for eta > 1, it is on s's alpha, as the process may end.
    """
    ratio = math.sqrt(t.noise_ratio * down / s.alpha)
    if math.isclose(ratio, s.noise_ratio, rel_tol=1e-12):
        return s
    if ratio < s.noise_ratio:
        return NoiseLevel(t=math.nan, alpha=s.alpha, sigma=s.alpha * ratio)
    return at_noise_ratio(t, ratio)


def needs_signal(noun: str, t: NoiseLevel) -> None:
    """Raises `OptionError` at alpha = 0, where a level half-way in log SNR does not exist."""
    if t.alpha == 0.0:
        raise OptionError(
            f"{noun} evaluates at a level between two others in log SNR and cannot start at "
            "alpha = 0; set log_snr_min on the grid"
        )
