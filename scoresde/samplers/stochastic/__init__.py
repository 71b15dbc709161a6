"""Samplers of the reverse SDE."""

from scoresde.samplers.stochastic.ancestral import Ancestral
from scoresde.samplers.stochastic.dpm_2_ancestral import DPM2Ancestral
from scoresde.samplers.stochastic.dpmpp_2m_sde import DPMSolverPP2MSDE
from scoresde.samplers.stochastic.dpmpp_2s_ancestral import DPMSolverPP2SAncestral
from scoresde.samplers.stochastic.dpmpp_3m_sde import DPMSolverPP3MSDE
from scoresde.samplers.stochastic.dpmpp_sde import DPMSolverPPSDE
from scoresde.samplers.stochastic.er_sde import ERSDE
from scoresde.samplers.stochastic.euler_ancestral import EulerAncestral
from scoresde.samplers.stochastic.euler_maruyama import EulerMaruyama
from scoresde.samplers.stochastic.sa_solver import SASolver
from scoresde.samplers.stochastic.seeds import SEEDS
from scoresde.samplers.stochastic.stochastic_runge_kutta import StochasticRungeKutta

MEMBERS = {
    "ancestral": Ancestral,
    "euler-maruyama": EulerMaruyama,
    "euler-ancestral": EulerAncestral,
    "dpm-2-ancestral": DPM2Ancestral,
    "dpmpp-2s-ancestral": DPMSolverPP2SAncestral,
    "dpmpp-sde": DPMSolverPPSDE,
    "dpmpp-2m-sde": DPMSolverPP2MSDE,
    "dpmpp-3m-sde": DPMSolverPP3MSDE,
    "er-sde": ERSDE,
    "sa-solver": SASolver,
    "seeds": SEEDS,
    "stochastic-runge-kutta": StochasticRungeKutta,
}

__all__ = [
    "ERSDE",
    "MEMBERS",
    "SEEDS",
    "Ancestral",
    "DPM2Ancestral",
    "DPMSolverPP2MSDE",
    "DPMSolverPP2SAncestral",
    "DPMSolverPP3MSDE",
    "DPMSolverPPSDE",
    "EulerAncestral",
    "EulerMaruyama",
    "SASolver",
    "StochasticRungeKutta",
]
