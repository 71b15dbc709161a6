r"""Gradient ascent on the log-likelihood per datum, in unconstrained coordinates."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from scoresde.data.dataset import Rows
from scoresde.densities import GaussianMixture
from scoresde.errors import OptionError
from scoresde.estimators.base import OnIteration
from scoresde.estimators.mixture.coordinates import Coordinates, Point
from scoresde.estimators.mixture.method import Climb, Method
from scoresde.estimators.mixture.statistics import gather, log_joint_of
from scoresde.kernels import Purpose, uniform

ENOUGH = 1e-4  # of the gain that the slope promises, for a step to be taken
HALVINGS = 40
LONGEST = 3.0  # no coordinate moves further in a step: a factor e^3 of a variance
PATIENCE = 10  # iterations without a gain after which Adam stops
FIRST, SECOND, TINY = 0.9, 0.999, 1e-8  # Adam's averages and guard
EPOCHS = 2**30  # steps of the noise keys from which the orders of epochs come

Evaluate = Callable[[Tensor], tuple[float, Tensor]]


@dataclass(frozen=True, kw_only=True)
class GradientAscent(Method):
    r"""grad log p(x) = sum_k P(k|x) grad log(w_k N(x; mu_k, Sigma_k)): one pass a gradient.

    `rule` "line-search": directions of limited-memory BFGS from the last `memory` steps (0: the
    gradient itself), each step halved until it gains, so the likelihood never falls (Nocedal &
    Wright 2006, algorithms 3.1 and 7.4). "adam": steps of size `rate` in units of the start's
    standard deviations (Kingma & Ba 2015), where it may fall; the best point met is kept, and the
    climb ends after 10 iterations without a gain of `tolerance`.

    `batch` > 0, for adam, takes the gradient of so many data at a time; an iteration is then one
    pass over the data in random order, its trace the mean over the batches, each before its step,
    and the last point is kept.
    """

    max_iterations: int = 500
    rule: Literal["line-search", "adam"] = "line-search"
    memory: int = 20
    rate: float = 0.02
    batch: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rule not in ("line-search", "adam"):
            raise OptionError(f"rule is 'line-search' or 'adam', got {self.rule!r}")
        for name in ("memory", "batch"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise OptionError(f"{name} is a whole number >= 0, got {value!r}")
        if not 0.0 < self.rate < math.inf:
            raise OptionError(f"rate is positive and finite, got {self.rate}")
        if self.batch and self.rule != "adam":
            raise OptionError(
                f"a line search needs the likelihood of all data; with batch = {self.batch} take "
                "rule = 'adam'"
            )

    def climb(
        self,
        x: Tensor | Rows,
        start: GaussianMixture,
        *,
        floor: float,
        seed: int = 0,
        on_iteration: OnIteration | None = None,
    ) -> Climb:
        coordinates = Coordinates.around(start, floor)
        origin = coordinates.origin

        def evaluate(flat: Tensor, rows=x) -> tuple[float, Tensor]:
            point = _unpacked(flat, origin)
            mixture = coordinates.mixture(point)
            found = gather(rows, log_joint_of(mixture), mixture.structure, mixture.means)
            slope = coordinates.gradient(mixture, point, found)
            return found.log_normaliser / found.rows, _packed(slope)

        told = on_iteration or (lambda iteration, value: None)
        if self.rule == "line-search":
            best, trace, converged = self._search(evaluate, _packed(origin), told)
        elif self.batch:
            best, trace, converged = self._batches(evaluate, _packed(origin), x, seed, told)
        else:
            best, trace, converged = self._adam(evaluate, _packed(origin), told)
        return Climb(
            mixture=coordinates.mixture(_unpacked(best, origin)),
            trace=tuple(trace),
            iterations=len(trace),
            converged=converged,
        )

    def _search(self, evaluate: Evaluate, at: Tensor, told: OnIteration):
        steps: deque[tuple[Tensor, Tensor]] = deque(maxlen=self.memory)
        value, slope = evaluate(at)
        trace: list[float] = []
        while len(trace) < self.max_iterations:
            found = _step(evaluate, at, value, slope, _direction(slope, steps))
            if found is None and steps:
                steps.clear()
                found = _step(evaluate, at, value, slope, slope)
            if found is None:  # nothing left to gain, by rounding
                return at, trace or [value], True
            to, gained, new = found
            moved, bent = to - at, slope - new
            if float(moved @ bent) > 1e-10 * float(moved.norm() * bent.norm()):
                steps.append((moved, bent))
            gain, at, value, slope = gained - value, to, gained, new
            trace.append(value)
            told(len(trace), value)
            if gain < self.tolerance:
                return at, trace, True
        return at, trace, False

    def _adam(self, evaluate: Evaluate, at: Tensor, told: OnIteration):
        """Kept is the best point met, and the trace tells the best value so far."""
        value, slope = evaluate(at)
        best, highest, since = at, value, 0
        adam, trace = _Adam(at, self.rate), []
        while len(trace) < self.max_iterations and since < PATIENCE:
            at = at + adam.step(slope)
            value, slope = evaluate(at)
            since = 0 if value - highest >= self.tolerance else since + 1
            if value > highest:
                best, highest = at, value
            trace.append(highest)
            told(len(trace), highest)
        return best, trace, since >= PATIENCE

    def _batches(self, evaluate, at: Tensor, x: Tensor | Rows, seed: int, told: OnIteration):
        adam, trace, ids = _Adam(at, self.rate), [], torch.arange(len(x))
        highest, since = -math.inf, 0
        while len(trace) < self.max_iterations and since < PATIENCE:
            order = uniform(seed, Purpose.FIT, EPOCHS + len(trace), ids, (1,))[:, 0].argsort()
            total = 0.0
            for some in order.split(self.batch):
                value, slope = evaluate(at, x[some.sort().values])
                total += value * len(some)
                at = at + adam.step(slope)
            trace.append(total / len(x))
            told(len(trace), trace[-1])
            since = 0 if trace[-1] - highest >= self.tolerance else since + 1
            highest = max(highest, trace[-1])
        return at, trace, since >= PATIENCE


def _step(evaluate: Evaluate, at: Tensor, value: float, slope: Tensor, direction: Tensor):
    """(point, value, gradient) of the first halving that gains enough, or None."""
    promised = float(slope @ direction)
    if not promised > 0.0:
        return None
    size = min(1.0, LONGEST / float(direction.abs().max()))
    for _ in range(HALVINGS):
        to = at + size * direction
        gained, new = evaluate(to)
        if gained > value and gained >= value + ENOUGH * size * promised:
            return to, gained, new
        size *= 0.5
    return None


def _direction(slope: Tensor, steps: deque) -> Tensor:
    """The inverse curvature of past steps times the gradient, by two loops."""
    out, shares = slope.clone(), []
    for moved, bent in reversed(steps):
        share = (moved @ out) / (moved @ bent)
        shares.append(share)
        out -= share * bent
    if steps:
        moved, bent = steps[-1]
        out *= (moved @ bent) / (bent @ bent)
    for (moved, bent), share in zip(steps, reversed(shares), strict=True):
        out += (share - (bent @ out) / (moved @ bent)) * moved
    return out


class _Adam:
    """Its two running averages."""

    def __init__(self, at: Tensor, rate: float):
        self.first, self.second = torch.zeros_like(at), torch.zeros_like(at)
        self.rate, self.count = rate, 0

    def step(self, slope: Tensor) -> Tensor:
        self.count += 1
        self.first = FIRST * self.first + (1.0 - FIRST) * slope
        self.second = SECOND * self.second + (1.0 - SECOND) * slope.square()
        mean = self.first / (1.0 - FIRST**self.count)
        square = self.second / (1.0 - SECOND**self.count)
        return self.rate * mean / (square.sqrt() + TINY)


def _packed(point: Point) -> Tensor:
    return torch.cat([value.reshape(-1) for value in point.values()])


def _unpacked(flat: Tensor, like: Point) -> Point:
    parts = flat.split([value.numel() for value in like.values()])
    return {name: part.view(like[name].shape) for name, part in zip(like, parts, strict=True)}
