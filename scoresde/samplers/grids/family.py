"""The family of grids, the names that other tools give them, and levels by name."""

from __future__ import annotations

import inspect
from dataclasses import replace

from scoresde.errors import OptionError
from scoresde.families import Family, unknown
from scoresde.processes import NoiseLevel, Process
from scoresde.samplers.grids.base import Grid
from scoresde.samplers.grids.beta import BetaQuantile
from scoresde.samplers.grids.cosine import Cosine
from scoresde.samplers.grids.discrete import Discrete
from scoresde.samplers.grids.explicit import Explicit
from scoresde.samplers.grids.flow_shift import FlowShift
from scoresde.samplers.grids.in_log_snr import Polyexponential, UniformLogSNR
from scoresde.samplers.grids.in_time import Quadratic, UniformTime
from scoresde.samplers.grids.karras import Karras

ALIASES: dict[str, tuple[str, dict]] = {
    "exponential": ("uniform-log-snr", {}),
    "logSNR": ("uniform-log-snr", {}),
    "time_uniform": ("uniform-time", {}),
    "time_quadratic": ("quadratic", {}),
    "normal": ("uniform-time", {}),
    "sgm_uniform": ("uniform-time", {"final": "replaced"}),
    "kl_optimal": ("cosine", {}),
    "leading": ("discrete", {"spacing": "leading"}),
    "linspace": ("discrete", {"spacing": "linspace"}),
    "trailing": ("discrete", {"spacing": "trailing"}),
    "simple": ("discrete", {"spacing": "simple"}),
    "quad": ("discrete", {"spacing": "quad"}),
    "ddim_uniform": ("discrete", {"spacing": "leading", "offset": 1}),
}

GRIDS = Family(
    "grid",
    {
        "uniform-time": UniformTime,
        "quadratic": Quadratic,
        "uniform-log-snr": UniformLogSNR,
        "polyexponential": Polyexponential,
        "karras": Karras,
        "cosine": Cosine,
        "beta": BetaQuantile,
        "flow-shift": FlowShift,
        "discrete": Discrete,
        "explicit": Explicit,
    },
    aliases=ALIASES,
)


def levels(grid: str | Grid, process: Process, **options) -> tuple[NoiseLevel, ...]:
    """The levels of a grid on a process: `levels("karras", process, steps=20)`.

    `grid` is a name or an alias in GRIDS, or a grid, whose `options` are then replaced. Raises
    `UnknownNameError` for a name, `OptionError` for options that the grid does not have, and what
    the grid itself raises.
    """
    member, preset = (type(grid), {}) if isinstance(grid, Grid) else GRIDS.find(grid)
    known = list(inspect.signature(member).parameters)
    for name in options:
        if name not in known:
            raise OptionError(unknown(f"option of the grid {GRIDS.name_of(member)}", name, known))
    made = replace(grid, **options) if isinstance(grid, Grid) else member(**{**preset, **options})
    return made.levels(process)
