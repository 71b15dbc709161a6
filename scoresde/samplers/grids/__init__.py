"""Grids of noise levels."""

from scoresde.samplers.grids.base import FINALS, Grid
from scoresde.samplers.grids.beta import BetaQuantile
from scoresde.samplers.grids.cosine import Cosine
from scoresde.samplers.grids.discrete import Discrete
from scoresde.samplers.grids.explicit import Explicit
from scoresde.samplers.grids.family import GRIDS, levels
from scoresde.samplers.grids.flow_shift import FlowShift
from scoresde.samplers.grids.in_log_snr import Polyexponential, UniformLogSNR
from scoresde.samplers.grids.in_time import Quadratic, UniformTime
from scoresde.samplers.grids.karras import Karras

__all__ = [
    "FINALS",
    "GRIDS",
    "BetaQuantile",
    "Cosine",
    "Discrete",
    "Explicit",
    "FlowShift",
    "Grid",
    "Karras",
    "Polyexponential",
    "Quadratic",
    "UniformLogSNR",
    "UniformTime",
    "levels",
]
