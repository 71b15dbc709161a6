"""Multistep samplers: how they begin before they have a past, and how they end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.samplers.base import GridSampler

STARTS = ("lower", "single-step")
ENDS = ("full", "lower", "euler")


def highest_order(end: str, remaining: int) -> float:
    """The highest order that an end of `ENDS` leaves a step with `remaining` intervals after it.

    `full` leaves every order; `lower` one more than the intervals to come, so that orders fall to
    1; `euler` 1 for the last step and every order before it.
    """
    if end == "lower":
        return remaining + 1
    return 1 if end == "euler" and remaining == 0 else math.inf


@dataclass(frozen=True, kw_only=True)
class Multistep(GridSampler):
    """A sampler that looks back at its last outputs.

    `start` is what the first steps do, which have too few of them: `lower` takes the method of as
    many as there are (its first step is of first order and caps the whole at order 2), and
    `single-step` a single-step method of the full order, at further evaluations. `end` is what the
    last steps do: `full` keeps the order, `lower` lets it fall by one a step, to 1 at the last,
    and `euler` takes order 1 at the last alone (both are steadier for few steps of a network, and
    of order 2 at most).
    """

    start: str = "lower"
    end: str = "full"

    noun: ClassVar[str] = ""  # the name by which errors call it

    def __post_init__(self) -> None:
        if self.start not in STARTS:
            raise OptionError(unknown(f"start of {self.noun}", self.start, list(STARTS)))
        if self.end not in ENDS:
            raise OptionError(unknown(f"end of {self.noun}", self.end, list(ENDS)))

    def usable(self, order: int, past: int, remaining: int) -> int:
        """The order of a step with `past` earlier outputs and `remaining` intervals after it."""
        return int(min(order, past + 1, highest_order(self.end, remaining)))
