"""Grids that are even in a power of time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from scoresde.errors import OptionError
from scoresde.processes import Process
from scoresde.samplers.grids.base import Grid, spaced


@dataclass(frozen=True, kw_only=True)
class UniformTime(Grid):
    """t_k = t_0 + (k/(n - 1)) (t_last - t_0), k = 0..n - 1: t falls by equal amounts.

    score_sde's linspace(T, eps, N) (Song et al. 2021), DPM-Solver's `time_uniform`; with final =
    "replaced" the `sgm_uniform` of ComfyUI.
    """

    def times(self, process: Process, points: int) -> Tensor:
        return spaced(*self.ends(process), points)


@dataclass(frozen=True, kw_only=True)
class Quadratic(Grid):
    r"""t_k = (t_0^(1/p) + (k/(n - 1)) (t_last^(1/p) - t_0^(1/p)))^p: even in t^(1/p), p = power.

    p = 2 by default: intervals shrink towards the data. (Song, Meng & Ermon 2021, DDIM, appendix
    D.2; Lu et al. 2022, `time_quadratic`; Zhang & Chen 2023, DEIS, sec. 4, any power of t.)
    """

    power: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.power < math.inf:
            raise OptionError(
                f"power of the quadratic grid is positive and finite, got {self.power}"
            )

    def times(self, process: Process, points: int) -> Tensor:
        first, last = self.ends(process)
        return spaced(first ** (1 / self.power), last ** (1 / self.power), points) ** self.power
