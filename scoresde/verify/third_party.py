"""Other people's solvers before the same court: an adapter of two methods."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.errors import DataError, OptionError
from scoresde.kernels import Purpose
from scoresde.processes import NoiseLevel
from scoresde.result import Result
from scoresde.samplers import Sampler
from scoresde.samplers.base import NoiseSource, check_levels
from scoresde.score import ScoreModel


class ThirdParty(Sampler):
    r"""A foreign solver, in the variables that most are written in: y = x/alpha, sigma/alpha.

    `prepare(sigmas)` turns a falling list of noise ratios into whatever the solver wants (a tensor
    of sigmas, a scheduler that has been set up), once a run. `solve(prepared, denoise, y,
    normals)` carries y (batch, *event) from the first to the last of them.

    denoise(y, sigma) = E[x0 | x0 + sigma eps = y] takes sigma as a float, a tensor of one number,
    or one a row (batch,); evaluations are counted there. normals() gives the next standard normals
    (batch, *event) of the court's noise: a solver that draws its own is found out by the law of
    batches. Declare `order`, `order_cold`, `weak_order`, `stochastic` and `evaluations` as for any
    sampler, and `rounding` where the solver works in less than float64: errors below it are not
    asked for an order. Since it works in y, it cannot start at alpha = 0.
    """

    rounding: float = 1e-12

    @abstractmethod
    def prepare(self, sigmas: list[float]):
        """What `solve` needs of a grid: noise ratios, falling; the last may be 0."""

    @abstractmethod
    def solve(
        self,
        prepared,
        denoise: Callable[[Tensor, float | Tensor], Tensor],
        y: Tensor,
        normals: Callable[[], Tensor],
    ) -> Tensor:
        """The states at the last noise ratio, (batch, *event)."""

    def run(
        self,
        model: ScoreModel,
        levels: Sequence[NoiseLevel],
        x: Tensor,
        noise: NoiseSource,
        ids: Tensor,
        trajectory: bool = False,
    ) -> Result:
        check_levels(levels)
        if levels[0].alpha == 0.0:
            raise OptionError(
                f"{type(self).__name__} works in x/alpha and cannot start at alpha = 0; set "
                "log_snr_min on the grid"
            )
        if trajectory:
            raise OptionError(f"{type(self).__name__} hands back its last state alone")
        denoise, normals = Denoiser(model), Normals(noise, ids, x)
        prepared = self.prepare([level.noise_ratio for level in levels])
        y = self.solve(prepared, denoise, x / levels[0].alpha, normals)
        if not isinstance(y, Tensor) or y.shape != x.shape:
            shape = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
            raise DataError(f"{type(self).__name__} gave {shape} for states {tuple(x.shape)}")
        nfe = torch.full((len(x),), denoise.rows // len(x), dtype=torch.int64)
        return Result(y.to(x.dtype) * levels[-1].alpha, nfe)


@dataclass
class Denoiser:
    """denoise(y, sigma), counting the rows that it is asked for."""

    model: ScoreModel
    rows: int = 0

    def __call__(self, y: Tensor, sigma: float | Tensor) -> Tensor:
        self.rows += len(y)
        if isinstance(sigma, Tensor) and sigma.numel() > 1:
            spread = sigma.to(y.dtype).reshape(-1, *[1] * (y.ndim - 1))
            nan = torch.full_like(spread, torch.nan)
            level = NoiseLevel(t=nan, alpha=torch.ones_like(spread), sigma=spread)
        else:
            level = NoiseLevel(t=torch.nan, alpha=1.0, sigma=float(sigma))
        return self.model.predict(y, level, "x0")


@dataclass
class Normals:
    """normals(): draw k of a run has the key (k, STEP), whoever asks."""

    noise: NoiseSource
    ids: Tensor
    like: Tensor
    drawn: int = 0

    def __call__(self) -> Tensor:
        self.drawn += 1
        z = self.noise(self.drawn - 1, Purpose.STEP, self.ids, tuple(self.like.shape[1:]))
        return z.to(self.like.dtype)
