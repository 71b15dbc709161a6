"""Exponential integrators: the linear part of the flow exact, x0 or eps interpolated."""

from scoresde.samplers.exponential.ddim import DDIM
from scoresde.samplers.exponential.deis import DEIS
from scoresde.samplers.exponential.dpm_solver import DPMSolver
from scoresde.samplers.exponential.dpmpp_2m import DPMSolverPP2M
from scoresde.samplers.exponential.dpmpp_3m import DPMSolverPP3M
from scoresde.samplers.exponential.dpmpp_single_step import (
    DPMSolverPP1,
    DPMSolverPP2S,
    DPMSolverPP3S,
)
from scoresde.samplers.exponential.exp_rk4 import ExpRK4
from scoresde.samplers.exponential.unipc import UniPC

MEMBERS = {
    "ddim": DDIM,
    "dpm-solver": DPMSolver,
    "dpmpp-1": DPMSolverPP1,
    "dpmpp-2s": DPMSolverPP2S,
    "dpmpp-3s": DPMSolverPP3S,
    "dpmpp-2m": DPMSolverPP2M,
    "dpmpp-3m": DPMSolverPP3M,
    "deis": DEIS,
    "unipc": UniPC,
    "exp-rk4": ExpRK4,
}

__all__ = [
    "DDIM",
    "DEIS",
    "MEMBERS",
    "DPMSolver",
    "DPMSolverPP1",
    "DPMSolverPP2M",
    "DPMSolverPP2S",
    "DPMSolverPP3M",
    "DPMSolverPP3S",
    "ExpRK4",
    "UniPC",
]
