"""The discrete DDPM chain, from any table of betas."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.processes.base import Process


def linear_betas(steps: int) -> Tensor:
    """beta from 1e-4 to 0.02 at 1000 steps, both scaled by 1000/steps. (Ho et al. 2020.)"""
    scale = 1000.0 / steps
    return torch.linspace(1e-4 * scale, 0.02 * scale, steps, dtype=torch.float64)


def scaled_linear_betas(steps: int) -> Tensor:
    """beta = linspace(sqrt 0.00085, sqrt 0.012)^2. (Rombach et al. 2022, latent diffusion.)"""
    root = torch.linspace(math.sqrt(0.00085), math.sqrt(0.012), steps, dtype=torch.float64)
    return root.square() * (1000.0 / steps)


def cosine_betas(steps: int) -> Tensor:
    """beta_i = min(1 - abar(i/T)/abar((i-1)/T), 0.999). (Nichol & Dhariwal 2021, eq. 17.)"""
    t = torch.arange(steps + 1, dtype=torch.float64) / steps
    alpha_bar = torch.cos(0.5 * math.pi * (t + 0.008) / 1.008).square()
    return (1.0 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=0.999)


BETA_TABLES = {
    "linear": linear_betas,
    "cosine": cosine_betas,
    "scaled-linear": scaled_linear_betas,
}


@dataclass(frozen=True, kw_only=True)
class DiscreteDDPM(Process):
    r"""alpha_i = sqrt(prod_{j<=i} (1 - beta_j)), sigma_i = sqrt(1 - alpha_i^2), t = i/T.

    The chain lives on t = i/T, i = 0..T (i = 0 is the data). Between those instants log alpha is
    linear in t, so every t in [0, 1] has a level and solvers may leave the chain's own grid.
    (Ho et al. 2020, eq. 2-4.) Rates are one-sided at the knots.
    """

    betas: str | tuple[float, ...] = "linear"
    steps: int = 1000  # T; a given table of betas sets it by its length
    t_min: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        if isinstance(self.betas, str):
            if self.betas not in BETA_TABLES:
                raise OptionError(unknown("beta table", self.betas, list(BETA_TABLES)))
            if not 20 < self.steps <= 100_000:
                raise OptionError(f"steps of a DDPM chain lie in 21..100000, got {self.steps}")
        else:
            object.__setattr__(self, "betas", tuple(float(b) for b in self.betas))
            object.__setattr__(self, "steps", len(self.betas))
            for i, beta in enumerate(self.betas):
                if not 0.0 < beta < 1.0:
                    raise OptionError(f"beta {i + 1} lies strictly between 0 and 1, got {beta}")
            if not self.betas:
                raise OptionError("betas is an empty table; give at least one beta")
        object.__setattr__(self, "t_min", 1.0 / self.steps)

    @cached_property
    def table(self) -> Tensor:
        """beta_1..beta_T, float64."""
        if isinstance(self.betas, str):
            return BETA_TABLES[self.betas](self.steps)
        return torch.tensor(self.betas, dtype=torch.float64)

    @cached_property
    def _log_alpha_knots(self) -> Tensor:
        sums = 0.5 * torch.log1p(-self.table).cumsum(0)
        return torch.cat([torch.zeros(1, dtype=torch.float64), sums])

    def _position(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Index i of the beta that acts on ((i - 1)/T, i/T] and the place within it in (0, 1]."""
        place = t * self.steps
        nearest = place.round()
        place = torch.where((place - nearest).abs() < 1e-9, nearest, place)  # (i/T) T is not i
        i = place.ceil().clamp(1, self.steps).to(torch.int64)
        return i, place - (i - 1)

    def log_alpha(self, t: Tensor) -> Tensor:
        i, place = self._position(t)
        knots = self._log_alpha_knots.to(t.device)
        return torch.lerp(knots[i - 1], knots[i], place)

    def alpha(self, t: Tensor) -> Tensor:
        return self.log_alpha(t).exp()

    def sigma(self, t: Tensor) -> Tensor:
        return (-torch.expm1(2.0 * self.log_alpha(t))).sqrt()

    def _log_alpha_rate(self, t: Tensor) -> Tensor:
        i, _ = self._position(t)
        return 0.5 * self.steps * torch.log1p(-self.table.to(t.device)[i - 1])

    def alpha_rate(self, t: Tensor) -> Tensor:
        return self._log_alpha_rate(t) * self.alpha(t)

    def sigma_rate(self, t: Tensor) -> Tensor:
        return -self._log_alpha_rate(t) * self.alpha(t).square() / self.sigma(t)

    def time(self, log_snr: Tensor) -> Tensor:
        log_alpha = 0.5 * logsigmoid(log_snr)
        knots = self._log_alpha_knots.to(log_alpha.device)
        i = torch.searchsorted(-knots, -log_alpha.contiguous()).clamp(1, self.steps)
        left, right = knots[i - 1], knots[i]
        return ((i - 1) + (log_alpha - left) / (right - left)) / self.steps
