"""Exponential integrators: the linear part of the flow exact, x0 or eps interpolated."""

from scoresde.samplers.exponential.ddim import DDIM
from scoresde.samplers.exponential.dpmpp_2m import DPMSolverPP2M

MEMBERS = {"ddim": DDIM, "dpmpp-2m": DPMSolverPP2M}

__all__ = ["DDIM", "MEMBERS", "DPMSolverPP2M"]
