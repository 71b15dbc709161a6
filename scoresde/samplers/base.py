"""The interface of a sampler, and the one call that runs any of them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from operator import is_
from typing import ClassVar

import torch
from torch import Tensor

from scoresde.errors import DataError, OptionError, ScoresdeError
from scoresde.kernels import Noise, Purpose
from scoresde.processes import NoiseLevel
from scoresde.result import Result
from scoresde.samplers.execute import execute, finite
from scoresde.samplers.plan import STATE, Evaluate, Move, Plan, Program, Tape, Term
from scoresde.score import ScoreModel

NoiseSource = Callable[[int, int, Tensor, tuple[int, ...]], Tensor]


class Sampler(ABC):
    """Carries states from the first level of a grid to the last.

    Declared, and measured by `scoresde verify`; None where it has no meaning:
    `order` of the flow's error with an accurate start, `order_cold` with the sampler's own start,
    `weak_order` of the moments, `strong_order` of the paths (for those that draw Brownian
    increments), `stochastic`, `evaluations` a step. `order_grid` names the grid on which the
    orders hold, and `variants` are options ("eta=1, order=2") under which a member declares
    something else and is judged as well. `facts` are the numbers a sample that its results carry
    beside the states, name to dtype, as a dump keeps them.
    """

    order: int | None = None
    order_cold: int | None = None
    weak_order: int | None = None
    strong_order: float | None = None
    stochastic: bool = False
    evaluations: int | None = 1
    order_grid: str = "uniform-log-snr"
    variants: tuple[str, ...] = ()
    facts: ClassVar[dict[str, str]] = {}
    batched: bool = True  # False: rows are computed one after another

    @abstractmethod
    def run(
        self,
        model: ScoreModel,
        levels: Sequence[NoiseLevel],
        x: Tensor,
        noise: NoiseSource,
        ids: Tensor,
        trajectory: bool = False,
    ) -> Result:
        """Carry x (batch, *event) at levels[0] to levels[-1]."""


class GridSampler(Sampler):
    """A sampler that makes the same moves for every state: it has a plan.

    A member writes `step`; one that also moves upwards or in place overrides `moves`.
    """

    @abstractmethod
    def step(self, tape: Tape, x: Term, t: NoiseLevel, s: NoiseLevel, memory):
        """One move from level t to level s: (the state at s, the memory for the next move).

        `memory` is None at the first move and whatever the member returned at the one before.
        `tape.remaining` counts the intervals of the grid after this move's.
        """

    def moves(self, levels: Sequence[NoiseLevel]) -> list[Move]:
        pairs = pairwise(levels)
        return [Move(t, s, step) for step, (t, s) in enumerate(pairs)]

    def plan(self, levels: Sequence[NoiseLevel]) -> Plan:
        """Every move's program over a grid, coefficients in float64."""
        check_levels(levels)
        try:
            programs, registers = self._written_out(levels)
        except ScoresdeError:
            raise
        except (ArithmeticError, ValueError) as error:
            raise OptionError(
                f"{self} has no finite coefficients on this grid ({error.args[-1]}); take its "
                "options nearer to their defaults, or other levels"
            ) from error
        return Plan(_with_lifetimes(_without_the_unread(programs)), registers)

    def _written_out(self, levels: Sequence[NoiseLevel]) -> tuple[list, int]:
        """(every move with its instructions and the state after it, the registers needed)."""
        tape, x, memory, programs = Tape(), Term({STATE: 1.0}), None, []
        moves = self.moves(levels)
        for move in moves:
            tape.begin(move.step, moves[-1].step - move.step)
            x, memory = self.step(tape, x, move.source, move.target, memory)
            state = tape.settle(x)
            x = Term({state: 1.0})
            programs.append((move, tuple(tape.instructions), state))
        return programs, tape.registers

    def run(self, model, levels, x, noise, ids, trajectory=False) -> Result:
        return execute(planned(self, tuple(levels)), model, x, noise, ids, trajectory)


class _Grid:
    """Levels as a key: the very same levels, without a look at their numbers.

    A level's hash and comparison take 1 us, as much as a small operation of a step.
    """

    __slots__ = ("hash", "levels")

    def __init__(self, levels: tuple[NoiseLevel, ...]):
        self.levels, self.hash = levels, hash(tuple(map(id, levels)))

    def __hash__(self) -> int:
        return self.hash

    def __eq__(self, other) -> bool:
        same = len(self.levels) == len(other.levels)
        return same and all(map(is_, self.levels, other.levels))


def planned(sampler: GridSampler, levels: tuple[NoiseLevel, ...]) -> Plan:
    """The sampler's plan over a grid, remembered for the grids last asked for."""
    try:
        return _of_grid(sampler, _Grid(levels))
    except TypeError:  # a sampler or a level that has no hash
        return sampler.plan(levels)


@lru_cache(maxsize=32)
def _of_grid(sampler: GridSampler, grid: _Grid) -> Plan:
    return _of_levels(sampler, grid.levels)


@lru_cache(maxsize=32)
def _of_levels(sampler: GridSampler, levels: tuple[NoiseLevel, ...]) -> Plan:
    return sampler.plan(levels)


def check_levels(levels: Sequence[NoiseLevel]) -> None:
    """Raises `OptionError` unless noise falls at every step of a grid of two levels or more."""
    if not all(isinstance(level, NoiseLevel) for level in levels):
        raise DataError("levels are NoiseLevels; take those of a grid, grid.levels(process)")
    if len(levels) < 2:
        raise OptionError(f"a grid needs at least two levels, got {len(levels)}")
    for i, (t, s) in enumerate(pairwise(levels)):
        if not (math.isfinite(t.phi) and math.isfinite(s.phi) and t.phi > s.phi):
            raise OptionError(
                f"noise must fall along a grid: level {i} has sigma/alpha = {t.noise_ratio:.6g}, "
                f"level {i + 1} has {s.noise_ratio:.6g}"
            )


def _without_the_unread(programs) -> list:
    """The programs less combinations, functions and draws that nothing reads: a state that was
    kept for a later move, say, which then gives it no weight. Evaluations stay."""
    read = {state for _, _, state in programs}
    kept = []
    for move, instructions, state in reversed(programs):
        alive = []
        for instruction in reversed(instructions):
            if isinstance(instruction, Evaluate) or not read.isdisjoint(instruction.writes):
                read.update(instruction.reads)
                alive.append(instruction)
        kept.append((move, tuple(reversed(alive)), state))
    return kept[::-1]


def _with_lifetimes(programs) -> tuple[Program, ...]:
    """Each program with the registers that nothing later reads, so that memory stays bounded."""
    last: dict[int, int] = {}
    for index, (_, instructions, state) in enumerate(programs):
        for instruction in instructions:
            last.update(dict.fromkeys((*instruction.writes, *instruction.reads), index))
        last[state] = index + 1
    dying: dict[int, list[int]] = {}
    for register, index in last.items():
        dying.setdefault(index, []).append(register)
    return tuple(
        Program(move, instructions, state, tuple(dying.get(index, ())))
        for index, (move, instructions, state) in enumerate(programs)
    )


def start(level: NoiseLevel, noise: NoiseSource, ids: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The states at the first level, scale z with scale = sqrt(alpha^2 + sigma^2), float64."""
    return noise(0, Purpose.START, ids, shape) * level.scale


def sample(
    model: ScoreModel,
    sampler: Sampler,
    levels: Sequence[NoiseLevel],
    x: Tensor,
    noise: NoiseSource | None = None,
    *,
    ids: Tensor | None = None,
    trajectory: bool = False,
) -> Result:
    """Carry states x (batch, *event), at the law of levels[0], along the grid.

    Arithmetic is done in the dtype of x, coefficients in float64. Predictions are kept for later
    steps, so the model must not write over what it has given. `noise(step, purpose, ids,
    shape)` gives standard normals (default: `Noise(0)`; `BrownianNoise` gives one path a sample
    on every grid; a source may offer `many` and `increment` as these do) and `ids` (batch,) int64
    the identity of each row (default: 0, 1, ...). Raises `DataError` for x that does not fit the
    model, `OptionError` for a grid that the sampler cannot follow, `NonFiniteError` naming step,
    level and ids.
    """
    if not isinstance(x, Tensor) or x.ndim == 0 or len(x) == 0:
        raise DataError(f"x is a tensor of one state or more, got {type(x).__name__}")
    if tuple(x.shape[1:]) != tuple(model.event_shape):
        raise DataError(
            f"x has events of shape {tuple(x.shape[1:])}, the model has {tuple(model.event_shape)}"
        )
    if not x.is_floating_point():
        raise DataError(f"x has dtype {x.dtype}, needs a floating dtype")
    if not finite(x):
        raise DataError("x holds NaN or infinite values at the first level")
    if ids is None:
        ids = torch.arange(len(x), device=x.device)
    if not isinstance(ids, Tensor):
        raise DataError(f"ids are a tensor of int64, got {type(ids).__name__}")
    if ids.shape != (len(x),) or ids.dtype != torch.int64:
        raise DataError(f"ids are ({len(x)},) of int64, got {tuple(ids.shape)} of {ids.dtype}")
    if isinstance(sampler, type) or not hasattr(sampler, "run"):
        raise OptionError(f"sampler is one that is made, as DDIM(eta=0.5), got {sampler!r}")
    if not isinstance(levels, Iterable):
        raise DataError(f"levels are grid.levels(process), got {type(levels).__name__}")
    noise = Noise(0) if noise is None else noise
    if not (callable(noise) or hasattr(noise, "many")):
        raise DataError(f"noise is a function (step, purpose, ids, shape), got {noise!r}")
    with torch.no_grad():
        result = sampler.run(model, tuple(levels), x, noise, ids, trajectory)
    if result.x.shape != x.shape:
        raise DataError(
            f"{type(model).__name__} gives predictions of another shape: states {tuple(x.shape)} "
            f"became {tuple(result.x.shape)}; let it give the shape of its states"
        )
    return result
