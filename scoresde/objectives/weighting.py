r"""Weights of the denoising error |x0_hat - x|^2 at a level.

A weight is a function w(level) of the error in x0; an error in another kind is brought to it by
the affine table, so every objective can be trained in every kind. (|eps_hat - eps|^2 = SNR
|x0_hat - x|^2.)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.processes import NoiseLevel, Process


class Weighting(ABC):
    """w(level) > 0.

    over_time    the loss is an integral over t, whatever law draws t: w is divided by its density
    in_nats      the loss is a bound in nats: summed over the event's dimensions, not averaged
    reaches_end  instants fall on t = 1 itself
    """

    over_time: bool = False
    in_nats: bool = False
    reaches_end: bool = False

    @abstractmethod
    def weight(self, level: NoiseLevel, sigma_data: float) -> Tensor:
        """The weight of |x0_hat - x|^2 at levels of shape (batch, 1, ..., 1)."""

    def instant(self, t: Tensor, process: Process) -> Tensor:
        """The time at which a datum that drew t is asked, (batch,): t itself, or an instant of a
        discrete chain."""
        return t

    def balanced(self, errors: Tensor, level: NoiseLevel) -> Tensor:
        """The losses of weighted errors (batch,): the errors themselves, or what a weighting that
        learns makes of them."""
        return errors


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
class VelocityWeighting(Weighting):
    r"""w = (alpha' - alpha sigma'/sigma)^2: weight one on the velocity alpha' x0 + sigma' eps.

    (Lipman et al. 2023, Flow matching, eq. 14.)
    """

    def weight(self, level: NoiseLevel, sigma_data: float) -> Tensor:
        return (level.alpha_rate - level.alpha / level.sigma * level.sigma_rate) ** 2


@dataclass(frozen=True, kw_only=True)
class MinSNRWeighting(Weighting):
    r"""w = min(SNR, gamma): min(SNR, gamma)/SNR on eps, min(SNR, gamma)/(SNR + 1) on v (VP).

    (Hang et al. 2023, Efficient diffusion training via min-SNR weighting; gamma = 5.)
    """

    gamma: float = 5.0

    def __post_init__(self) -> None:
        _positive("gamma of the min-SNR weighting", self.gamma)

    def weight(self, level: NoiseLevel, sigma_data: float) -> Tensor:
        return ((level.alpha / level.sigma) ** 2).clamp(max=self.gamma)


@dataclass(frozen=True, kw_only=True)
class P2Weighting(Weighting):
    r"""w = SNR/(k + SNR)^gamma: weight 1/(k + SNR)^gamma on eps.

    (Choi et al. 2022, Perception prioritized training of diffusion models, over L_simple.)
    """

    k: float = 1.0
    gamma: float = 1.0

    def __post_init__(self) -> None:
        _positive("k of the P2 weighting", self.k)
        if not 0.0 <= self.gamma < math.inf:
            raise OptionError(f"gamma of the P2 weighting is >= 0 and finite, got {self.gamma}")

    def weight(self, level: NoiseLevel, sigma_data: float) -> Tensor:
        snr = (level.alpha / level.sigma) ** 2
        return snr * (self.k + snr) ** -self.gamma


@dataclass(frozen=True, kw_only=True)
class SNRRateWeighting(Weighting):
    r"""w = -SNR'(t)/2, the integrand of L_inf = -1/2 int_0^1 SNR'(t) E|x0_hat - x|^2 dt, in nats.

    (Kingma et al. 2021, Variational diffusion models, eq. 15; in eps eq. 17.) Divided by the
    density of t, so that the expectation is the bound's diffusion term under every law of times.
    """

    over_time = True
    in_nats = True

    def weight(self, level: NoiseLevel, sigma_data: float) -> Tensor:
        return -0.5 * level.snr_rate


@dataclass(frozen=True, kw_only=True)
class SigmoidWeighting(Weighting):
    r"""1/2 int sigmoid(bias - lambda) E|eps_hat - eps|^2 (-dlambda/dt) dt, lambda = log SNR.

    In x0: w = -SNR'(t)/2 sigmoid(bias - lambda). It falls with lambda, so the loss is a mean of
    bounds of data with noise added; a smaller bias moves the weight to more noise. Averaged over
    the event's dimensions. (Kingma & Gao 2023, Understanding diffusion objectives as the ELBO
    with simple data augmentation; Hoogeboom et al. 2024, Simpler diffusion.)
    """

    bias: float = 0.0
    over_time = True

    def __post_init__(self) -> None:
        if not math.isfinite(self.bias):
            raise OptionError(f"bias of the sigmoid weighting is finite, got {self.bias}")

    def weight(self, level: NoiseLevel, sigma_data: float) -> Tensor:
        return -0.5 * level.snr_rate * torch.sigmoid(self.bias - level.log_snr)


@dataclass(frozen=True, kw_only=True)
class VLBWeighting(Weighting):
    r"""L_T = sum_{i=1..T} 1/2 (SNR(s) - SNR(t)) E|x0_hat(z_t) - x|^2, in nats, T = `steps`.

    t = t_i = t_min + (1 - t_min) i/T and s = t_{i-1}. A drawn time is moved up to the instant t_i
    of its own interval and weighted by 1/2 (SNR(s) - SNR(t))/(t - s): with the density of the
    drawn time divided out, every law of times estimates L_T without bias, the uniform one with T
    times the i-th term. Tends to `snr-rate` as T grows; where the error in x0 falls with the
    noise, from above for T, 2T, 4T, ... (Kingma et al. 2021, eq. 13, in eps eq. 14, and section
    4.1; Ho et al. 2020, eq. 5.)

    SNR(s) - SNR(t) = (r_s - r_t)(r_s + r_t) with r = alpha/sigma and r_s - r_t = [alpha_s (sigma_t
    - sigma_s) + sigma_s (alpha_s - alpha_t)]/(sigma_s sigma_t): the same as SNR(t)
    expm1(gamma_t - gamma_s), gamma = -log SNR, but finite at alpha_t = 0 and without the rounding
    of two near logarithms.
    """

    steps: int = 1000
    over_time = True
    in_nats = True
    reaches_end = True

    def __post_init__(self) -> None:
        if isinstance(self.steps, bool) or not 1 <= self.steps <= 1_000_000:
            raise OptionError(f"steps of the bound lie in 1..1000000, got {self.steps}")

    def instant(self, t: Tensor, process: Process) -> Tensor:
        return self._instant(self._index(t, process), process)

    def weight(self, level: NoiseLevel, sigma_data: float) -> Tensor:
        process, t = level.process, level
        before = self._instant(self._index(level.t, process) - 1.0, process)
        s = process.level(before.reshape(-1), before)
        fall = s.alpha * (t.sigma - s.sigma) + s.sigma * (s.alpha - t.alpha)
        gap = fall / (s.sigma * t.sigma) * (s.alpha / s.sigma + t.alpha / t.sigma)
        return 0.5 * gap * (self.steps / (1.0 - process.t_min))

    def _index(self, t: Tensor, process: Process) -> Tensor:
        """i of the interval (t_{i-1}, t_i] that holds t; an instant is of its own interval."""
        place = (t - process.t_min) / (1.0 - process.t_min) * self.steps
        nearest = place.round()  # t_i comes back as i within 1e-12 T
        snapped = torch.where((place - nearest).abs() < 1e-12 * self.steps, nearest, place.ceil())
        return snapped.clamp(1, self.steps)

    def _instant(self, index: Tensor, process: Process) -> Tensor:
        return torch.lerp(
            torch.full_like(index, process.t_min), torch.ones_like(index), index / self.steps
        )


def _positive(name: str, value: float) -> None:
    if not 0.0 < value < math.inf:
        raise OptionError(f"{name} is positive and finite, got {value}")
