"""Samplers: pluggable, one plan and one loop, proven by `scoresde verify`."""

from scoresde.families import Family
from scoresde.samplers import adaptive, corrected, exponential, multistep, runge_kutta, stochastic
from scoresde.samplers.adaptive import (
    AdaptiveSDE,
    DPMAdaptive,
    FlowSampler,
    ProbabilityFlow,
    ScipyFlow,
    TorchdiffeqFlow,
)
from scoresde.samplers.aliases import (
    ALIASES,
)
from scoresde.samplers.base import (
    GridSampler,
    Sampler,
    sample,
    start,
)
from scoresde.samplers.corrected import (
    AnnealedLangevin,
    PredictorCorrector,
    Restart,
)
from scoresde.samplers.exponential import (
    DDIM,
    DEIS,
    DPMSolver,
    DPMSolverPP1,
    DPMSolverPP2M,
    DPMSolverPP2S,
    DPMSolverPP3M,
    DPMSolverPP3S,
    ExpRK4,
    UniPC,
)
from scoresde.samplers.grids import (
    GRIDS,
    Grid,
)
from scoresde.samplers.multistep import (
    IPNDM,
    LMS,
)
from scoresde.samplers.runge_kutta import (
    DPM2,
    RK4,
    Euler,
    Heun,
    Midpoint,
)
from scoresde.samplers.stochastic import (
    ERSDE,
    SEEDS,
    Ancestral,
    DPM2Ancestral,
    DPMSolverPP2MSDE,
    DPMSolverPP2SAncestral,
    DPMSolverPP3MSDE,
    DPMSolverPPSDE,
    EulerAncestral,
    EulerMaruyama,
    SASolver,
    StochasticRungeKutta,
)

_KINDS = (runge_kutta, exponential, multistep, stochastic, corrected, adaptive)

SAMPLERS = Family(
    "sampler",
    {name: member for kind in _KINDS for name, member in kind.MEMBERS.items()},
    aliases=ALIASES,
)

__all__ = [
    "DDIM",
    "DEIS",
    "DPM2",
    "ERSDE",
    "GRIDS",
    "IPNDM",
    "LMS",
    "RK4",
    "SAMPLERS",
    "SEEDS",
    "AdaptiveSDE",
    "Ancestral",
    "AnnealedLangevin",
    "DPM2Ancestral",
    "DPMAdaptive",
    "DPMSolver",
    "DPMSolverPP1",
    "DPMSolverPP2M",
    "DPMSolverPP2MSDE",
    "DPMSolverPP2S",
    "DPMSolverPP2SAncestral",
    "DPMSolverPP3M",
    "DPMSolverPP3MSDE",
    "DPMSolverPP3S",
    "DPMSolverPPSDE",
    "Euler",
    "EulerAncestral",
    "EulerMaruyama",
    "ExpRK4",
    "FlowSampler",
    "Grid",
    "GridSampler",
    "Heun",
    "Midpoint",
    "PredictorCorrector",
    "ProbabilityFlow",
    "Restart",
    "SASolver",
    "Sampler",
    "ScipyFlow",
    "StochasticRungeKutta",
    "TorchdiffeqFlow",
    "UniPC",
    "sample",
    "start",
]
