"""Multistep exponential solvers: one evaluation a step, and those before it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from scoresde.processes import NoiseLevel
from scoresde.samplers.exponential.tableaus import finish, of_order
from scoresde.samplers.exponential.variation import Variation, variation
from scoresde.samplers.history import Multistep
from scoresde.samplers.plan import Term

Outputs = Sequence[tuple[NoiseLevel, Term]]  # newest first; all at alpha > 0 but the newest


@dataclass(frozen=True, kw_only=True)
class ExponentialMultistep(Multistep):
    """x_s = carry x + an integral of the polynomial through the last outputs.

    A step of infinite h (from alpha = 0 with x0, or to sigma = 0) is DDIM's, and an output at
    alpha = 0 is infinitely far back and not looked at again.
    """

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many outputs a step looks at."""

    @property
    @abstractmethod
    def interpolates(self) -> str:
        """`x0` or `eps`."""

    @abstractmethod
    def integral(self, move: Variation, s: NoiseLevel, outputs: Outputs) -> Term:
        """reach int_0^1 e^{z(1-u)} p(u) du with two outputs or more, the first of them at t."""

    @property
    def full_order(self) -> int:
        """The order with an accurate start, where the end is `full`."""
        return self.outputs

    @property
    def order(self) -> int:
        return self.full_order if self.end == "full" else min(self.full_order, 2)

    @property
    def order_cold(self) -> int:
        return self.order if self.start == "single-step" else min(self.order, 2)

    def step(self, tape, x, t, s, memory):
        past = memory or ()
        m = tape.evaluate(x, t, self.interpolates)
        move = variation(self.interpolates, t, s)
        outputs = ((t, m), *past)
        order = self.usable(self.outputs, len(past), tape.remaining)
        wanted = self.usable(self.outputs, self.outputs - 1, tape.remaining)
        if order < wanted and self.start == "single-step":
            x = finish(tape, x, m, t, s, self.interpolates, of_order(wanted))
        elif order == 1 or move.endless:
            x = move.carry * x + move.whole * m
        else:
            x = move.carry * x + self.integral(move, s, outputs[:order])
        return x, outputs[: self.outputs - 1] if t.alpha > 0.0 else ()


def past_nodes(move: Variation, outputs: Outputs) -> list[float]:
    """u of the outputs: 0 for the newest, negative for those before it."""
    newest, h = outputs[0][0].log_snr, 2.0 * abs(move.z)
    return [(level.log_snr - newest) / h for level, _ in outputs]


def weighted(weights: Sequence[float], outputs: Outputs) -> Term:
    total = Term({})
    for weight, (_, m) in zip(weights, outputs, strict=True):
        total = total + weight * m
    return total


def midpoint(move: Variation, s: NoiseLevel, outputs: Outputs) -> Term:
    """reach phi_1(z) D,  D = (1 + 1/(2r)) m - m_prev/(2r),  r = h_prev/h."""
    (t, m), (previous, m_previous) = outputs
    weight = 0.5 * (s.log_snr - t.log_snr) / (t.log_snr - previous.log_snr)
    return move.whole * ((1.0 + weight) * m - weight * m_previous)
