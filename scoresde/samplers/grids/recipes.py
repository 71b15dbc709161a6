r"""Grids of noise levels: from the first level to the last, final step included, in one place.

`steps` counts intervals. Every grid runs from log_snr_min to log_snr_max, by default the
process's own ends at t = 1 and t = t_min; grids in the log-SNR need a finite start and take -10
(VP linear's own) for processes with alpha_1 = 0. `final = "clean"` lands the last interval on the
data (alpha = 1, sigma = 0), so that `steps` levels have noise; `final = "min"` ends at
log_snr_max, with `steps + 1`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.families import Family, unknown
from scoresde.processes import CLEAN, NoiseLevel, Process

FINALS = ("clean", "min")
SPACINGS = ("leading", "linspace", "trailing")
FINITE_START = -10.0


@dataclass(frozen=True, kw_only=True)
class Grid(ABC):
    """A recipe for levels; `levels(process)` follows it."""

    steps: int = 20
    final: str = "clean"
    log_snr_min: float | None = None
    log_snr_max: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.steps, bool) or not 1 <= self.steps <= 1_000_000:
            raise OptionError(f"steps of a grid lie in 1..1000000, got {self.steps}")
        if self.final not in FINALS:
            raise OptionError(unknown("end of a grid", self.final, list(FINALS)))
        low, high = self.log_snr_min, self.log_snr_max
        for name, value in (("log_snr_min", low), ("log_snr_max", high)):
            if value is not None and not math.isfinite(value):
                raise OptionError(f"{name} of a grid is finite, got {value}")
        if low is not None and high is not None and not low < high:
            raise OptionError(f"a grid needs log_snr_min < log_snr_max, got {low} and {high}")

    def levels(self, process: Process) -> tuple[NoiseLevel, ...]:
        """The levels of a process, noise falling, float64 on the host."""
        times = self.times(process, self.steps + (self.final == "min"))
        return process.levels(times) + ((CLEAN,) if self.final == "clean" else ())

    @abstractmethod
    def times(self, process: Process, points: int) -> Tensor:
        """Decreasing times of that many levels with noise."""

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
        first, last = self.ends(process)
        low = process.at(first).log_snr
        return (low if math.isfinite(low) else FINITE_START), process.at(last).log_snr


def _spaced(first: float, last: float, points: int) -> Tensor:
    return torch.linspace(first, last, points, dtype=torch.float64)


@dataclass(frozen=True, kw_only=True)
class UniformTime(Grid):
    """t falls by equal amounts."""

    def times(self, process: Process, points: int) -> Tensor:
        return _spaced(*self.ends(process), points)


@dataclass(frozen=True, kw_only=True)
class UniformLogSNR(Grid):
    """log SNR rises by equal amounts. (Lu et al. 2022, DPM-Solver, sec. 3.3.)"""

    def times(self, process: Process, points: int) -> Tensor:
        return process.time(_spaced(*self.log_snr_ends(process), points))


@dataclass(frozen=True, kw_only=True)
class Karras(Grid):
    r"""(sigma/alpha)^(1/rho) falls by equal amounts. (Karras et al. 2022, eq. 5; rho = 7.)"""

    rho: float = 7.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.rho < math.inf:
            raise OptionError(f"rho of the karras grid is positive and finite, got {self.rho}")

    def times(self, process: Process, points: int) -> Tensor:
        low, high = self.log_snr_ends(process)
        roots = _spaced(math.exp(-0.5 * low / self.rho), math.exp(-0.5 * high / self.rho), points)
        return process.time(-2.0 * self.rho * roots.log())


@dataclass(frozen=True, kw_only=True)
class Discrete(Grid):
    r"""A subset of a discrete chain's instants i = 1..T, at t = i/T.

    With n levels: `leading` i = 1 + k (T // n); `linspace` i = 1 + round(k (T - 1)/(n - 1));
    `trailing` i = round(T - k T/n); k = 0..n-1. (Lin et al. 2024, Common diffusion noise
    schedules, table 2; rounding half to even.) The instant i here is timestep i - 1 elsewhere.
    """

    spacing: str = "leading"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spacing not in SPACINGS:
            raise OptionError(unknown("spacing", self.spacing, list(SPACINGS)))
        if self.log_snr_min is not None or self.log_snr_max is not None:
            raise OptionError("the discrete grid takes its ends from its chain, not from log_snr")

    def times(self, process: Process, points: int) -> Tensor:
        total = getattr(process, "steps", None)
        if total is None:
            raise OptionError(
                f"the discrete grid needs a discrete chain, got {type(process).__name__}; use the "
                "process 'ddpm' or the grid 'uniform-time'"
            )
        if points > total:
            raise OptionError(f"a chain of {total} instants has no grid of {points} levels")
        k = torch.arange(points, dtype=torch.float64)
        if self.spacing == "leading":
            i = 1 + k.flip(0) * (total // points)
        elif self.spacing == "linspace":
            i = 1 + torch.linspace(0, total - 1, points, dtype=torch.float64).round().flip(0)
        else:
            i = (total - k * (total / points)).round()
        return i / total


@dataclass(frozen=True, kw_only=True)
class Explicit(Grid):
    """Levels as given: `times` of the process, or values of sigma/alpha, noise falling.

    `steps` is read off the list. A final 0 among `noise_ratios` is the clean level.
    """

    given_times: tuple[float, ...] = ()
    noise_ratios: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.given_times) == bool(self.noise_ratios):
            raise OptionError("the explicit grid takes either given_times or noise_ratios")
        if self.log_snr_min is not None or self.log_snr_max is not None:
            raise OptionError("the explicit grid takes its ends from its list, not from log_snr")
        if self.noise_ratios and self.noise_ratios[-1] == 0.0:
            object.__setattr__(self, "noise_ratios", tuple(self.noise_ratios[:-1]))
            object.__setattr__(self, "final", "clean")
        values = self.given_times or self.noise_ratios
        if any(not (math.isfinite(v) and v > 0) for v in values):
            raise OptionError(f"levels of the explicit grid are positive and finite, got {values}")
        object.__setattr__(self, "steps", len(values) - (self.final == "min"))
        super().__post_init__()

    def times(self, process: Process, points: int) -> Tensor:
        if self.given_times:
            return torch.tensor(self.given_times, dtype=torch.float64)
        return process.time(-2.0 * torch.tensor(self.noise_ratios, dtype=torch.float64).log())


GRIDS = Family(
    "grid",
    {
        "uniform-time": UniformTime,
        "uniform-log-snr": UniformLogSNR,
        "karras": Karras,
        "discrete": Discrete,
        "explicit": Explicit,
    },
)
