"""Laws of the training time: a map from uniform numbers to times of a process."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.families import Family
from scoresde.processes import Process


class Times(ABC):
    """A law of t on [t_min, 1], given by its quantile function and its density."""

    @abstractmethod
    def draw(self, u: Tensor, process: Process) -> tuple[Tensor, Tensor]:
        """(t, p(t)) for uniform numbers u (batch,), both float64; p is the density in t."""


@dataclass(frozen=True, kw_only=True)
class UniformTimes(Times):
    """t uniform on [t_min, 1] of the process."""

    def draw(self, u: Tensor, process: Process) -> tuple[Tensor, Tensor]:
        low = process.t_min
        return low + (1.0 - low) * u, torch.full_like(u, 1.0 / (1.0 - low))


@dataclass(frozen=True, kw_only=True)
class LogNormalTimes(Times):
    r"""log(sigma/alpha) ~ N(mean, std^2), cut off at the process's own range.

    (Karras et al. 2022, table 1: mean = -1.2, std = 1.2.) Drawn through the inverse of the cut-off
    normal's distribution function, so that no mass piles up at the ends.
    """

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        if not math.isfinite(self.mean):
            raise OptionError(f"mean of the log-normal times is finite, got {self.mean}")
        if not 0.0 < self.std < math.inf:
            raise OptionError(f"std of the log-normal times is positive, got {self.std}")

    def draw(self, u: Tensor, process: Process) -> tuple[Tensor, Tensor]:
        ends = torch.tensor([process.t_min, 1.0], dtype=torch.float64, device=u.device)
        low, high = torch.special.ndtr((-0.5 * process.log_snr(ends) - self.mean) / self.std)
        if not bool(high > low):
            raise OptionError(
                f"the log-normal times of mean {self.mean} and std {self.std} have no mass in the "
                f"range of {type(process).__name__}; move the mean or widen the std"
            )
        z = torch.special.ndtri(low + (high - low) * u)
        log_ratio = self.mean + self.std * z
        t = process.time(-2.0 * log_ratio).clamp(process.t_min, 1.0)
        # d log(sigma/alpha)/dt = sigma'/sigma - alpha'/alpha
        rate = process.sigma_rate(t) / process.sigma(t) - process.alpha_rate(t) / process.alpha(t)
        normal = torch.exp(-0.5 * z * z) / (self.std * math.sqrt(2.0 * math.pi))
        return t, normal / (high - low) * rate


TIMES = Family("time law", {"uniform": UniformTimes, "log-normal": LogNormalTimes})
