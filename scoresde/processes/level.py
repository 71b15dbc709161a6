"""A noise level: everything a formula may ask about one instant of a process, computed once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import torch

Scalar = TypeVar("Scalar", float, torch.Tensor)


@dataclass(frozen=True, slots=True)
class NoiseLevel:
    r"""One instant of q(z_t | x) = N(alpha x, sigma^2 I).

    The fields are Python floats along a sampling grid (float64 on the host) and tensors of shape
    ``(batch, 1, ..., 1)`` in a loss. The rates are d/dt; they are ``nan`` where a level was made
    from (alpha, sigma) alone and belongs to no process.
    """

    t: float | torch.Tensor
    alpha: float | torch.Tensor
    sigma: float | torch.Tensor
    alpha_rate: float | torch.Tensor = math.nan
    sigma_rate: float | torch.Tensor = math.nan
    process: object = None  # the process it is an instant of, or None

    @property
    def log_snr(self):
        """log(alpha^2 / sigma^2); DPM-Solver's lambda is half of it. Infinite at either end."""
        if isinstance(self.alpha, torch.Tensor):
            return 2.0 * (self.alpha.log() - self.sigma.log())
        if self.sigma == 0.0:
            return math.inf
        return -math.inf if self.alpha == 0.0 else 2.0 * math.log(self.alpha / self.sigma)

    @property
    def scale(self):
        """sqrt(alpha^2 + sigma^2): the standard deviation of z_t for data of unit variance."""
        if isinstance(self.alpha, torch.Tensor):
            return torch.hypot(self.alpha, self.sigma)
        return math.hypot(self.alpha, self.sigma)

    @property
    def phi(self):
        """atan2(sigma, alpha) in [0, pi/2], regular at both ends of every process."""
        if isinstance(self.alpha, torch.Tensor):
            return torch.atan2(self.sigma, self.alpha)
        return math.atan2(self.sigma, self.alpha)

    @property
    def noise_ratio(self):
        """sigma / alpha, the noise level of z_t / alpha_t (EDM's sigma); infinite at alpha = 0."""
        if isinstance(self.alpha, torch.Tensor):
            return self.sigma / self.alpha
        return math.inf if self.alpha == 0.0 else self.sigma / self.alpha

    @property
    def drift(self):
        """f = d log alpha / dt of the SDE dz = f z dt + g dw; -inf where alpha = 0."""
        if not isinstance(self.alpha, torch.Tensor) and self.alpha == 0.0:
            return -math.inf
        return self.alpha_rate / self.alpha

    @property
    def diffusion_squared(self):
        """g^2 = d sigma^2 / dt - 2 f sigma^2."""
        return 2.0 * self.sigma * (self.sigma_rate - self.drift * self.sigma)

    @property
    def snr_rate(self):
        """d SNR / dt = 2 (alpha / sigma^2)(alpha' - alpha sigma' / sigma); -inf at sigma = 0."""
        if not isinstance(self.sigma, torch.Tensor) and self.sigma == 0.0:
            return -math.inf
        ratio = self.alpha / self.sigma
        return 2.0 * ratio / self.sigma * (self.alpha_rate - ratio * self.sigma_rate)

    def cast(self, dtype: torch.dtype) -> NoiseLevel:
        """The same level of tensors in another dtype."""
        fields = (self.t, self.alpha, self.sigma, self.alpha_rate, self.sigma_rate)
        return NoiseLevel(*(f.to(dtype) for f in fields), process=self.process)

    @classmethod
    def at_phi(cls, phi: float) -> NoiseLevel:
        """The normalised level (cos phi, sin phi) that belongs to no process."""
        return cls(t=math.nan, alpha=math.cos(phi), sigma=math.sin(phi))


CLEAN = NoiseLevel(t=0.0, alpha=1.0, sigma=0.0)
"""The data itself: alpha = 1, sigma = 0."""


def posterior_variance(t: NoiseLevel, s: NoiseLevel) -> tuple[float, float]:
    r"""Variances of a step between the levels t and s < t: (sigma^2_{t|s}, sigma^2_Q).

    sigma^2_{t|s} = sigma_t^2 - (alpha_t/alpha_s)^2 sigma_s^2 = sigma_t^2 (1 - r)(1 + r),
    sigma^2_Q = sigma^2_{t|s} sigma_s^2 / sigma_t^2,  r = alpha_t sigma_s/(alpha_s sigma_t), with
    1 - r = [alpha_s (sigma_t - sigma_s) + sigma_s (alpha_s - alpha_t)]/(alpha_s sigma_t). The
    difference of two near floats is exact, so nothing cancels as s -> t (a difference of two
    rounded log SNRs does), and neither end needs a case of its own.
    """
    fall = s.alpha * (t.sigma - s.sigma) + s.sigma * (s.alpha - t.alpha)
    rest = fall / (s.alpha * t.sigma)  # 1 - r
    share = rest * (2.0 - rest)
    return t.sigma**2 * share, s.sigma**2 * share
