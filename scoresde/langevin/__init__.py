"""Langevin dynamics on any score: kernels and chains; without noise, ascent to the modes."""

from scoresde.families import Family
from scoresde.langevin.ascent import Ascent, ascend
from scoresde.langevin.chain import Chain
from scoresde.langevin.kernels import MALA, ULA, Info, LangevinKernel, State, Target
from scoresde.langevin.modes import Modes, modes

KERNELS = Family("langevin kernel", {"ula": ULA, "mala": MALA})

__all__ = [
    "KERNELS",
    "MALA",
    "ULA",
    "Ascent",
    "Chain",
    "Info",
    "LangevinKernel",
    "Modes",
    "State",
    "Target",
    "ascend",
    "modes",
]
