"""Processes that leave the data in place and add noise: VE and EDM."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.processes.base import Process


@dataclass(frozen=True, kw_only=True)
class VarianceExploding(Process):
    r"""alpha = 1, sigma = sigma_min (sigma_max/sigma_min)^t.

    Song & Ermon 2019; Song et al. 2021, eq. 31.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        if not (0.0 < self.sigma_min < self.sigma_max < math.inf):
            raise OptionError(
                "sigma_min and sigma_max need 0 < sigma_min < sigma_max, "
                f"got {self.sigma_min} and {self.sigma_max}"
            )

    @property
    def _log_ratio(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_min * torch.exp(self._log_ratio * t)

    def alpha_rate(self, t: Tensor) -> Tensor:
        return torch.zeros_like(t)

    def sigma_rate(self, t: Tensor) -> Tensor:
        return self._log_ratio * self.sigma(t)

    def time(self, log_snr: Tensor) -> Tensor:
        return (-0.5 * log_snr - math.log(self.sigma_min)) / self._log_ratio


@dataclass(frozen=True, kw_only=True)
class EDM(VarianceExploding):
    r"""The variance-exploding process over EDM's range of sigma, 0.002 to 80.

    Karras et al. 2022, Elucidating the design space, table 1. Its grid (Karras, rho = 7) and its
    log-normal training noise are members of their own families.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
