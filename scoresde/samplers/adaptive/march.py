"""The one loop of all samplers whose rows choose their own steps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.errors import NonFiniteError
from scoresde.score import ScoreModel

_VANISHED = 1e-12  # of the whole way
_LANDING = 1e-9  # a rest of less than this share of a step belongs to the step
GROWTH = 5.0
"""The usual limit to a step's growth. Without one an error that is nought to rounding asks for the
whole way at once, which is rejected, and differently so in float32: with it dpm-adaptive needs a
quarter fewer evaluations at tolerance 1e-4."""
_SHRUNK = 0.2  # the factor after a step whose error is not finite
_STEP_BITS = 5
_FLAWLESS = 1e-10  # errors below this share of the tolerance count as this one


@dataclass(frozen=True)
class Attempt:
    """A step tried by every row: what holds if it is accepted, and how wrong it may be.

    x       (rows, *event), the state at the target
    memory  tensors (rows, ...) for the next step
    ratio   (rows,), the estimated error over the tolerance; accepted where at most 1
    error   (rows,), the root mean square of the estimated error
    """

    x: Tensor
    memory: tuple[Tensor, ...]
    ratio: Tensor
    error: Tensor


class Stepper(ABC):
    """One method's step for rows that each stand at a place of their own."""

    evaluations: int  # of the model, by one attempt

    def __init__(self, model: ScoreModel):
        self.model = model

    @abstractmethod
    def begin(self, x: Tensor) -> tuple[tuple[Tensor, ...], Tensor, int]:
        """(the first memory, the first step sizes (rows,), the evaluations spent)."""

    @abstractmethod
    def attempt(self, x: Tensor, memory, place: Tensor, target: Tensor) -> Attempt:
        """A step from places (rows,) to targets (rows,), both float64."""

    def keep(self, index: Tensor) -> None:
        """Goes on with these of the present rows alone."""
        self.model = self.model.at_rows(index)


@dataclass(frozen=True, kw_only=True)
class Controller:
    r"""h <- h safety e_n^-a e_{n-1}^b e_{n-2}^-c, e = error/tolerance, between two factors.

    a = (p + i + d)/k, b = (p + 2 d)/k, c = d/k for proportional, integral and derivative gains
    and an error estimate of order k in h. A rejected step shrinks by safety e_n^-(i/k) alone.
    (Söderlind 2003, Digital filters in adaptive time-stepping; Hairer & Wanner 1996, IV.2, for
    the proportional and integral one.)
    """

    order: float
    integral: float = 1.0
    proportional: float = 0.0
    derivative: float = 0.0
    safety: float = 0.9
    smallest: float = 0.0
    largest: float = math.inf

    def factor(self, ratio: Tensor, past: Tensor, accepted: Tensor) -> Tensor:
        """The next step over this one, (rows,); past (rows, 2) are the accepted ratios before."""
        p, i, d, k = self.proportional, self.integral, self.derivative, self.order
        e, before = ratio.clamp(min=_FLAWLESS), past.clamp(min=_FLAWLESS)
        steady = e ** (-(p + i + d) / k) * before[:, 0] ** ((p + 2.0 * d) / k)
        steady = steady * before[:, 1] ** (-d / k)
        factor = self.safety * torch.where(accepted, steady, e ** (-i / k))
        factor = factor.clamp(self.smallest, self.largest)
        return torch.where(torch.isfinite(ratio), factor, _SHRUNK)


@dataclass(frozen=True)
class Marched:
    """states (batch, points, *event); evaluations, rejected (batch,) int64; error (batch,)."""

    states: Tensor
    nfe: Tensor
    rejected: Tensor
    error: Tensor

    @property
    def facts(self) -> dict[str, Tensor]:
        return {"error_estimate": self.error, "rejected": self.rejected}


def march(
    stepper: Stepper, controller: Controller, x: Tensor, points: Sequence[float], ids: Tensor
) -> Marched:
    """Every row from points[0] to points[-1] by steps of its own, ending one at each point.

    Rows that arrive leave the batch, so later evaluations are of fewer rows. Sizes of steps are
    rounded down to five bits: a batch of another size may round a sum otherwise, and through the
    error estimate that would reach every later step (by a factor of 10^11 over 100 steps of
    adaptive-sde). Raises `NonFiniteError` naming the ids whose step vanished.
    """
    grid = torch.tensor(points, dtype=torch.float64, device=x.device)
    way, n = points[-1] - points[0], len(x)
    onwards = math.copysign(1.0, way)
    states = x.new_empty(n, len(points), *x.shape[1:])
    states[:, 0] = x
    rejected, error = torch.zeros_like(ids), torch.zeros_like(grid[:1]).repeat(n)
    memory, step, spent = stepper.begin(x)
    step = _coarse(step)
    nfe = torch.full_like(ids, spent)
    rows, goal = torch.arange(n, device=x.device), torch.ones_like(ids)
    place, past = grid[:1].repeat(n), torch.ones(n, 2, dtype=torch.float64, device=x.device)
    while len(rows):
        end = grid[goal]
        lands = step >= (end - place).abs() * (1.0 - _LANDING)
        target = torch.where(lands, end, place + onwards * step)
        tried = stepper.attempt(x, memory, place, target)
        ratio = tried.ratio.to(torch.float64)
        good = ratio <= 1.0  # NaN is not
        proposed = _coarse((target - place).abs() * controller.factor(ratio, past, good))
        nfe[rows] += stepper.evaluations
        rejected[rows] += ~good
        error[rows] += torch.where(good, tried.error.to(torch.float64), 0.0)
        # a step cut short to land says nothing against the size that it was cut from
        step = torch.where(good & lands, torch.maximum(step, proposed), proposed)
        _check(~(step >= _VANISHED * abs(way)), ids[rows], place)  # NaN is lost too
        place = torch.where(good, target, place)
        past = torch.where(good[:, None], torch.stack([ratio, past[:, 0]], dim=1), past)
        pairs = zip((tried.x, *tried.memory), (x, *memory), strict=True)
        x, *memory = (torch.where(_like(good, old), new, old) for new, old in pairs)
        landed = good & lands
        if bool(landed.any()):
            states[rows[landed], goal[landed]] = x[landed]
            goal = goal + landed
            going = (goal < len(points)).nonzero()[:, 0]
            if len(going) < len(rows):
                rows, goal, place, step, past, x, *memory = (
                    a[going] for a in (rows, goal, place, step, past, x, *memory)
                )
                stepper.keep(going)
    return Marched(states, nfe, rejected, error)


def rms(x: Tensor) -> Tensor:
    """sqrt(mean_j x_j^2) of every row of x (rows, *event), (rows,)."""
    return x.reshape(len(x), -1).square().mean(dim=1).sqrt()


def column(values: Tensor, x: Tensor) -> Tensor:
    """Numbers (rows,) shaped and rounded to be combined with states x (rows, *event)."""
    return _like(values, x).to(x.dtype)


def _coarse(step: Tensor) -> Tensor:
    """Positive numbers rounded down to `_STEP_BITS` significant bits."""
    mantissa, exponent = torch.frexp(step)
    return torch.ldexp((mantissa * 2.0**_STEP_BITS).floor(), exponent - _STEP_BITS)


def _like(values: Tensor, x: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (x.ndim - 1))


def _check(lost: Tensor, ids: Tensor, place: Tensor) -> None:
    if bool(lost.any()):
        named = ids[lost].tolist()
        shown = ", ".join(map(str, named[:8])) + (", ..." if len(named) > 8 else "")
        raise NonFiniteError(
            f"the step vanished at {place[lost][0].item():.6g} for {len(named)} of {len(ids)} "
            f"samples still on their way (ids {shown}): the model's predictions there are not "
            "finite or not smooth, or the steps' own options let them shrink for ever; loosen "
            "rtol and atol, leave the sampler's other options at their defaults, end the grid at "
            "a positive sigma (final='min') or check the model"
        )
