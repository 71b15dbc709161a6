"""Forward processes: q(z_t | x) = N(alpha_t x, sigma_t^2 I), t in [0, 1], 0 = data."""

from scoresde.families import Family
from scoresde.processes.base import Process
from scoresde.processes.discrete import DiscreteDDPM
from scoresde.processes.learned import LearnedVP
from scoresde.processes.level import CLEAN, NoiseLevel
from scoresde.processes.rectified_flow import RectifiedFlow
from scoresde.processes.variance_exploding import EDM, VarianceExploding
from scoresde.processes.variance_preserving import SubVP, VPCosine, VPLinear

PROCESSES = Family(
    "process",
    {
        "vp-linear": VPLinear,
        "vp-cosine": VPCosine,
        "sub-vp": SubVP,
        "ve": VarianceExploding,
        "edm": EDM,
        "rectified-flow": RectifiedFlow,
        "ddpm": DiscreteDDPM,
        "learned": LearnedVP,
    },
)

__all__ = [
    "CLEAN",
    "EDM",
    "PROCESSES",
    "DiscreteDDPM",
    "LearnedVP",
    "NoiseLevel",
    "Process",
    "RectifiedFlow",
    "SubVP",
    "VPCosine",
    "VPLinear",
    "VarianceExploding",
]
