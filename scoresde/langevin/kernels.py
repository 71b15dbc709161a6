r"""Langevin kernels: (target, state) -> (state, info), for all chains at once.

Our delta is the time step of dx = s(x) dt + sqrt(2) dw; papers on NCSN write delta/2 for it.
Chain `id`, step k and purpose key the noise, so a chain is the same whatever runs beside it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.kernels import Noise, Purpose, lincomb
from scoresde.processes import CLEAN, NoiseLevel
from scoresde.score import ScoreModel, ask


@dataclass(frozen=True)
class Target:
    """What the chains sample: a model's law at one level; their noise and identities."""

    model: ScoreModel
    noise: Noise
    ids: Tensor  # (chains,) int64
    level: NoiseLevel = CLEAN


@dataclass(frozen=True)
class State:
    """Where the chains are: x (chains, *event), the score there, log p (chains,) where needed."""

    x: Tensor
    step: int
    score: Tensor
    value: Tensor | None = None


@dataclass(frozen=True)
class Info:
    """What one step did: the acceptance probability of each chain, and evaluations spent."""

    acceptance: Tensor  # (chains,)
    nfe: int


def _check_step_size(step_size: float, name: str) -> None:
    if not 0.0 < step_size < math.inf:
        raise OptionError(f"step_size of {name} is positive and finite, got {step_size}")


def _rows(numbers: Tensor, like: Tensor) -> Tensor:
    return numbers.reshape(-1, *[1] * (like.ndim - 1))


class LangevinKernel(ABC):
    """A Markov kernel that leaves the target's law (or one near it) in place.

    `step_size` is delta. `couples_chains` is true where a chain depends on its neighbours, and
    then the ensemble, not the chain, is the sample.
    """

    step_size: float
    couples_chains: bool = False

    @abstractmethod
    def start(self, target: Target, x: Tensor) -> State:
        """The state at x (chains, *event), evaluated."""

    @abstractmethod
    def __call__(self, target: Target, state: State) -> tuple[State, Info]:
        """One step of every chain."""


@dataclass(frozen=True, kw_only=True)
class ULA(LangevinKernel):
    r"""x <- x + delta s(x) + sqrt(2 delta) z, the unadjusted Langevin algorithm.

    Biased by the step: on N(0, v) its stationary variance is v/(1 - delta/(2v)), delta < 2v.
    One evaluation a step. (Roberts & Tweedie 1996.)
    """

    step_size: float

    def __post_init__(self) -> None:
        _check_step_size(self.step_size, "ula")

    def start(self, target: Target, x: Tensor) -> State:
        return State(x, 0, target.model.predict(x, target.level, "score"))

    def __call__(self, target: Target, state: State) -> tuple[State, Info]:
        delta, x = self.step_size, state.x
        z = target.noise(state.step, Purpose.PROPOSAL, target.ids, tuple(x.shape[1:]))
        x = lincomb((1.0, delta, math.sqrt(2.0 * delta)), (x, state.score, z.to(x.dtype)))
        score = target.model.predict(x, target.level, "score")
        return State(x, state.step + 1, score), Info(x.new_ones(len(x)), 1)


@dataclass(frozen=True, kw_only=True)
class MALA(LangevinKernel):
    r"""ULA's move as a proposal y, accepted with probability min(1, a), which removes its bias:

    log a = log p(y) - log p(x) + (|y - x - delta s(x)|^2 - |x - y - delta s(y)|^2)/(4 delta).

    Needs the model's log-density. A proposal where it is not finite is rejected. One evaluation of
    value and score a step. (Roberts & Tweedie 1996; Besag 1994.)
    """

    step_size: float

    def __post_init__(self) -> None:
        _check_step_size(self.step_size, "mala")

    def start(self, target: Target, x: Tensor) -> State:
        value, score = ask(target.model, "value_and_score", "mala")(x, target.level)
        return State(x, 0, score, value)

    def __call__(self, target: Target, state: State) -> tuple[State, Info]:
        delta, x = self.step_size, state.x
        event = tuple(x.shape[1:])
        z = target.noise(state.step, Purpose.PROPOSAL, target.ids, event).to(x.dtype)
        y = lincomb((1.0, delta, math.sqrt(2.0 * delta)), (x, state.score, z))
        value, score = target.model.value_and_score(y, target.level)
        back = lincomb((1.0, -1.0, -delta), (x, y, score))
        # the forward residual y - x - delta s(x) is sqrt(2 delta) z
        forward = 0.5 * z.square().flatten(1).sum(1)
        log_a = value - state.value + forward - back.square().flatten(1).sum(1) / (4.0 * delta)
        sound = torch.isfinite(value) & torch.isfinite(score).flatten(1).all(1)
        log_a = torch.where(sound, log_a, -math.inf)
        # the Metropolis uniform is the normal's distribution function, so any noise source will do
        normal = target.noise(state.step, Purpose.ACCEPT, target.ids, (1,))[:, 0]
        accept = torch.special.log_ndtr(normal) < log_a
        wide = _rows(accept, x)
        moved = State(
            torch.where(wide, y, x),
            state.step + 1,
            torch.where(wide, score, state.score),
            torch.where(accept, value, state.value),
        )
        return moved, Info(log_a.clamp(max=0.0).exp(), 1)
