"""Samplers: pluggable, one plan and one loop, proven by `scoresde verify`."""

from scoresde.families import Family
from scoresde.samplers.ancestral import Ancestral
from scoresde.samplers.annealed_langevin import AnnealedLangevin
from scoresde.samplers.base import GridSampler, Sampler, sample, start
from scoresde.samplers.ddim import DDIM
from scoresde.samplers.dpm import DPMSolverPP2M
from scoresde.samplers.euler_maruyama import EulerMaruyama
from scoresde.samplers.grids import GRIDS, Grid
from scoresde.samplers.heun import Heun
from scoresde.samplers.probability_flow import ProbabilityFlow

SAMPLERS = Family(
    "sampler",
    {
        "ancestral": Ancestral,
        "ddim": DDIM,
        "euler-maruyama": EulerMaruyama,
        "heun": Heun,
        "dpmpp-2m": DPMSolverPP2M,
        "probability-flow": ProbabilityFlow,
        "annealed-langevin": AnnealedLangevin,
    },
)

__all__ = [
    "DDIM",
    "GRIDS",
    "SAMPLERS",
    "Ancestral",
    "AnnealedLangevin",
    "DPMSolverPP2M",
    "EulerMaruyama",
    "Grid",
    "GridSampler",
    "Heun",
    "ProbabilityFlow",
    "Sampler",
    "sample",
    "start",
]
