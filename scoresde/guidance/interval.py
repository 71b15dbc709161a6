"""The noise levels at which guidance acts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from scoresde.errors import OptionError
from scoresde.processes import NoiseLevel


@dataclass(frozen=True)
class Interval:
    r"""low < sigma/alpha <= high, in EDM's sigma; log_snr = -2 log(sigma/alpha).

    Guidance at high noise costs variety and at low noise does little, so that a middle interval
    is better and cheaper. (Kynkäänniemi et al. 2024, Applying guidance in a limited interval,
    section 3.1.) Raises `OptionError` unless 0 <= low < high; high may be infinite.
    """

    low: float = 0.0
    high: float = math.inf

    def __post_init__(self) -> None:
        if not 0.0 <= self.low < self.high:
            raise OptionError(
                "an interval of guidance is two noise ratios sigma/alpha, 0 <= low < high, "
                f"got {self.low} and {self.high}"
            )

    @classmethod
    def of(cls, interval: tuple[float, float] | None) -> Interval | None:
        """The interval of an option; None is every level, both ends of a process too."""
        if interval is None:
            return None
        if len(interval) != 2:
            raise OptionError(f"an interval of guidance has two ends, got {list(interval)}")
        return cls(*interval)

    def covers(self, level: NoiseLevel) -> bool | Tensor:
        """Whether guidance acts at a level; (batch, 1, ..., 1) for a level of tensors."""
        ratio = level.noise_ratio
        if isinstance(ratio, Tensor):
            return (ratio > self.low) & (ratio <= self.high)
        return self.low < ratio <= self.high
