r"""Weights of the denoising error |x0_hat - x|^2 at a level.

A weight is a function w(level) of the error in x0; an error in another kind is brought to it by
the affine table, so every objective can be trained in every kind. (|eps_hat - eps|^2 = SNR
|x0_hat - x|^2.)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from scoresde.families import Family
from scoresde.processes import NoiseLevel


class Weighting(ABC):
    """w(level) > 0; `over_time` where the loss is an integral over t, whatever law draws t."""

    over_time: bool = False

    @abstractmethod
    def weight(self, level: NoiseLevel, sigma_data: float) -> Tensor:
        """The weight of |x0_hat - x|^2 at levels of shape (batch, 1, ..., 1)."""


@dataclass(frozen=True, kw_only=True)
class SimpleWeighting(Weighting):
    r"""L_simple = E |eps_hat - eps|^2: w = SNR. (Ho et al. 2020, eq. 14.)"""

    def weight(self, level: NoiseLevel, sigma_data: float) -> Tensor:
        return (level.alpha / level.sigma) ** 2


@dataclass(frozen=True, kw_only=True)
class EDMWeighting(Weighting):
    r"""w = (r^2 + d^2)/(r d)^2 with r = sigma/alpha, d = sigma_data: weight one on the kind F.

    (Karras et al. 2022, table 1.)
    """

    def weight(self, level: NoiseLevel, sigma_data: float) -> Tensor:
        return (level.alpha / level.sigma) ** 2 + sigma_data**-2


@dataclass(frozen=True, kw_only=True)
class SNRRateWeighting(Weighting):
    r"""w = -SNR'(t)/2, the integrand of L_inf = -1/2 int_0^1 SNR'(t) E|x0_hat - x|^2 dt, in nats.

    (Kingma et al. 2021, Variational diffusion models, eq. 17.) Divided by the density of t, so
    that the expectation is the bound's diffusion term under every law of times.
    """

    over_time = True

    def weight(self, level: NoiseLevel, sigma_data: float) -> Tensor:
        return -0.5 * level.snr_rate


WEIGHTINGS = Family(
    "weighting",
    {"simple": SimpleWeighting, "edm": EDMWeighting, "snr-rate": SNRRateWeighting},
)
