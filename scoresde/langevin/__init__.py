"""Langevin dynamics on any score: kernels for all chains at once, and the chain runner."""

from scoresde.families import Family
from scoresde.langevin.chain import Chain
from scoresde.langevin.kernels import MALA, ULA, Info, LangevinKernel, State, Target

KERNELS = Family("langevin kernel", {"ula": ULA, "mala": MALA})

__all__ = ["KERNELS", "MALA", "ULA", "Chain", "Info", "LangevinKernel", "State", "Target"]
