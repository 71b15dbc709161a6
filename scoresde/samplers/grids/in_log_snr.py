"""Grids in the log SNR, which is -2 log(sigma/alpha)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from scoresde.errors import OptionError
from scoresde.processes import Process
from scoresde.samplers.grids.base import Grid, spaced


@dataclass(frozen=True, kw_only=True)
class UniformLogSNR(Grid):
    r"""log SNR rises by equal amounts: sigma/alpha falls by equal factors, a geometric series.

    DPM-Solver's `logSNR` (Lu et al. 2022, sec. 3.3), the exponential grid of k-diffusion and
    diffusers, the VE grid of Karras et al. (2022), table 1.
    """

    def times(self, process: Process, points: int) -> Tensor:
        return process.time(spaced(*self.log_snr_ends(process), points))


@dataclass(frozen=True, kw_only=True)
class Polyexponential(Grid):
    r"""log(sigma/alpha) = log r_last + (1 - k/(n - 1))^rho (log r_0 - log r_last).

    A polynomial in log sigma, from k-diffusion. rho = 1 is uniform in the log SNR; larger rho
    puts more levels near the data.
    """

    rho: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.rho < math.inf:
            raise OptionError(
                f"rho of the polyexponential grid is positive and finite, got {self.rho}"
            )

    def times(self, process: Process, points: int) -> Tensor:
        low, high = self.log_snr_ends(process)
        return process.time(high + spaced(1.0, 0.0, points) ** self.rho * (low - high))
