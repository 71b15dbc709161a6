"""The grid of flow-matching models, with the shift of their resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.processes import Process
from scoresde.samplers.grids.base import Grid


@dataclass(frozen=True, kw_only=True)
class FlowShift(Grid):
    r"""w_k = s u_k/(1 + (s - 1) u_k), u_k = u_0 (1 - k/n), k = 0..n - 1, s = shift.

    w = sigma/(alpha + sigma), the time of rectified flow, on any process; w_n = 0 is the data. The
    shift multiplies sigma/alpha = w/(1 - w) by s at every level, so it spends more steps on noise,
    as larger images need; shift = 1 is trailing spacing without a chain. u_0 is what the shift
    takes to the first level: 1 at alpha = 0. Flux writes s = e^mu.
    (Esser et al. 2024, Scaling rectified flow transformers, eq. 23; Hoogeboom et al. 2023, Simple
    diffusion, sec. 3.1, for the log SNR.)
    """

    shift: float = 3.0

    before_data: ClassVar[bool] = True
    reaches_last: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.shift < math.inf:
            raise OptionError(f"shift of the grid is positive and finite, got {self.shift}")

    def times(self, process: Process, points: int) -> Tensor:
        first, last = self.ends(process)
        level = process.at(first)
        u_0 = level.sigma / (self.shift * level.alpha + level.sigma)
        u = u_0 * (1.0 - torch.arange(points, dtype=torch.float64) / points)
        times = process.time(2.0 * (torch.log1p(-u) - torch.log(self.shift * u)))
        times[0] = first  # at u = 1 the log SNR is infinite
        if not last < float(times[-1]):
            raise OptionError(
                f"the last of {points} levels of flow-shift has t = {float(times[-1]):.4g}, and "
                f"{type(process).__name__} ends at {last:.4g}; take fewer steps or a larger shift"
            )
        return times
