r"""The probability flow as dy/dw = weight * prediction, in the variables that solvers step in.

    name     w                  y                       dy/dw
    sigma    sigma/alpha        x/alpha                 eps
    log-snr  log(sigma/alpha)   x/sqrt(alpha^2+sigma^2) v alpha sigma/(alpha^2 + sigma^2)
    phi      atan2(sigma,alpha) x/sqrt(alpha^2+sigma^2) v
    time     t                  x                       velocity = alpha' x0 + sigma' eps

One flow in four clocks, so all have the same limit and a method has the same order in each; the
errors differ. `sigma` is EDM's, and log-snr, like it, has no alpha = 0; phi is regular at both
ends of every process; time is the process's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scoresde.errors import OptionError
from scoresde.processes import NoiseLevel
from scoresde.samplers.levels import at_log_snr, at_noise_ratio


@dataclass(frozen=True)
class Variable:
    """dy/dw = weight(level) times the prediction of a kind at x = scale(level) y."""

    kind: str
    clock: Callable[[NoiseLevel], float]  # w, falling with the noise
    scale: Callable[[NoiseLevel], float]  # x/y
    weight: Callable[[NoiseLevel], float]
    at: Callable[[NoiseLevel, float], NoiseLevel]  # the level of a level's process at some w

    def start(self, name: str, solver: str, t: NoiseLevel) -> float:
        """w at t; raises `OptionError` where a solver cannot set out in this variable."""
        w = self.clock(t)
        if math.isinf(w):
            raise OptionError(
                f"{solver} in variable={name!r} cannot start at alpha = 0; set log_snr_min on the "
                "grid, or take a solver in variable='phi'"
            )
        if math.isnan(w):
            raise OptionError(
                f"{solver} in variable={name!r} needs levels of a process, and alpha = {t.alpha:g}"
                f", sigma = {t.sigma:g} is of none; take variable='phi' or 'sigma'"
            )
        return w


def _time_of(level: NoiseLevel) -> float:
    return math.nan if level.process is None else level.t


def _log_ratio(level: NoiseLevel) -> float:
    return -0.5 * level.log_snr


VARIABLES = {
    "sigma": Variable(
        kind="eps",
        clock=lambda level: level.noise_ratio,
        scale=lambda level: level.alpha,
        weight=lambda level: 1.0,
        at=at_noise_ratio,
    ),
    "log-snr": Variable(
        kind="v",
        clock=_log_ratio,
        scale=lambda level: level.scale,
        weight=lambda level: level.alpha * level.sigma / level.scale**2,
        at=lambda level, w: at_log_snr(level, -2.0 * w),
    ),
    "phi": Variable(
        kind="v",
        clock=lambda level: level.phi,
        scale=lambda level: level.scale,
        weight=lambda level: 1.0,
        at=lambda level, w: at_noise_ratio(level, math.tan(w)),
    ),
    "time": Variable(
        kind="velocity",
        clock=_time_of,
        scale=lambda level: 1.0,
        weight=lambda level: 1.0,
        at=lambda level, w: level.process.at(w),
    ),
}
