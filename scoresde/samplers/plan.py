r"""A solver as data: moves between noise levels, each a short program.

Every grid solver is of one shape: evaluate the model, draw normals, and take linear combinations

    sum_i a_i x_i + sum_j b_j m_j + sum_k c_k z_k

of kept states, kept model outputs and fresh normals, with scalars that depend on the grid alone.
A sampler writes a step as its equation, on `Term`s; the `Tape` turns it into instructions over
numbered registers, with all coefficients computed in float64 before the first evaluation. One
loop (`scoresde.samplers.execute`) runs every plan on tensors, and `scoresde.verify` runs the same
plan on the moments of a Gaussian.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from scoresde.errors import OptionError
from scoresde.kernels import Purpose
from scoresde.processes import NoiseLevel

STATE = 0  # the register that holds the start
_STEP_BITS = 20  # a noise key's step word: the grid interval (up to 2^20), then the draw in it


class Term:
    """A linear combination of registers, {register: coefficient}."""

    __slots__ = ("parts",)

    def __init__(self, parts: dict[int, float]):
        self.parts = parts

    def __add__(self, other: Term) -> Term:
        parts = dict(self.parts)
        for register, c in other.parts.items():
            parts[register] = parts.get(register, 0.0) + c
        return Term(parts)

    def __mul__(self, factor: float) -> Term:
        factor = float(factor)
        return Term({r: c * factor for r, c in self.parts.items()} if factor != 0.0 else {})

    __rmul__ = __mul__

    def __truediv__(self, factor: float) -> Term:
        return self * (1.0 / factor)

    def __neg__(self) -> Term:
        return self * -1.0

    def __sub__(self, other: Term) -> Term:
        return self + -other


@dataclass(frozen=True, slots=True)
class Evaluate:
    """registers[target] = model.predict(registers[state], level, kind)."""

    target: int
    state: int
    level: NoiseLevel
    kind: str


@dataclass(frozen=True, slots=True)
class Draw:
    """registers[target] = noise(step, purpose)."""

    target: int
    step: int
    purpose: int


@dataclass(frozen=True, slots=True)
class Combine:
    """registers[target] = sum_i coefficients[i] registers[sources[i]]."""

    target: int
    coefficients: tuple[float, ...]
    sources: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """One move between levels: kind `denoise`, `noise` (upwards) or `correct` (in place)."""

    source: NoiseLevel
    target: NoiseLevel
    step: int  # the grid interval it belongs to
    kind: str = "denoise"


@dataclass(frozen=True, slots=True)
class Program:
    """The instructions of one move, the register of the state after it, and what to forget."""

    move: Move
    instructions: tuple
    state: int
    forget: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All moves of a run, in order."""

    programs: tuple[Program, ...]
    registers: int

    @property
    def nfe(self) -> int:
        return sum(isinstance(i, Evaluate) for p in self.programs for i in p.instructions)

    @property
    def draws(self) -> int:
        return sum(isinstance(i, Draw) for p in self.programs for i in p.instructions)


@dataclass
class Tape:
    """Records the instructions of a move while a sampler's step is written out."""

    step: int = 0
    registers: int = 1
    instructions: list = field(default_factory=list)
    _pending: dict[int, Draw] = field(default_factory=dict)
    _drawn: dict[int, int] = field(default_factory=dict)

    def _new(self) -> int:
        self.registers += 1
        return self.registers - 1

    def begin(self, step: int) -> None:
        if step != self.step:
            self._drawn.clear()
        self.step, self.instructions = step, []

    def keep(self, term: Term) -> Term:
        """The term as one register: computed now, and not again each time it is used."""
        return Term({self.settle(term): 1.0})

    def settle(self, term: Term) -> int:
        """The register that holds a term, by a `Combine` unless it is one already."""
        parts = {r: c for r, c in term.parts.items() if c != 0.0}
        if len(parts) == 1 and next(iter(parts.values())) == 1.0:
            (register,) = parts
            self._draw_now(register)
            return register
        for c in parts.values():
            if not math.isfinite(c):
                raise OptionError(
                    f"step {self.step} of this solver has the coefficient {c}: it cannot start or "
                    "end where alpha or sigma is 0; set log_snr_min or final='min' on the grid"
                )
        for register in parts:
            self._draw_now(register)
        target = self._new()
        self.instructions.append(Combine(target, tuple(parts.values()), tuple(parts)))
        return target

    def _draw_now(self, register: int) -> None:
        draw = self._pending.pop(register, None)
        if draw is not None:
            self.instructions.append(draw)

    def evaluate(self, state: Term, level: NoiseLevel, kind: str) -> Term:
        """The model's prediction of a kind for a state at a level: one evaluation."""
        source, target = self.settle(state), self._new()
        self.instructions.append(Evaluate(target, source, level, kind))
        return Term({target: 1.0})

    def normal(self, purpose: int = Purpose.STEP) -> Term:
        """A fresh standard normal state; drawn only if a combination gives it weight."""
        count = self._drawn.get(purpose, 0)
        self._drawn[purpose] = count + 1
        register = self._new()
        key = self.step + (count << _STEP_BITS)
        if self.step >> _STEP_BITS or key >> 32:
            raise OptionError(
                f"draw {count} of step {self.step}: a plan has at most {1 << _STEP_BITS} steps of "
                f"{1 << 32 - _STEP_BITS} draws"
            )
        self._pending[register] = Draw(register, key, int(purpose))
        return Term({register: 1.0})
