"""Samplers: pluggable, one plan and one loop, proven by `scoresde verify`."""

from scoresde.families import Family
from scoresde.samplers import adaptive, corrected, exponential, multistep, runge_kutta, stochastic
from scoresde.samplers.adaptive import *  # noqa: F403
from scoresde.samplers.aliases import ALIASES
from scoresde.samplers.base import GridSampler, Sampler, sample, start
from scoresde.samplers.corrected import *  # noqa: F403
from scoresde.samplers.exponential import *  # noqa: F403
from scoresde.samplers.grids import GRIDS, Grid
from scoresde.samplers.multistep import *  # noqa: F403
from scoresde.samplers.runge_kutta import *  # noqa: F403
from scoresde.samplers.stochastic import *  # noqa: F403

_KINDS = (runge_kutta, exponential, multistep, stochastic, corrected, adaptive)

SAMPLERS = Family(
    "sampler",
    {name: member for kind in _KINDS for name, member in kind.MEMBERS.items()},
    aliases=ALIASES,
)

__all__ = ["GRIDS", "SAMPLERS", "Grid", "GridSampler", "Sampler", "sample", "start"]
__all__ += [name for kind in _KINDS for name in kind.__all__ if name != "MEMBERS"]
