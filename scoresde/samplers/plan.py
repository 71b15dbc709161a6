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

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from scoresde.errors import OptionError
from scoresde.kernels import Key, Purpose
from scoresde.processes import NoiseLevel

STATE = 0  # the register that holds the start
_LARGEST = 3.4e38  # a coefficient that float32 still holds
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
    """registers[target] = model.predict(registers[state], level, kind).

    With `variance`, a register, the model's own variance of the step from `level` down to `to`
    comes from the same pass: its capability `predict_with_variance`.
    """

    target: int
    state: int
    level: NoiseLevel
    kind: str
    variance: int | None = None
    to: NoiseLevel | None = None

    @property
    def reads(self) -> tuple[int, ...]:
        return (self.state,)

    @property
    def writes(self) -> tuple[int, ...]:
        return (self.target,) if self.variance is None else (self.target, self.variance)


@dataclass(frozen=True, slots=True)
class Draw:
    """registers[target] = noise(step, purpose), a standard normal.

    `interval`, two log SNRs, says between which levels this noise acts. A noise source that knows
    Brownian paths gives the path's normalised increment there; any other ignores it.
    """

    target: int
    step: int
    purpose: int
    interval: tuple[float, float] | None = None

    reads = ()

    @property
    def writes(self) -> tuple[int, ...]:
        return (self.target,)


@dataclass(frozen=True, slots=True)
class Combine:
    """registers[target] = sum_i coefficients[i] registers[sources[i]]."""

    target: int
    coefficients: tuple[float, ...]
    sources: tuple[int, ...]

    @property
    def reads(self) -> tuple[int, ...]:
        return self.sources

    @property
    def writes(self) -> tuple[int, ...]:
        return (self.target,)


@dataclass(frozen=True, slots=True)
class Apply:
    """registers[target] = function(*registers[sources]), row by row: what is not linear.

    The function gets tensors (batch, *event), or what an earlier one gave, and returns one of the
    same shape, or of one number a row, (batch, 1, ..., 1). It asks nothing of the host.
    """

    target: int
    function: Callable[..., Tensor]
    sources: tuple[int, ...]

    @property
    def reads(self) -> tuple[int, ...]:
        return self.sources

    @property
    def writes(self) -> tuple[int, ...]:
        return (self.target,)


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


@dataclass(frozen=True, eq=False)
class Plan:
    """All moves of a run, in order; a plan is equal to itself alone, so it is quickly found."""

    programs: tuple[Program, ...]
    registers: int

    @property
    def nfe(self) -> int:
        return sum(isinstance(i, Evaluate) for p in self.programs for i in p.instructions)

    @property
    def draws(self) -> int:
        return len(self.keys)

    @cached_property
    def keys(self) -> tuple[Key, ...]:
        """(step, purpose, interval) of every draw, in order."""
        every = (i for p in self.programs for i in p.instructions)
        return tuple((i.step, i.purpose, i.interval) for i in every if isinstance(i, Draw))


@dataclass
class Tape:
    """Records the instructions of a move while a sampler's step is written out."""

    step: int = 0
    remaining: int = 0  # intervals of the grid after this one
    registers: int = 1
    instructions: list = field(default_factory=list)
    _pending: dict[int, Draw] = field(default_factory=dict)
    _drawn: dict[int, int] = field(default_factory=dict)

    def _new(self) -> int:
        self.registers += 1
        return self.registers - 1

    def begin(self, step: int, remaining: int = 0) -> None:
        if step != self.step:
            self._drawn.clear()
        self.step, self.remaining, self.instructions = step, remaining, []

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
            if not abs(c) <= _LARGEST:
                raise OptionError(
                    f"step {self.step} of this solver has the coefficient {c:.4g}: it cannot "
                    "start or end where alpha or sigma is 0 (set log_snr_min or final='min' on "
                    "the grid), or an option of it is out of all proportion"
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

    def evaluate_with_variance(
        self, state: Term, level: NoiseLevel, to: NoiseLevel, kind: str
    ) -> tuple[Term, Term]:
        """The prediction, and the model's variance of the step down to `to`, from one pass."""
        source, target, variance = self.settle(state), self._new(), self._new()
        self.instructions.append(Evaluate(target, source, level, kind, variance, to))
        return Term({target: 1.0}), Term({variance: 1.0})

    def apply(self, function: Callable[..., Tensor], *terms: Term) -> Term:
        """A function of states, predictions and normals, row by row (see `Apply`)."""
        sources, target = tuple(self.settle(term) for term in terms), self._new()
        self.instructions.append(Apply(target, function, sources))
        return Term({target: 1.0})

    def normal(
        self,
        purpose: int = Purpose.STEP,
        *,
        between: tuple[NoiseLevel, NoiseLevel] | None = None,
    ) -> Term:
        """A fresh standard normal state; drawn only if a combination gives it weight.

        `between` (t, s) makes it the normalised increment of the sample's Brownian path from t
        down to s, (B(SNR_s) - B(SNR_t))/sqrt(SNR_s - SNR_t), where the noise source knows paths;
        increments over disjoint intervals are independent, so any other source gives the same
        law. Purposes count their draws apart, and draw k of step i has the key i + k 2^20.
        """
        interval = None if between is None else tuple(level.log_snr for level in between)
        count = self._drawn.get(purpose, 0)
        self._drawn[purpose] = count + 1
        register = self._new()
        key = self.step + (count << _STEP_BITS)
        if self.step >> _STEP_BITS or key >> 32:
            raise OptionError(
                f"draw {count} of step {self.step}: a plan has at most {1 << _STEP_BITS} steps of "
                f"{1 << 32 - _STEP_BITS} draws"
            )
        self._pending[register] = Draw(register, key, int(purpose), interval)
        return Term({register: 1.0})
