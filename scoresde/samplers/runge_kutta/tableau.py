r"""Explicit Runge-Kutta methods as Butcher's tables, and one step by any of them."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.processes import NoiseLevel
from scoresde.samplers.last_step import check_last, last_time
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
    last: str = "posterior-mean",
) -> Term:
    """The state at s by one step of a tableau from t; `first` is the prediction at t if known.

    A step to sigma = 0 takes the posterior mean, which Euler's step in sigma/alpha is, or with
    `last` = "step" Euler's step in this variable: stages near the data are not evaluated.
    """
    flow = VARIABLES[variable]
    w = flow.start(variable, solver, t)
    if s.sigma == 0.0 and last == "posterior-mean":
        return s.alpha * tape.evaluate(x, t, "x0")
    if s.sigma == 0.0:
        h = -last_time(solver, t, s)
        return x + h * tape.evaluate(x, t, flow.kind)
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
    """An explicit Runge-Kutta method on the probability flow, in one of `VARIABLES`.

    `last` is the step to sigma = 0: "posterior-mean", or, in variable "time", "step", Euler's step
    down to t = 0, by which EDM's ablation_sampler ends. (Karras et al. 2022, algorithm 3; under
    VE, whose sigma is not 0 at t = 0, the noise of t = 0 is left.)
    """

    variable: ClassVar[str] = "sigma"  # both options of most members
    last: ClassVar[str] = "posterior-mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variable not in VARIABLES:
            raise OptionError(unknown(f"variable of {self.noun}", self.variable, list(VARIABLES)))
        if self.variable == "time" and self.churn > 0.0:
            raise OptionError(
                f"churn of {self.noun} leaves the process's times; with variable='time' it is 0, "
                f"got {self.churn}; take variable='sigma'"
            )

        check_last(self.noun, self.last)
        if self.last == "step" and self.variable != "time":
            raise OptionError(
                f"last='step' of {self.noun} is a step in the process's time, and variable is "
                f"{self.variable!r}; take variable='time', or last='posterior-mean'"
            )

    @abstractmethod
    def tableau(self, t: NoiseLevel, s: NoiseLevel) -> Tableau:
        """The method's table for the step from t to s."""

    def descend(self, tape, x, t, s):
        return take(tape, x, t, s, self.tableau(t, s), self.variable, self.noun, last=self.last)
