"""Processes whose marginal variance stays at one or just below: VP linear, cosine, sub-VP."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from scoresde.errors import OptionError
from scoresde.processes.base import Process


def _check_betas(beta_min: float, beta_max: float) -> None:
    if not (0.0 < beta_min < beta_max < math.inf):
        raise OptionError(
            f"beta_min and beta_max need 0 < beta_min < beta_max, got {beta_min} and {beta_max}"
        )


def _check_t_min(t_min: float) -> None:
    if not 0.0 < t_min < 1.0:
        raise OptionError(f"t_min lies strictly between 0 and 1, got {t_min}")


@dataclass(frozen=True, kw_only=True)
class _LinearBeta(Process):
    r"""-log alpha = (beta_max - beta_min) t^2/4 + beta_min t/2, shared by VP linear and sub-VP."""

    beta_min: float = 0.1
    beta_max: float = 20.0
    t_min: float = 1e-3

    def __post_init__(self) -> None:
        _check_betas(self.beta_min, self.beta_max)
        _check_t_min(self.t_min)

    def log_alpha(self, t: Tensor) -> Tensor:
        return -t * (0.25 * (self.beta_max - self.beta_min) * t + 0.5 * self.beta_min)

    def beta(self, t: Tensor) -> Tensor:
        return self.beta_min + (self.beta_max - self.beta_min) * t

    def alpha(self, t: Tensor) -> Tensor:
        return self.log_alpha(t).exp()

    def alpha_rate(self, t: Tensor) -> Tensor:
        return -0.5 * self.beta(t) * self.alpha(t)

    def _time_of_log_alpha(self, log_alpha: Tensor) -> Tensor:
        spread = self.beta_max - self.beta_min
        root = (0.25 * self.beta_min**2 - spread * log_alpha).sqrt()
        return -2.0 * log_alpha / (0.5 * self.beta_min + root)


@dataclass(frozen=True, kw_only=True)
class VPLinear(_LinearBeta):
    r"""alpha = exp(-t^2 (b1 - b0)/4 - t b0/2), sigma = sqrt(1 - alpha^2).

    Song et al. 2021, Score-based generative modeling through SDEs, eq. 33.
    """

    def sigma(self, t: Tensor) -> Tensor:
        return (-torch.expm1(2.0 * self.log_alpha(t))).sqrt()

    def sigma_rate(self, t: Tensor) -> Tensor:
        return 0.5 * self.beta(t) * self.alpha(t).square() / self.sigma(t)

    def time(self, log_snr: Tensor) -> Tensor:
        return self._time_of_log_alpha(0.5 * logsigmoid(log_snr))


@dataclass(frozen=True, kw_only=True)
class SubVP(_LinearBeta):
    r"""alpha as VP linear, sigma = 1 - alpha^2. (Song et al. 2021, eq. 37.)"""

    def sigma(self, t: Tensor) -> Tensor:
        return -torch.expm1(2.0 * self.log_alpha(t))

    def sigma_rate(self, t: Tensor) -> Tensor:
        return self.beta(t) * self.alpha(t).square()

    def time(self, log_snr: Tensor) -> Tensor:
        # sigma/alpha = 1/alpha - alpha = -2 sinh(log alpha)
        return self._time_of_log_alpha(-torch.asinh(0.5 * torch.exp(-0.5 * log_snr)))


@dataclass(frozen=True, kw_only=True)
class VPCosine(Process):
    r"""alpha = cos(a (t + s))/cos(a s), a = pi/(2 (1 + s)), sigma = sqrt(1 - alpha^2).

    Nichol & Dhariwal 2021, Improved DDPM, eq. 17. alpha is 0 at t = 1.
    sigma^2 = sin(a t) sin(a (t + 2 s)) / cos^2(a s), which does not cancel near the data.
    """

    offset: float = 0.008
    t_min: float = 1e-3

    def __post_init__(self) -> None:
        if not 0.0 <= self.offset < 1.0:
            raise OptionError(f"offset lies in [0, 1), got {self.offset}")
        _check_t_min(self.t_min)

    @property
    def _rate(self) -> float:
        return 0.5 * math.pi / (1.0 + self.offset)

    @property
    def _start(self) -> float:
        return self._rate * self.offset

    def alpha(self, t: Tensor) -> Tensor:
        # cos(a (t + s)) = sin(a (1 - t)): exactly 0 at t = 1
        return torch.sin(self._rate * (1.0 - t)) / math.cos(self._start)

    def sigma(self, t: Tensor) -> Tensor:
        angle = self._rate * t
        square = torch.sin(angle) * torch.sin(angle + 2.0 * self._start)
        return square.clamp(min=0.0).sqrt() / math.cos(self._start)

    def alpha_rate(self, t: Tensor) -> Tensor:
        return -self._rate * torch.cos(self._rate * (1.0 - t)) / math.cos(self._start)

    def sigma_rate(self, t: Tensor) -> Tensor:
        return -self.alpha(t) * self.alpha_rate(t) / self.sigma(t)

    def time(self, log_snr: Tensor) -> Tensor:
        cosine = torch.sigmoid(log_snr).sqrt() * math.cos(self._start)
        sine = torch.sqrt(
            torch.sigmoid(-log_snr) * math.cos(self._start) ** 2 + math.sin(self._start) ** 2
        )
        angle = torch.atan2(sine, cosine) - self._start
        return (angle / self._rate).clamp(0.0, 1.0)
