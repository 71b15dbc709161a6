"""DPM-Solver with steps of each sample's own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.samplers.adaptive.march import (
    GROWTH,
    Attempt,
    Controller,
    Stepper,
    column,
    march,
    rms,
)
from scoresde.samplers.adaptive.noisy_end import finished, noisy
from scoresde.samplers.adaptive.row_levels import ask_rows, rows_at_half_log_snr
from scoresde.samplers.base import Sampler, check_levels
from scoresde.score import ScoreModel

PAIRS = (12, 23)


@dataclass(frozen=True, kw_only=True)
class DPMAdaptive(Sampler):
    r"""h <- safety h E^(-1/k),  E = rms[(low - high)/max(atol, rtol max(|low|, |low before|))].

    DPM-Solver-12 or -23 (`pair`, k = 2 or 3) in lambda = log(alpha/sigma): a step of either order
    from the same predictions, accepted as `high` where E <= 1. Every sample has its own steps and
    leaves the batch when it arrives. States are normalised, u = x/sqrt(alpha^2 + sigma^2), and so
    are the tolerances: for VP processes that is the published algorithm, for others it makes one
    sampler of all. k evaluations an attempt; the grid's ends alone count, and with `trajectory` a
    step ends on each of its levels. A grid that ends at sigma = 0 is followed to its last level
    with noise, and the posterior mean ends it. Cannot start at alpha = 0. The default tolerances
    are the paper's, for pictures. `integral`, `proportional` and `derivative` are gains of the
    controller; the default is the paper's formula, others as in k-diffusion's PID. No step is
    more than 5 times the one before. Facts: `error_estimate`, the sum of rms(low - high) at the
    last level, and `rejected` steps.
    (Lu et al. 2022, DPM-Solver, algorithms 1 and 2, appendix C.)
    """

    pair: int = 23
    rtol: float = 0.05
    atol: float = 0.0078
    first_step: float = 0.05
    safety: float = 0.9
    integral: float = 1.0
    proportional: float = 0.0
    derivative: float = 0.0

    evaluations = None
    facts: ClassVar[dict[str, str]] = {"error_estimate": "float64", "rejected": "int64"}

    def __post_init__(self) -> None:
        if self.pair not in PAIRS:
            raise OptionError(f"pair of dpm-adaptive is 12 or 23, got {self.pair!r}")
        for name in ("rtol", "atol", "safety"):
            value = getattr(self, name)
            if not 0.0 < value < 1.0:
                raise OptionError(f"{name} of dpm-adaptive lies in (0, 1), got {value}")
        if not 0.0 < self.first_step < math.inf:
            raise OptionError(f"first_step of dpm-adaptive is positive, got {self.first_step}")
        for name, least in (("integral", 0.0), ("proportional", 0.0), ("derivative", 0.0)):
            value = getattr(self, name)
            if not least <= value < math.inf or (name == "integral" and value == 0.0):
                raise OptionError(f"{name} gain of dpm-adaptive is positive, got {value}")

    def run(self, model, levels, x, noise, ids, trajectory=False):
        check_levels(levels)
        if levels[0].alpha == 0.0:
            raise OptionError(
                "dpm-adaptive works in log SNR and cannot start at alpha = 0; set log_snr_min on "
                "the grid"
            )
        followed = noisy(levels, "dpm-adaptive")
        if not trajectory:
            followed = [followed[0], followed[-1]]
        points = [0.5 * level.log_snr for level in followed]
        controller = Controller(
            order=self.pair % 10,
            integral=self.integral,
            proportional=self.proportional,
            derivative=self.derivative,
            safety=self.safety,
            largest=GROWTH,
        )
        stepper = DPMSolverStepper(model, self)
        done = march(stepper, controller, x / levels[0].scale, points, ids)
        scales = done.states.new_tensor([level.scale for level in followed])
        states = done.states * scales.reshape(-1, *[1] * (x.ndim - 1))
        facts = {"error_estimate": done.error * followed[-1].scale, "rejected": done.rejected}
        return finished(model, levels, followed[-1], states, done.nfe, ids, trajectory, facts)


class DPMSolverStepper(Stepper):
    """Two orders of DPM-Solver from the same predictions; the memory is `low` of the step before.

    DPM-Solver-2 of r: (alpha_t/alpha) u - sigma_t expm1(h) [eps + (eps_r - eps)/(2 r)]; the first
    order leaves the bracket at eps, the third adds a second stage.
    """

    def __init__(self, model: ScoreModel, options: DPMAdaptive):
        super().__init__(model)
        self.evaluations = options.pair % 10
        self.third = options.pair == 23
        self.rtol, self.atol, self.first_step = options.rtol, options.atol, options.first_step

    def begin(self, x):
        steps = torch.full((len(x),), self.first_step, dtype=torch.float64, device=x.device)
        return (x,), steps, 0

    def attempt(self, x, memory, place, target):
        h = target - place
        alpha, _ = _scales(place)
        eps = self._ask(x, place)

        def moved(part: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            """(place, sigma expm1, sigma (expm1(h)/h - 1), carried state) a part of h ahead."""
            ahead = target if part == 1.0 else place + part * h
            a, s = _scales(ahead)
            grown = s * torch.expm1(part * h)
            return (
                ahead,
                column(grown, x),
                column(s * _bend(part * h), x),
                column(a / alpha, x) * x,
            )

        r = 1 / 3 if self.third else 1 / 2
        there, grown, _, carried = moved(r)
        change = self._ask(carried - grown * eps, there) - eps
        _, grown_t, bend_t, carried_t = moved(1.0)
        first = carried_t - grown_t * eps
        second = first - grown_t / (2.0 * r) * change
        if not self.third:
            low, high = first, second
        else:
            there, grown, bend, carried = moved(2 / 3)
            inner = carried - grown * eps - 2.0 * bend * change
            low, high = second, first - 1.5 * bend_t * (self._ask(inner, there) - eps)
        within = (self.rtol * torch.maximum(low.abs(), memory[0].abs())).clamp(min=self.atol)
        return Attempt(high, (low,), rms((low - high) / within), rms(low - high))

    def _ask(self, u: Tensor, half_log_snr: Tensor) -> Tensor:
        return ask_rows(self.model, u, rows_at_half_log_snr(half_log_snr, u), "eps")


def _scales(half_log_snr: Tensor) -> tuple[Tensor, Tensor]:
    return (2.0 * half_log_snr).sigmoid().sqrt(), (-2.0 * half_log_snr).sigmoid().sqrt()


def _bend(h: Tensor) -> Tensor:
    """expm1(h)/h - 1, by its series where the difference would cancel."""
    series = h / 2 * (1 + h / 3 * (1 + h / 4 * (1 + h / 5 * (1 + h / 6))))
    return torch.where(h < 1e-2, series, torch.expm1(h) / h - 1.0)
