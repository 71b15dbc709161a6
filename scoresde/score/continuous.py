r"""Functions of a continuous noise level: denoisers, preconditioned networks, velocity fields."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.processes import NoiseLevel, Process, RectifiedFlow
from scoresde.score.foreign import Foreign

WIDEST = math.exp(12.0)  # |log SNR| = 24: beyond it alpha or sigma is 1 to float32's rounding


class _OfSigma(Foreign):
    """A function of y = z/alpha = x + sigma eps, asked for sigma in [sigma_min, sigma_max]."""

    def __init__(
        self,
        function: Callable[..., Tensor],
        event_shape: tuple[int, ...],
        *,
        sigma_data: float = 1.0,
        sigma_min: float = 1.0 / WIDEST,
        sigma_max: float = WIDEST,
        **options,
    ):
        super().__init__(function, event_shape, **options)
        if not 0.0 < sigma_data < math.inf:
            raise OptionError(f"sigma_data is positive and finite, got {sigma_data}")
        if not 0.0 < sigma_min < sigma_max < math.inf:
            raise OptionError(
                "sigma_min and sigma_max need 0 < sigma_min < sigma_max < inf, "
                f"got {sigma_min} and {sigma_max}"
            )
        self.sigma_data, self.sigma_min, self.sigma_max = sigma_data, sigma_min, sigma_max

    def home(self, log_snr: Tensor) -> tuple[NoiseLevel, Tensor]:
        sigma = torch.exp(-0.5 * log_snr).clamp(self.sigma_min, self.sigma_max)
        return NoiseLevel(t=math.nan, alpha=torch.ones_like(sigma), sigma=sigma), sigma


class Denoiser(_OfSigma):
    r"""x0 = function(y, sigma), y = z/alpha = x + sigma eps, sigma (batch,) the noise of y.

    EDM's convention for a denoiser D(y; sigma) (Karras et al. 2022, eq. 2). Options: `sigma_data`,
    `sigma_min` and `sigma_max`, at whose ends it is asked for less noise or more, and those of
    `Foreign`.
    """

    kind = "x0"


class Preconditioned(_OfSigma):
    r"""F = function(c_in y, c_noise), with x0 = c_skip y + c_out F and y = z/alpha.

    c_skip = d^2/(s^2 + d^2), c_out = s d/sqrt(s^2 + d^2), c_in = 1/sqrt(s^2 + d^2), c_noise =
    log(s)/4, with s the noise of y and d = sigma_data. (Karras et al. 2022, table 1.) For a
    network without its preconditioning; one that has it inside is a `Denoiser`. Options as there;
    sigma_data is the one that the network was trained with, and must be told.
    """

    kind = "F"

    def __init__(
        self,
        function: Callable[..., Tensor],
        event_shape: tuple[int, ...],
        *,
        sigma_data: float,
        **options,
    ):
        super().__init__(function, event_shape, sigma_data=sigma_data, **options)

    def home(self, log_snr: Tensor) -> tuple[NoiseLevel, Tensor]:
        level, sigma = super().home(log_snr)
        return level, 0.25 * sigma.log()

    def _call(self, z: Tensor, noise: Tensor, home: NoiseLevel) -> Tensor:
        c_in = (home.sigma * home.sigma + self.sigma_data * self.sigma_data) ** -0.5
        return super()._call(z * c_in, noise, home)


class VelocityField(Foreign):
    r"""u = function(z, tau), the derivative of z = alpha x + sigma eps along its process.

    Two conventions must be told, since neither can be seen from outside:
        data_at: where the data lie on the function's clock: 0 (tau = t) or 1 (tau = 1 - t).
        towards: "noise" if u = alpha' x0 + sigma' eps (for rectified flow eps - x0), "data" if u
            is its negative. Default: the derivative by the function's own clock, towards the
            noise for data_at = 0 and towards the data for data_at = 1.
    (Liu et al. 2023; Lipman et al. 2023, with data_at = 1.) The process is that of its training,
    by default rectified flow, whose times 0 to 1 hold every log SNR; beyond the times of another
    its formulas are followed. Further options are those of `Foreign`.
    """

    kind = "velocity"

    def __init__(
        self,
        function: Callable[..., Tensor],
        event_shape: tuple[int, ...],
        process: Process | None = None,
        *,
        data_at: int,
        towards: str | None = None,
        **options,
    ):
        super().__init__(function, event_shape, **options)
        if data_at not in (0, 1):
            raise OptionError(f"data_at is 0 or 1, where the data lie in time; got {data_at!r}")
        if towards not in (None, "noise", "data"):
            raise OptionError(f"towards is 'noise' or 'data', got {towards!r}")
        self.process = RectifiedFlow() if process is None else process
        self.data_at = data_at
        self.towards = towards or ("noise", "data")[data_at]

    def home(self, log_snr: Tensor) -> tuple[NoiseLevel, Tensor]:
        level = self.process.beyond(log_snr, log_snr)
        return level, 1.0 - level.t if self.data_at == 1 else level.t

    def _is_home(self, level: NoiseLevel, home: NoiseLevel) -> bool:
        return level.process == self.process

    def _call(self, z: Tensor, noise: Tensor, home: NoiseLevel) -> Tensor:
        out = super()._call(z, noise, home)
        return -out if self.towards == "data" else out
