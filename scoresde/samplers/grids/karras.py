"""The grid of Karras et al."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from scoresde.errors import OptionError
from scoresde.processes import Process
from scoresde.samplers.grids.base import Grid, spaced


@dataclass(frozen=True, kw_only=True)
class Karras(Grid):
    r"""(sigma/alpha)^(1/rho) falls by equal amounts; rho = 7.

    On a discrete chain its levels lie between the chain's instants; `rounded` moves them there.
    (Karras et al. 2022, Elucidating the design space, eq. 5.)
    """

    rho: float = 7.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.rho < math.inf:
            raise OptionError(f"rho of the karras grid is positive and finite, got {self.rho}")

    def times(self, process: Process, points: int) -> Tensor:
        low, high = self.log_snr_ends(process)
        roots = spaced(math.exp(-0.5 * low / self.rho), math.exp(-0.5 * high / self.rho), points)
        return process.time(-2.0 * self.rho * roots.log())
