"""The grid of a beta law's quantiles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.special import betaincinv
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.processes import Process
from scoresde.samplers.grids.base import Grid, spaced, times_of_ratios

VARIABLES = ("time", "noise-ratio")


@dataclass(frozen=True, kw_only=True)
class BetaQuantile(Grid):
    r"""t_k = t_last + Q(1 - k/(n - 1)) (t_0 - t_last), Q the quantile function of Beta(a, b).

    a = b = 0.6: more levels near both ends, since there the spectrum changes most. a = b = 1 is
    uniform, a = b = 1/2 is t = cos^2 of even angles. (Lee et al. 2024, Beta sampling is all you
    need.)

    a, b  shape; below 1 crowds the data's end (a) and the noise's (b)
    over  time as in the paper and ComfyUI, or noise-ratio: sigma/alpha in place of t, as
          diffusers' `use_beta_sigmas` has it
    """

    a: float = 0.6
    b: float = 0.6
    over: str = "time"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("a", "b"):
            value = getattr(self, name)
            if not 0.0 < value < math.inf:
                raise OptionError(f"{name} of the beta grid is positive and finite, got {value}")
        if self.over not in VARIABLES:
            raise OptionError(unknown("variable of the beta grid", self.over, list(VARIABLES)))

    def times(self, process: Process, points: int) -> Tensor:
        u = spaced(1.0, 0.0, points)
        share = torch.from_numpy(betaincinv(self.a, self.b, u.numpy()))
        if self.over == "time":
            first, last = self.ends(process)
            return last + share * (first - last)
        large, small = self.noise_ratio_ends(process)
        return times_of_ratios(process, small + share * (large - small))
