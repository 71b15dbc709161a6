"""Laws of the training time: a map from uniform numbers to times of a process."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.processes import Process


class Times(ABC):
    """A law of t on [t_min, 1], given by its quantile function and its density."""

    @abstractmethod
    def draw(self, u: Tensor, process: Process) -> tuple[Tensor, Tensor]:
        """(t, p(t)) for uniform numbers u (batch,), both float64; p is the density in t."""

    def tilted(self, u: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """(u', h(u')): uniform numbers redrawn with density h, by which losses are then divided.

        The expectation stays that of the law itself; only the variance changes. h = 1 unless the
        law learns.
        """
        return u, torch.ones_like(u)

    def told(self, u: Tensor, losses: Tensor, step: int) -> None:
        """What losses (batch,) the numbers u' gave at a step, before the division by h.

        A law that learns takes it into account from the next step on, so that a batch may be
        split as one likes.
        """
        return


@dataclass(frozen=True, kw_only=True)
class UniformTimes(Times):
    """t uniform on [t_min, 1] of the process."""

    def draw(self, u: Tensor, process: Process) -> tuple[Tensor, Tensor]:
        low = process.t_min
        return low + (1.0 - low) * u, torch.full_like(u, 1.0 / (1.0 - low))


class _RatioTimes(Times):
    r"""A law of y = log(sigma/alpha) = -log SNR/2, cut off at the process's own range.

    Drawn through the inverse of the cut-off distribution function, so that no mass piles up at
    the ends. p(t) = pdf(y) y'(t)/(cdf(y_1) - cdf(y_0)), y' = sigma'/sigma - alpha'/alpha.
    """

    @abstractmethod
    def _cdf(self, y: Tensor) -> Tensor: ...

    @abstractmethod
    def _quantile(self, p: Tensor) -> Tensor: ...

    @abstractmethod
    def _pdf(self, y: Tensor) -> Tensor: ...

    @abstractmethod
    def _described(self) -> tuple[str, str]:
        """The law and what to change in it, for the error."""

    def draw(self, u: Tensor, process: Process) -> tuple[Tensor, Tensor]:
        ends = torch.tensor([process.t_min, 1.0], dtype=torch.float64, device=u.device)
        low, high = self._cdf(-0.5 * process.log_snr(ends))
        if not bool(high > low):
            law, remedy = self._described()
            raise OptionError(
                f"the {law} have no mass in the range of {type(process).__name__}; {remedy}"
            )
        y = self._quantile(low + (high - low) * u)
        t = process.time(-2.0 * y).clamp(process.t_min, 1.0)
        rate = process.sigma_rate(t) / process.sigma(t) - process.alpha_rate(t) / process.alpha(t)
        return t, self._pdf(y) / (high - low) * rate


@dataclass(frozen=True, kw_only=True)
class LogNormalTimes(_RatioTimes):
    r"""log(sigma/alpha) ~ N(mean, std^2), cut off at the process's own range.

    (Karras et al. 2022, table 1: mean = -1.2, std = 1.2.) Under rectified flow log(sigma/alpha) =
    log(t/(1 - t)), so this is the logit-normal law. (Esser et al. 2024, section 3.1.)
    """

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        if not math.isfinite(self.mean):
            raise OptionError(f"mean of the log-normal times is finite, got {self.mean}")
        if not 0.0 < self.std < math.inf:
            raise OptionError(f"std of the log-normal times is positive, got {self.std}")

    def _cdf(self, y: Tensor) -> Tensor:
        return torch.special.ndtr((y - self.mean) / self.std)

    def _quantile(self, p: Tensor) -> Tensor:
        return self.mean + self.std * torch.special.ndtri(p)

    def _pdf(self, y: Tensor) -> Tensor:
        z = (y - self.mean) / self.std
        return torch.exp(-0.5 * z * z) / (self.std * math.sqrt(2.0 * math.pi))

    def _described(self) -> tuple[str, str]:
        law = f"log-normal times of mean {self.mean} and std {self.std}"
        return law, "move the mean or widen the std"


@dataclass(frozen=True, kw_only=True)
class LogSNRUniformTimes(_RatioTimes):
    r"""log SNR uniform on [low, high], cut off at the process's own range.

    The geometric spread of sigma/alpha of NCSN, without its steps. A law that no schedule moves:
    p(t) = -lambda'(t)/(high - low). (Kingma & Gao 2023.)
    """

    low: float = -20.0
    high: float = 20.0

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise OptionError(
                f"low and high of the log-SNR-uniform times are finite and low < high, "
                f"got {self.low} and {self.high}"
            )

    def _cdf(self, y: Tensor) -> Tensor:
        return ((self.high + 2.0 * y) / (self.high - self.low)).clamp(0.0, 1.0)

    def _quantile(self, p: Tensor) -> Tensor:
        return 0.5 * ((self.high - self.low) * p - self.high)

    def _pdf(self, y: Tensor) -> Tensor:
        return torch.full_like(y, 2.0 / (self.high - self.low))

    def _described(self) -> tuple[str, str]:
        return f"log-SNR-uniform times between {self.low} and {self.high}", "widen low and high"


@dataclass(frozen=True, kw_only=True)
class LogSNRCosineTimes(_RatioTimes):
    r"""The cosine schedule's log SNR, lambda = -2 log tan(pi u/2) + shift, under any process.

    p(lambda) = sech((lambda - shift)/2)/(2 pi), cut off at the process's own range. shift = 2
    log(64/width) moves the law with the size of an image. (Nichol & Dhariwal 2021; Kingma & Gao
    2023; Hoogeboom et al. 2023, Simple diffusion.)
    """

    shift: float = 0.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.shift):
            raise OptionError(f"shift of the log-SNR-cosine times is finite, got {self.shift}")

    def _cdf(self, y: Tensor) -> Tensor:
        return (2.0 / math.pi) * torch.atan(torch.exp(y + 0.5 * self.shift))

    def _quantile(self, p: Tensor) -> Tensor:
        return torch.log(torch.tan(0.5 * math.pi * p)) - 0.5 * self.shift

    def _pdf(self, y: Tensor) -> Tensor:
        return 1.0 / (math.pi * torch.cosh(y + 0.5 * self.shift))

    def _described(self) -> tuple[str, str]:
        return f"log-SNR-cosine times of shift {self.shift}", "bring the shift nearer to 0"
