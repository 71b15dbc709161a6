"""A grid given as a list."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.processes import Process
from scoresde.samplers.grids.base import Grid, times_of_ratios


@dataclass(frozen=True, kw_only=True)
class Explicit(Grid):
    """Levels as given: `given_times` of the process, or `noise_ratios` sigma/alpha, noise falling.

    `steps` is read off the list. A final 0 among `noise_ratios` is the clean level. A level that
    is repeated at once, as some tools do at the end, is a step of no length and is left out.
    """

    given_times: tuple[float, ...] = ()
    noise_ratios: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.given_times) == bool(self.noise_ratios):
            raise OptionError("the explicit grid takes either given_times or noise_ratios")
        if self.log_snr_min is not None or self.log_snr_max is not None:
            raise OptionError("the explicit grid takes its ends from its list, not from log_snr")
        for name in ("given_times", "noise_ratios"):
            listed = getattr(self, name)
            kept = tuple(v for i, v in enumerate(listed) if i == 0 or v != listed[i - 1])
            object.__setattr__(self, name, kept)
        if self.noise_ratios and self.noise_ratios[-1] == 0.0:
            object.__setattr__(self, "noise_ratios", tuple(self.noise_ratios[:-1]))
            object.__setattr__(self, "final", "clean")
        values = self.given_times or self.noise_ratios
        if any(not (math.isfinite(v) and v > 0) for v in values):
            raise OptionError(f"levels of the explicit grid are positive and finite, got {values}")
        object.__setattr__(self, "steps", len(values) - (self.final != "clean"))
        super().__post_init__()

    def times(self, process: Process, points: int) -> Tensor:
        if self.given_times:
            return torch.tensor(self.given_times, dtype=torch.float64)
        return times_of_ratios(process, torch.tensor(self.noise_ratios, dtype=torch.float64))
