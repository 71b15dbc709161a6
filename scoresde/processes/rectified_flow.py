"""Rectified flow (flow matching with straight paths)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.processes.base import Process


@dataclass(frozen=True, kw_only=True)
class RectifiedFlow(Process):
    r"""alpha = 1 - t, sigma = t; its velocity target is alpha' x0 + sigma' eps = eps - x0.

    Liu et al. 2023, Flow straight and fast; Lipman et al. 2023. alpha is 0 at t = 1, where the
    drift f is infinite and the velocity is not.
    """

    t_min: float = 1e-3

    def __post_init__(self) -> None:
        if not 0.0 < self.t_min < 1.0:
            raise OptionError(f"t_min lies strictly between 0 and 1, got {self.t_min}")

    def alpha(self, t: Tensor) -> Tensor:
        return 1.0 - t

    def sigma(self, t: Tensor) -> Tensor:
        return t.clone()

    def alpha_rate(self, t: Tensor) -> Tensor:
        return -torch.ones_like(t)

    def sigma_rate(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def time(self, log_snr: Tensor) -> Tensor:
        return torch.sigmoid(-0.5 * log_snr)
