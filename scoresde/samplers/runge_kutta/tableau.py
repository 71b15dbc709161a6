r"""Explicit Runge-Kutta methods as Butcher's tables, and one step by any of them."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.processes import NoiseLevel
from scoresde.samplers.plan import Tape, Term
from scoresde.samplers.runge_kutta.churn import Churned
from scoresde.samplers.runge_kutta.variables import VARIABLES


@dataclass(frozen=True)
class Tableau:
    """k_i = f(w + c_i h, y + h sum_{j<i} a_ij k_j);  y' = y + h sum_i b_i k_i."""

    nodes: tuple[float, ...]  # c, first 0
    rows: tuple[tuple[float, ...], ...]  # a, below the diagonal
    weights: tuple[float, ...]  # b


EULER = Tableau((0.0,), ((),), (1.0,))
CLASSICAL = Tableau(
    (0.0, 0.5, 0.5, 1.0),
    ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)),
    (1 / 6, 1 / 3, 1 / 3, 1 / 6),
)


def second_order(node: float) -> Tableau:
    """Two stages, the second at w + node h: 1/2 the midpoint rule, 2/3 Ralston's, 1 Heun's."""
    return Tableau((0.0, node), ((), (node,)), (1.0 - 0.5 / node, 0.5 / node))


def take(
    tape: Tape,
    x: Term,
    t: NoiseLevel,
    s: NoiseLevel,
    by: Tableau,
    variable: str,
    solver: str,
    first: Term | None = None,
) -> Term:
    """The state at s by one step of a tableau from t; `first` is the prediction at t if known.

    A step to sigma = 0 takes the posterior mean, which Euler's step in sigma/alpha is.
    """
    flow = VARIABLES[variable]
    w = flow.start(variable, solver, t)
    if s.sigma == 0.0:
        return s.alpha * tape.evaluate(x, t, "x0")
    h = flow.clock(s) - w
    y, slopes = x / flow.scale(t), []
    for node, row in zip(by.nodes, by.rows, strict=True):
        if node == 0.0:
            level, state = t, x
        else:
            level = s if node == 1.0 else flow.at(t, w + node * h)
            state = flow.scale(level) * _advanced(y, h, row, slopes)
        if level is t and first is not None:
            prediction = first
        else:
            prediction = tape.evaluate(state, level, flow.kind)
        slopes.append(flow.weight(level) * prediction)
    return flow.scale(s) * _advanced(y, h, by.weights, slopes)


def _advanced(y: Term, h: float, weights: tuple[float, ...], slopes: list[Term]) -> Term:
    for weight, slope in zip(weights, slopes, strict=True):
        y = y + h * weight * slope
    return y


@dataclass(frozen=True, kw_only=True)
class RungeKutta(Churned):
    """An explicit Runge-Kutta method on the probability flow, in one of `VARIABLES`."""

    variable: ClassVar[str] = "sigma"  # an option of most members

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variable not in VARIABLES:
            raise OptionError(unknown(f"variable of {self.noun}", self.variable, list(VARIABLES)))
        if self.variable == "time" and self.churn > 0.0:
            raise OptionError(
                f"churn of {self.noun} leaves the process's times; with variable='time' it is 0, "
                f"got {self.churn}; take variable='sigma'"
            )

    @abstractmethod
    def tableau(self, t: NoiseLevel, s: NoiseLevel) -> Tableau:
        """The method's table for the step from t to s."""

    def descend(self, tape, x, t, s):
        return take(tape, x, t, s, self.tableau(t, s), self.variable, self.noun)
