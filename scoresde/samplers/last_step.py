"""The step to sigma = 0 of methods in a process's time: the posterior mean, or one more step."""

from __future__ import annotations

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.processes import NoiseLevel

LASTS = ("posterior-mean", "step")


def check_last(noun: str, last: str) -> None:
    """Raises `OptionError` for a `last` that is not of `LASTS`."""
    if last not in LASTS:
        raise OptionError(unknown(f"last of {noun}", last, list(LASTS)))


def last_time(noun: str, t: NoiseLevel, s: NoiseLevel) -> float:
    """The time from t to the data, for last = "step"; raises `OptionError` where there is none."""
    h = t.t - s.t
    if not h > 0.0:
        raise OptionError(
            f"{noun} with last='step' goes from t = {t.t:.6g} to the data at t = {s.t:.6g}, which "
            "leaves no time for a step; take last='posterior-mean', or the grid's final='replaced'"
        )
    return h
