"""Where the court sits: processes with stated ends, grids, starting states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.kernels import Noise
from scoresde.processes import (
    NoiseLevel,
    Process,
    RectifiedFlow,
    VarianceExploding,
    VPCosine,
    VPLinear,
)
from scoresde.samplers import GRIDS, Sampler, start

ORDER_GRID = Sampler.order_grid  # where orders are measured unless a sampler names its own grid
LOG_SNR_MAX = 5.0  # sigma/alpha = 0.082: orders are of the flow to a positive sigma
STARTS = 6


@dataclass(frozen=True)
class Setting:
    """A process and the two ends between which samplers run; log_snr_min None is t = 1."""

    name: str
    process: Process
    log_snr_min: float | None = None
    log_snr_max: float = LOG_SNR_MAX
    grid: str = ORDER_GRID

    @property
    def title(self) -> str:
        return self.name if self.log_snr_min is None else f"{self.name} from {self.log_snr_min:g}"

    def levels(
        self, steps: int, grid: str | None = None, final: str = "min"
    ) -> tuple[NoiseLevel, ...]:
        """`steps` intervals from the first end to the last, by a grid's name."""
        ends = {"log_snr_min": self.log_snr_min, "log_snr_max": self.log_snr_max}
        return GRIDS[grid or self.grid](steps=steps, final=final, **ends).levels(self.process)


def settings() -> tuple[Setting, ...]:
    """VP linear and VE from their own ends; rectified flow from log SNR = -7, as alpha_1 = 0."""
    return (
        Setting("vp-linear", VPLinear()),
        Setting("ve", VarianceExploding()),
        Setting("rectified-flow", RectifiedFlow(), log_snr_min=-7.0),
    )


def settings_from_noise() -> tuple[Setting, ...]:
    """The two processes whose alpha is 0 at t = 1, run from there."""
    return (
        Setting("rectified-flow", RectifiedFlow(), None, 10.0, "uniform-time"),
        Setting("vp-cosine", VPCosine(), None, 9.0, "uniform-time"),
    )


def starts(level: NoiseLevel, count: int = STARTS) -> Tensor:
    """Fixed states (count, 2) at a first level."""
    return start(level, Noise(11), torch.arange(count), (2,))


def own_grid(sampler: Sampler) -> str:
    """The grid on which a sampler's order holds, by its name."""
    return sampler.order_grid


def ends_of(levels: Sequence[NoiseLevel]) -> tuple[float, float]:
    """(smallest, largest) phi of a grid."""
    return levels[-1].phi, levels[0].phi
