r"""What every grid shares: how many levels, between which ends, and how the last step is made.

A recipe gives any number of decreasing times between the first level (log_snr_min) and the last
one with noise (log_snr_max). Its ends are by default the process's own, at t = 1 and t = t_min;
a recipe in sigma/alpha or the log SNR needs a finite start, and takes log SNR = -10 (VP linear's
own) for processes with alpha = 0 at t = 1.

`final` says what follows, with n = steps:

    clean     n times, then the data (alpha = 1, sigma = 0)                  n intervals
    min       n + 1 times: the state handed out has the noise of the last    n intervals
    denoised  the levels of `min`, then the data                         n + 1 intervals
    replaced  the recipe's n + 1 times with the data in place of the last    n intervals

A recipe whose next level would be the data itself (trailing spacings, the flow's shift) has no
time at log_snr_max of its own: `min` appends that level to n times, and `replaced` is `clean`.
This module is the one place that knows: members give times alone.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Integral
from typing import ClassVar

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.processes import CLEAN, DiscreteDDPM, NoiseLevel, Process

FINALS = ("clean", "min", "denoised", "replaced")
FINITE_START = -10.0
LARGEST = 1_000_000  # steps, so that a noise key's step word holds every one of them


@dataclass(frozen=True, kw_only=True)
class Grid(ABC):
    """A recipe for levels; `levels(process)` follows it.

    steps        n of the table above
    final        clean, min, denoised or replaced
    log_snr_min  the first level, None for t = 1
    log_snr_max  the last level with noise, None for t_min
    rounded      move each level to the nearest sigma/alpha among a chain's instants (the
                 `round_sigma` of Karras et al. 2022 for networks trained on a chain)

    Raises `OptionError` for options out of range, and in `levels` for a process that the recipe
    does not fit.
    """

    steps: int = 20
    final: str = "clean"
    log_snr_min: float | None = None
    log_snr_max: float | None = None
    rounded: bool = False

    before_data: ClassVar[bool] = False  # the recipe's next time would be that of the data
    reaches_last: ClassVar[bool] = True  # the recipe's last time is that of log_snr_max

    def __post_init__(self) -> None:
        steps = self.steps
        if not isinstance(steps, Integral) or isinstance(steps, bool) or not 1 <= steps <= LARGEST:
            raise OptionError(f"steps of a grid are a whole number in 1..{LARGEST}, got {steps}")
        if self.final not in FINALS:
            raise OptionError(unknown("end of a grid", self.final, list(FINALS)))
        low, high = self.log_snr_min, self.log_snr_max
        for name, value in (("log_snr_min", low), ("log_snr_max", high)):
            if value is not None and not math.isfinite(value):
                raise OptionError(f"{name} of a grid is finite, got {value}")
        if low is not None and high is not None and not low < high:
            raise OptionError(f"a grid needs log_snr_min < log_snr_max, got {low} and {high}")
        if self.before_data and high is not None and self.final in ("clean", "replaced"):
            raise OptionError(
                f"{type(self).__name__} steps from above log_snr_max to the data and has no level "
                "there; leave log_snr_max out, or take final = 'min' or 'denoised'"
            )

    def levels(self, process: Process) -> tuple[NoiseLevel, ...]:
        """The levels of a process, noise falling, float64 on the host."""
        times = self._noisy(process)
        if self.rounded:
            times = nearest_instants(process, times)
        return process.levels(times) + (() if self.final == "min" else (CLEAN,))

    @abstractmethod
    def times(self, process: Process, points: int) -> Tensor:
        """Decreasing times of that many levels with noise."""

    def _noisy(self, process: Process) -> Tensor:
        """The times of all levels but the clean one."""
        n = self.steps
        if self.final == "clean" or (self.final == "replaced" and self.before_data):
            return self.times(process, n)
        if self.final == "replaced":
            return self.times(process, n + 1)[:-1]
        if self.reaches_last:
            return self.times(process, n + 1)
        times, last = self.times(process, n), self.ends(process)[1]
        if not last < float(times[-1]):
            raise OptionError(
                f"{n} steps of this grid reach t = {float(times[-1]):.4g} already, and final = "
                f"{self.final!r} goes on to {last:.4g}; take fewer steps, or final = 'clean'"
            )
        return torch.cat([times, torch.tensor([last], dtype=torch.float64)])

    def ends(self, process: Process) -> tuple[float, float]:
        """(t of the first level, t of the last one with noise)."""
        first, last = 1.0, process.t_min
        if self.log_snr_min is not None:
            first = self._time("log_snr_min", process)
        if self.log_snr_max is not None:
            last = self._time("log_snr_max", process)
        if not last < first:
            raise OptionError(f"the grid's first time {first} must lie above its last, {last}")
        return first, last

    def _time(self, name: str, process: Process) -> float:
        value = getattr(self, name)
        try:
            return process.at_log_snr(value).t
        except OptionError:
            low, high = process.at(1.0).log_snr, process.at(process.t_min).log_snr
            raise OptionError(
                f"{name} = {value} lies outside {type(process).__name__}, whose log SNR runs from "
                f"{low:.4g} to {high:.4g}"
            ) from None

    def log_snr_ends(self, process: Process) -> tuple[float, float]:
        """The log SNR of both ends, FINITE_START for the first where alpha = 0."""
        first, last = self.ends(process)
        low, high = process.at(first).log_snr, process.at(last).log_snr
        low = low if math.isfinite(low) else FINITE_START
        if not low < high:
            raise OptionError(
                f"the grid starts at log SNR {low:.4g} since alpha = 0 at t = 1, above its end "
                f"{high:.4g}; set log_snr_min"
            )
        return low, high

    def noise_ratio_ends(self, process: Process) -> tuple[float, float]:
        """sigma/alpha of both ends, the larger first."""
        low, high = self.log_snr_ends(process)
        return math.exp(-0.5 * low), math.exp(-0.5 * high)


def spaced(first: float, last: float, points: int) -> Tensor:
    """`points` even values from first to last, float64; the first alone where one is asked."""
    return torch.linspace(first, last, points, dtype=torch.float64)


def times_of_ratios(process: Process, ratios: Tensor) -> Tensor:
    """The times at which sigma/alpha has these values."""
    return process.time(-2.0 * ratios.log())


def instants_of(process: Process, what: str) -> int:
    """T of a discrete chain; raises `OptionError` for any other process."""
    if not isinstance(process, DiscreteDDPM):
        raise OptionError(
            f"{what} needs a discrete chain, got {type(process).__name__}; use the process 'ddpm' "
            "or the grid 'uniform-time'"
        )
    return process.steps


def nearest_instants(process: Process, times: Tensor) -> Tensor:
    """Times moved to those of a chain's instants with the nearest sigma/alpha."""
    total = instants_of(process, "rounded = true")
    knots = torch.arange(1, total + 1, dtype=torch.float64) / total
    ratios, at = (process.sigma(t) / process.alpha(t) for t in (knots, times))
    above = torch.searchsorted(ratios, at.contiguous()).clamp(max=total - 1)
    below = (above - 1).clamp(min=0)
    i = torch.where((ratios[above] - at).abs() < (at - ratios[below]).abs(), above, below) + 1
    i = distinct(i.to(torch.float64), "rounded = true", "take fewer steps or rounded = false")
    return i / total


def distinct(i: Tensor, what: str, way_out: str) -> Tensor:
    """Falling instants of a chain as they are; raises `OptionError` where two are the same."""
    same = (i.diff() >= 0).nonzero()
    if len(same):
        instant = int(i[int(same[0])])
        raise OptionError(
            f"{what} puts two of {len(i)} levels on the chain's instant {instant}; {way_out}"
        )
    return i
