r"""The one interface of a forward process.

Symbols, here and everywhere: `t` in [0, 1] with 0 = data; steps go from `t` to `s < t`; `alpha`
and `sigma` are scales (never variances); `log_snr` = log alpha^2/sigma^2; `x` is the state z_t,
`z` fresh noise; `x0`, `eps`, `v`, `score`, `velocity`, `F` are kinds of prediction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.processes.level import NoiseLevel

_SLACK = 1e-6  # of t beyond its ends: levels that were rounded to float32 elsewhere
_ROUNDING = 1e-12  # of t(log SNR) at the ends


class Process(ABC):
    r"""q(z_t | x) = N(alpha_t x, sigma_t^2 I) for t in [0, 1].

    A member gives four functions in closed form (alpha, sigma and their rates, elementwise on a
    float64 tensor of times) and the inverse t(log SNR). All else follows: f = alpha'/alpha, g^2 =
    d sigma^2/dt - 2 f sigma^2, SNR' and the prior N(0, alpha_1^2 + sigma_1^2). Rates rather than
    logarithmic rates, since log alpha is infinite where alpha = 0 (rectified flow and cosine at t
    = 1) while alpha' stays finite.
    """

    t_min: float = 0.0  # the smallest time with a finite SNR that training and grids use

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor: ...

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor: ...

    @abstractmethod
    def alpha_rate(self, t: Tensor) -> Tensor: ...

    @abstractmethod
    def sigma_rate(self, t: Tensor) -> Tensor: ...

    @abstractmethod
    def time(self, log_snr: Tensor) -> Tensor:
        """The inverse: the t at which log(alpha^2/sigma^2) = log_snr."""

    def log_snr(self, t: Tensor) -> Tensor:
        return 2.0 * (self.alpha(t).log() - self.sigma(t).log())

    def level(self, t: Tensor, like: Tensor) -> NoiseLevel:
        """Levels of a batch of times (batch,), broadcastable against `like` (batch, *event).

        Computed in float64, then cast to the dtype of `like`.
        """
        t = t.to(torch.float64).reshape(-1, *[1] * (like.ndim - 1))
        fields = (t, self.alpha(t), self.sigma(t), self.alpha_rate(t), self.sigma_rate(t))
        return NoiseLevel(*(f.to(like.dtype) for f in fields), process=self)

    def levels(self, times) -> tuple[NoiseLevel, ...]:
        """Levels of a grid of times, as float64 scalars on the host."""
        t = torch.as_tensor(times, dtype=torch.float64)
        if t.ndim != 1 or not bool(((t >= -_SLACK) & (t <= 1.0 + _SLACK)).all()):
            raise OptionError(
                f"times of {type(self).__name__} lie in [0, 1], got {t.tolist()}: a level outside "
                f"its range of log SNR, {self._range()}"
            )
        t = self._within(t)
        fields = (t, self.alpha(t), self.sigma(t), self.alpha_rate(t), self.sigma_rate(t))
        rows = zip(*(f.tolist() for f in fields), strict=True)
        return tuple(NoiseLevel(*row, process=self) for row in rows)

    def _within(self, t: Tensor) -> Tensor:
        """Times in [0, 1]; a little outside where the formulas hold there too.

        So a sigma of 0.00199999996 stays what it is under a process that ends at 0.002.
        """
        inside = t.clamp(0.0, 1.0)
        if not bool(((t - inside).abs() > _ROUNDING).any()):
            return inside
        alpha, sigma = self.alpha(t), self.sigma(t)
        holds = (alpha > 0.0) & (sigma > 0.0) & ((t - inside).abs() > _ROUNDING)
        return torch.where(holds, t, inside)

    def _range(self) -> str:
        low, high = self.at(1.0).log_snr, self.at(self.t_min).log_snr
        return f"{low:.4g} to {high:.4g}"

    def beyond(self, log_snr: Tensor, like: Tensor) -> NoiseLevel:
        """The level at a log-SNR by the formulas alone, also where t lies outside [0, 1].

        Raises `OptionError` where they give no finite level.
        """
        level = self.level(self.time(log_snr.to(torch.float64)).reshape(-1), like)
        found = level.log_snr.to(torch.float64).reshape(-1)
        asked = log_snr.to(torch.float64).reshape(-1)
        missed = torch.isfinite(asked) & ((found - asked).abs() > 1e-3 * (1.0 + asked.abs()))
        if bool(missed.any()) or not bool(
            torch.isfinite(level.alpha_rate + level.sigma_rate).all()
        ):
            raise OptionError(
                f"{type(self).__name__} has no level at log SNR {asked[0].item():.4g}, its range "
                f"is {self._range()}: start the grid later (log_snr_min) or end it sooner"
            )
        return level

    def at(self, t: float) -> NoiseLevel:
        """The level at one time, as floats."""
        return self.levels([t])[0]

    def at_log_snr(self, log_snr: float) -> NoiseLevel:
        """The level at one log-SNR, as floats."""
        return self.at(float(self.time(torch.tensor(log_snr, dtype=torch.float64))))
