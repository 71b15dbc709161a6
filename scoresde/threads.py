"""How many CPU threads pay off at this moment.

Two OpenMP threads on a busy machine were measured 20 times slower than one (each waits, spinning,
for one that does not run), so the count is tried, not assumed.
"""

from __future__ import annotations

import os
import time

import torch

TRIAL_SECONDS = 0.15


def _rate(threads: int, seconds: float) -> float:
    """Convolutions a second with that many threads."""
    torch.set_num_threads(threads)
    x, w = torch.ones(64, 32, 8, 8), torch.ones(32, 32, 3, 3)
    with torch.no_grad():
        torch.nn.functional.conv2d(x, w, padding=1)
        begun, count = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            torch.nn.functional.conv2d(x, w, padding=1)
            count += 1
        return count / (time.perf_counter() - begun)


def fastest_threads() -> int:
    """1 or all the cores this process may use, whichever convolves faster in two trials each."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if "OMP_NUM_THREADS" in os.environ or cores == 1:
        return torch.get_num_threads()
    before = torch.get_num_threads()
    rates = {1: 0.0, cores: 0.0}
    for _ in range(2):
        for count in rates:
            rates[count] += _rate(count, TRIAL_SECONDS)
    torch.set_num_threads(before)
    return max(rates, key=rates.get)
