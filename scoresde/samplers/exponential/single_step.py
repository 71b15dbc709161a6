"""Single-step exponential solvers: stages between the grid's points, or on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.samplers.base import GridSampler
from scoresde.samplers.exponential.tableaus import combine, of_order, on_nodes, take
from scoresde.samplers.exponential.variation import variation
from scoresde.samplers.history import ENDS, highest_order

FORMS = ("midpoint", "heun")
STAGES = ("between", "grid")


def check_form(noun: str, form: str) -> None:
    if form not in FORMS:
        raise OptionError(unknown(f"form of {noun}", form, list(FORMS)))


@dataclass(frozen=True, kw_only=True)
class SingleStep(GridSampler):
    """A solver of order k that starts every step afresh, from k evaluations.

    `form`: `midpoint` as the papers' algorithms are written, `heun` with the weights of the
    polynomial through all stages. `stages`: `between` puts them inside each interval of the grid;
    `grid` takes the grid's own points, so that one step spans k intervals at one evaluation each,
    and what is left over at the end is a step of fewer. `end`: `full` keeps the order, `lower`
    lets it fall by one a step to 1 at the last (with stages on the grid: the last interval is
    never the end of a step of full order), `euler` takes order 1 at the last interval alone. An
    interval of infinite h (from alpha = 0 with x0, or to sigma = 0) is DDIM's.
    """

    form: str = "midpoint"
    stages: str = "between"
    end: str = "full"

    noun: ClassVar[str] = ""  # the name by which errors call it
    prediction: ClassVar[str] = "x0"
    solver_order: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_form(self.noun, self.form)
        for name, known in (("stages", STAGES), ("end", ENDS)):
            if getattr(self, name) not in known:
                what = f"{name} of {self.noun}"
                raise OptionError(unknown(what, getattr(self, name), list(known)))

    @property
    def order(self) -> int:
        lowered = self.end != "full" or self.stages == "grid"
        return min(self.solver_order, 2) if lowered else self.solver_order

    @property
    def order_cold(self) -> int:
        return self.order

    @property
    def evaluations(self) -> int:
        return 1 if self.stages == "grid" else self.solver_order

    def step(self, tape, x, t, s, memory):
        if self.stages == "grid":
            return self._on_grid(tape, x, t, s, memory)
        order = int(min(self.solver_order, highest_order(self.end, tape.remaining)))
        return take(tape, x, t, s, self.prediction, of_order(order, self.form)), None

    def _on_grid(self, tape, x, t, s, memory):
        """The step so far, from its beginning b to s; memory: (x_b, b, its outputs, intervals)."""
        m = tape.evaluate(x, t, self.prediction)
        here = variation(self.prediction, t, s)
        if here.endless:
            return here.carry * x + here.whole * m, None
        begin, b, outputs, length = memory or (x, t, (), self._length(tape.remaining + 1))
        outputs = (*outputs, (t, m))
        move = variation(self.prediction, b, s)
        span = s.log_snr - b.log_snr
        nodes = [(level.log_snr - b.log_snr) / span for level, _ in outputs[1:]]
        by = on_nodes(self.form, nodes)
        y = combine(move.carry, begin, move.reach, by.outer(move.z), [m for _, m in outputs])
        return y, None if len(outputs) == length else (begin, b, outputs, length)

    def _length(self, left: int) -> int:
        """Intervals of the next step, with `left` of the grid still to go."""
        if self.end == "lower" and left == self.solver_order > 1:
            return left - 1
        if self.end == "euler" and left > 1:
            left -= 1
        return min(self.solver_order, left)
