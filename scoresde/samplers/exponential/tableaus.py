r"""Exponential Runge-Kutta methods as tables, and one step by any of them.

    X_i = carry_i x + reach_i sum_{j<i} a_ij(z) m_j,  x_s = carry x + reach sum_i b_i(z) m_i,
    m_i = the prediction at X_i, u = c_i

with carry, reach and z of the step (`Variation`) and carry_i, reach_i of its first part, up to
u = c_i. Rows of a multiply reach_i, that is c_i h: they are 1/c_i of those in the books.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scoresde.processes import NoiseLevel
from scoresde.samplers.exponential.phi import interpolation_weights, phi
from scoresde.samplers.exponential.variation import variation
from scoresde.samplers.levels import at_log_snr
from scoresde.samplers.plan import Tape, Term

Row = Callable[[float], tuple[float, ...]]


@dataclass(frozen=True)
class Tableau:
    """Nodes c in [0, 1], first 0; `inner[i](z)` is the row of stage i + 1, `outer(z)` the last."""

    nodes: tuple[float, ...]
    inner: tuple[Row, ...]
    outer: Row

    @property
    def stages(self) -> int:
        return len(self.nodes)


def take(tape: Tape, x: Term, t: NoiseLevel, s: NoiseLevel, prediction: str, by: Tableau) -> Term:
    """The state at s by one step of a tableau; `Variation.endless` steps are DDIM's."""
    first = tape.evaluate(x, t, prediction)
    return finish(tape, x, first, t, s, prediction, by)


def finish(
    tape: Tape,
    x: Term,
    first: Term,
    t: NoiseLevel,
    s: NoiseLevel,
    prediction: str,
    by: Tableau,
) -> Term:
    """As `take`, where the prediction at t is known."""
    move = variation(prediction, t, s)
    if move.endless:
        return move.carry * x + move.whole * first
    predictions = [first]
    for node, row in zip(by.nodes[1:], by.inner, strict=True):
        level = s
        if node < 1.0:
            level = at_log_snr(t, t.log_snr + node * (s.log_snr - t.log_snr))
        part = variation(prediction, t, level)
        stage = combine(part.carry, x, part.reach, row(move.z), predictions)
        predictions.append(tape.evaluate(stage, level, prediction))
    return combine(move.carry, x, move.reach, by.outer(move.z), predictions)


def combine(carry: float, x: Term, reach: float, weights, predictions) -> Term:
    """carry x + reach sum_j w_j m_j."""
    total = carry * x
    for weight, m in zip(weights, predictions, strict=True):
        total = total + (reach * weight) * m
    return total


def _constant(node: float) -> Row:
    return lambda z: (phi(1, node * z),)


def second_order(form: str, node: float = 0.5) -> Tableau:
    r"""b_2 = phi_1(z)/(2 r) for the form `midpoint`, phi_2(z)/r for `heun`; b_1 + b_2 = phi_1.

    `midpoint`: DPM-Solver-2 and DPM-Solver++(2S) as published, with r = 1/2 one weight only.
    """

    def outer(z):
        second = phi(1, z) / (2.0 * node) if form == "midpoint" else phi(2, z) / node
        return (phi(1, z) - second, second)

    return Tableau((0.0, node), (_constant(node),), outer)


def third_order(form: str, first: float = 1.0 / 3.0, second: float = 2.0 / 3.0) -> Tableau:
    r"""Third order with nodes r_1, r_2; `midpoint` takes (m_3 - m_1)/r_2 for the derivative, as
    DPM-Solver-3 is published (r_2 = 2/3 makes it of third order), `heun` the parabola through all.
    """

    def inner(z):
        middle = second / first * phi(2, second * z)
        return (phi(1, second * z) - middle, middle)

    def outer(z):
        if form == "heun":
            return tuple(interpolation_weights((0.0, first, second), z))
        last = phi(2, z) / second
        return (phi(1, z) - last, 0.0, last)

    return Tableau((0.0, first, second), (_constant(first), inner), outer)


def _third_stage(z):
    return (phi(1, z / 2) - 2 * phi(2, z / 2), 2 * phi(2, z / 2))


def _kutta(z):
    """The weights of the cubic with its middle value taken twice."""
    one, two, three = phi(1, z), phi(2, z), phi(3, z)
    between = 2 * two - 4 * three
    return (one - 3 * two + 4 * three, between, between, 4 * three - two)


def cox_matthews() -> Tableau:
    """ETDRK4: order 4, stiff order 2, four stages. (Cox & Matthews 2002, eq. 26-29.)"""

    def third(z):
        return (0.0, phi(1, z / 2))

    def fourth(z):
        return (0.5 * phi(1, z / 2) * math.expm1(z / 2), 0.0, phi(1, z / 2))

    return Tableau((0.0, 0.5, 0.5, 1.0), (_constant(0.5), third, fourth), _kutta)


def krogstad() -> Tableau:
    """ETDRK4-B: order 4, stiff order 3, four stages. (Krogstad 2005.)"""

    def fourth(z):
        return (phi(1, z) - 2 * phi(2, z), 0.0, 2 * phi(2, z))

    return Tableau((0.0, 0.5, 0.5, 1.0), (_constant(0.5), _third_stage, fourth), _kutta)


def hochbruck_ostermann() -> Tableau:
    """Order 4 and stiff order 4, five stages. (Hochbruck & Ostermann 2005, eq. 5.19.)"""

    def fourth(z):
        return (phi(1, z) - 2 * phi(2, z), phi(2, z), phi(2, z))

    def fifth(z):
        middle = 0.5 * phi(2, z / 2) - phi(3, z) + 0.25 * phi(2, z) - 0.5 * phi(3, z / 2)
        last = 0.25 * phi(2, z / 2) - middle
        first = 0.5 * phi(1, z / 2) - 2 * middle - last
        return (2 * first, 2 * middle, 2 * middle, 2 * last)

    def outer(z):
        one, two, three = phi(1, z), phi(2, z), phi(3, z)
        return (one - 3 * two + 4 * three, 0.0, 0.0, 4 * three - two, 4 * two - 8 * three)

    inner = (_constant(0.5), _third_stage, fourth, fifth)
    return Tableau((0.0, 0.5, 0.5, 1.0, 0.5), inner, outer)


def of_order(order: int, form: str = "midpoint") -> Tableau:
    """The single-step method of an order from 1 to 4; `form` chooses among those of 2 and 3."""
    if order == 1:
        return Tableau((0.0,), (), lambda z: (phi(1, z),))
    if order == 2:
        return second_order(form)
    return third_order(form) if order == 3 else cox_matthews()


def on_nodes(form: str, nodes: list[float]) -> Tableau:
    """The tableau whose stages after the first lie at given nodes (none, one or two)."""
    if not nodes:
        return of_order(1)
    return second_order(form, *nodes) if len(nodes) == 1 else third_order(form, *nodes)
