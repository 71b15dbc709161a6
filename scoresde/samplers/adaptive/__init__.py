"""Samplers that choose their own steps, or leave them to an ODE library."""

from scoresde.samplers.adaptive.adaptive_sde import AdaptiveSDE
from scoresde.samplers.adaptive.dpm_adaptive import DPMAdaptive
from scoresde.samplers.adaptive.flow_sampler import FlowSampler
from scoresde.samplers.adaptive.probability_flow import ProbabilityFlow
from scoresde.samplers.adaptive.scipy_flow import ScipyFlow
from scoresde.samplers.adaptive.torchdiffeq_flow import TorchdiffeqFlow

MEMBERS = {
    "probability-flow": ProbabilityFlow,
    "torchdiffeq": TorchdiffeqFlow,
    "scipy-flow": ScipyFlow,
    "dpm-adaptive": DPMAdaptive,
    "adaptive-sde": AdaptiveSDE,
}

__all__ = [
    "MEMBERS",
    "AdaptiveSDE",
    "DPMAdaptive",
    "FlowSampler",
    "ProbabilityFlow",
    "ScipyFlow",
    "TorchdiffeqFlow",
]
