"""Samplers of the reverse SDE."""

from scoresde.samplers.stochastic.ancestral import Ancestral
from scoresde.samplers.stochastic.euler_maruyama import EulerMaruyama

MEMBERS = {"ancestral": Ancestral, "euler-maruyama": EulerMaruyama}

__all__ = ["MEMBERS", "Ancestral", "EulerMaruyama"]
