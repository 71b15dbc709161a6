"""How fast a training run goes."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Pace:
    """Rows trained on in a second, over about the last `window` seconds and over all."""

    batch: int
    window: float = 2.0
    first: tuple[int, float] | None = None  # (step, seconds)
    mark: tuple[int, float] | None = None
    rate: float = math.nan

    def told(self, step) -> str:
        """The rate of late, in words, after a step; nothing while it is unknown."""
        now = (step.step, step.seconds)
        self.first = self.first or now
        self.mark = self.mark or now
        steps, seconds = now[0] - self.mark[0], now[1] - self.mark[1]
        if steps and (seconds >= self.window or math.isnan(self.rate)) and seconds > 0.0:
            self.rate, self.mark = self.batch * steps / seconds, now
        return "" if math.isnan(self.rate) else f"{self.rate:.4g} rows/s"

    def overall(self, step) -> str:
        """', 123 rows/s' from the first step to this one; nothing where that is one step."""
        steps, seconds = step.step - self.first[0], step.seconds - self.first[1]
        return f", {self.batch * steps / seconds:.4g} rows/s" if seconds > 0.0 else ""
