"""How many CPU threads pay off at this moment.

OpenMP threads spin while they wait. On an idle machine two train a small network a quarter faster
than one; beside a busy neighbour they were measured 20 times slower, each waiting for one that
does not run. So the count is tried on the work itself, and given up when that work stalls.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import torch

TRIALS = 2
WORTH = 0.9  # more threads must take less than this share of one thread's time
STALLED = 4.0  # times the work's own best


def _convolutions() -> None:
    x, w = torch.ones(64, 32, 8, 8), torch.ones(32, 32, 3, 3)
    with torch.no_grad():
        for _ in range(10):
            torch.nn.functional.conv2d(x, w, padding=1)


def available_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def fastest_threads(work: Callable[[], object] = _convolutions) -> int:
    """1 or all available cores, whichever does `work` faster; OMP_NUM_THREADS settles it."""
    cores = available_cores()
    if "OMP_NUM_THREADS" in os.environ or cores == 1:
        return torch.get_num_threads()
    before = torch.get_num_threads()
    seconds: dict[int, list[float]] = {1: [], cores: []}
    for _ in range(TRIALS + 1):
        for count, taken in seconds.items():
            torch.set_num_threads(count)
            begun = time.perf_counter()
            work()
            taken.append(time.perf_counter() - begun)
    torch.set_num_threads(before)
    typical = {count: min(taken[1:]) for count, taken in seconds.items()}
    return cores if typical[cores] < WORTH * typical[1] else 1


class StallGuard:
    """Told the time of each piece of equal work; falls back to one thread when the work stalls."""

    def __init__(self) -> None:
        self.best = float("inf")
        self.slow = 0

    def told(self, seconds: float) -> None:
        self.best = min(self.best, seconds)
        self.slow = self.slow + 1 if seconds > STALLED * self.best else 0
        if self.slow >= 3 and torch.get_num_threads() > 1:
            torch.set_num_threads(1)
