"""Restart sampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.kernels import Purpose
from scoresde.processes import NoiseLevel
from scoresde.samplers.base import GridSampler
from scoresde.samplers.exponential import MEMBERS as EXPONENTIAL
from scoresde.samplers.levels import at_noise_ratio
from scoresde.samplers.multistep import MEMBERS as MULTISTEP
from scoresde.samplers.plan import Move
from scoresde.samplers.runge_kutta import MEMBERS as RUNGE_KUTTA

FLOWS = {**RUNGE_KUTTA, **EXPONENTIAL, **MULTISTEP}
DEFAULT_LOW, DEFAULT_RATIO = 0.14, 0.30 / 0.14  # the paper's for CIFAR-10 and EDM
# of its 3 points Heun's error alone is 1.7 per cent of the variance of N(m, 1/16), of 5 it is 0.4
DEFAULT_POINTS, DEFAULT_REPEATS = 5, 2


@dataclass(frozen=True, kw_only=True)
class Restart(GridSampler):
    r"""At a level r_min: `repeats` times y <- y + noise sqrt(r_max^2 - r_min^2) z, and back down.

    y = x/alpha, r = sigma/alpha. `solver`, a deterministic one by name, follows the flow down the
    grid, and after each noising from r_max to r_min again; the fresh noise forgets the errors that
    the flow has gathered above. `intervals` are (points, repeats, r_min, r_max) as in the paper's
    tables: r_min is moved to the grid's nearest level with noise after the first, and the way back
    has `points` levels r^(1/rho) apart, both ends included, so points - 1 steps. Without intervals
    it is (5, 2, r, 2.14 r) at the grid's r nearest 0.14, from no higher than the first level.

    Stochastic, no order: main and inner grids each keep an error of their own, and the law is
    exact as both grow fine. An interval adds repeats (points - 1) steps of the solver's. For
    targets that ask for more evaluations than the flow alone can use (50 and more).
    (Xu, Deng, Cheng, Tian, Liu & Jaakkola 2023, Restart sampling for improving generative
    processes, algorithm 1 and tables 3-5, where the solver is Heun's and rho = 7.)
    """

    intervals: tuple[tuple[int, int, float, float], ...] = ()
    solver: str = "heun"
    rho: float = 7.0
    noise: float = 1.0

    stochastic = True
    evaluations = None  # the solver's a step, and those of the restarts

    def __post_init__(self) -> None:
        if not isinstance(self.intervals, list | tuple):
            raise OptionError(f"intervals of restart are a list, got {self.intervals!r}")
        object.__setattr__(self, "intervals", tuple(_interval(i) for i in self.intervals))
        if self.solver not in FLOWS:
            raise OptionError(unknown("solver of restart", self.solver, list(FLOWS)))
        if self.flow.stochastic:
            raise OptionError(f"the solver of restart is deterministic, {self.solver} is not")
        if not 0.0 < self.rho < math.inf:
            raise OptionError(f"rho of restart is positive and finite, got {self.rho}")
        if not 0.0 < self.noise < math.inf:
            raise OptionError(f"noise of restart is positive and finite, got {self.noise}")

    @cached_property
    def flow(self) -> GridSampler:
        """The solver between restarts."""
        return FLOWS[self.solver]()

    def moves(self, levels):
        moves, restarts = [], self._by_level(levels)
        for move in super().moves(levels):
            moves.append(move)
            for points, repeats, high in restarts.get(move.step + 1, ()):
                down = self._way_down(high, move.target, points)
                for _ in range(repeats):
                    moves.append(Move(move.target, down[0], move.step, "noise"))
                    moves += [Move(t, s, move.step) for t, s in pairwise(down)]
        return moves

    def _by_level(self, levels: Sequence[NoiseLevel]) -> dict[int, list[tuple[int, int, float]]]:
        """Index of a level: what restarts there, as (points, repeats, r_max)."""
        ratios = [level.noise_ratio for level in levels]
        open_to = [i for i in range(1, len(levels)) if levels[i].sigma > 0.0]
        if not open_to:
            raise OptionError(
                "restart needs a level with noise after the first, this grid of one step has none"
            )

        def nearest(low: float) -> int:
            return min(open_to, key=lambda i: abs(ratios[i] - low))

        intervals = self.intervals
        if not intervals:
            low = ratios[nearest(DEFAULT_LOW)]
            high = min(DEFAULT_RATIO * low, ratios[0])
            intervals = ((DEFAULT_POINTS, DEFAULT_REPEATS, low, high),)
        found: dict[int, list[tuple[int, int, float]]] = {}
        for points, repeats, low, high in intervals:
            index = nearest(low)
            if not high > ratios[index]:
                raise OptionError(
                    f"the restart from sigma/alpha = {low:g} to {high:g} falls on this grid's "
                    f"level {ratios[index]:.6g}, not below its upper end; give an interval within "
                    "the grid, or a finer grid"
                )
            found.setdefault(index, []).append((points, repeats, high))
        return found

    def _way_down(self, high: float, end: NoiseLevel, points: int) -> list[NoiseLevel]:
        """`points` levels from sigma/alpha = `high` to `end`, r^(1/rho) falling by equal parts."""
        first, last = high ** (1.0 / self.rho), end.noise_ratio ** (1.0 / self.rho)
        roots = [first + k / (points - 1) * (last - first) for k in range(points - 1)]
        return [*(at_noise_ratio(end, root**self.rho) for root in roots), end]

    def step(self, tape, x, t, s, memory):
        if s.noise_ratio <= t.noise_ratio:
            return self.flow.step(tape, x, t, s, memory)
        spread = math.sqrt((s.noise_ratio - t.noise_ratio) * (s.noise_ratio + t.noise_ratio))
        z = tape.normal(Purpose.RESTART)
        return (s.alpha / t.alpha) * x + (s.alpha * self.noise * spread) * z, None


def _interval(given: Sequence[float]) -> tuple[int, int, float, float]:
    """An interval that can be followed; raises `OptionError`."""
    values = tuple(given) if isinstance(given, list | tuple) else ()
    kinds = (int, int, int | float, int | float)
    if len(values) != 4 or any(
        isinstance(v, bool) or not isinstance(v, kind)
        for v, kind in zip(values, kinds, strict=True)
    ):
        raise OptionError(
            f"an interval of restart is (points, repeats, r_min, r_max), got {given!r}"
        )
    points, repeats, low, high = values
    if not 2 <= points <= 10_000 or not 1 <= repeats <= 2000:
        raise OptionError(
            f"an interval of restart has 2..10000 points and 1..2000 repeats, got {given!r}"
        )
    if not 0.0 < low < high < math.inf:
        raise OptionError(f"an interval of restart has 0 < r_min < r_max, got {given!r}")
    return points, repeats, float(low), float(high)
