"""The grid of a cosine schedule's time."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scoresde.processes import Process
from scoresde.samplers.grids.base import Grid, spaced


@dataclass(frozen=True, kw_only=True)
class Cosine(Grid):
    r"""phi = atan2(sigma, alpha) falls by equal amounts, so sigma/alpha = tan phi.

    The levels that a cosine schedule has at even times, on any process; starts at alpha = 0 (phi =
    pi/2) where the process does. (Nichol & Dhariwal 2021, eq. 17, without their offset; Sabour et
    al. 2024, Align your steps, derive it for Gaussian data of unit variance: the `kl_optimal` of
    ComfyUI.)
    """

    def times(self, process: Process, points: int) -> Tensor:
        first, last = self.ends(process)
        phi = spaced(process.at(first).phi, process.at(last).phi, points)
        times = process.time(2.0 * (phi.cos().log() - phi.sin().log()))
        times[0] = first  # at phi = pi/2 the cosine is 6e-17 and not 0
        return times
