"""Training objectives: what a network is asked to match, at which times, with which weight."""

from scoresde.families import Family
from scoresde.objectives.base import Draws, Objective
from scoresde.objectives.denoising import Denoising
from scoresde.objectives.times import TIMES, LogNormalTimes, Times, UniformTimes
from scoresde.objectives.weighting import WEIGHTINGS, Weighting

OBJECTIVES = Family("objective", {"denoising": Denoising})

__all__ = [
    "OBJECTIVES",
    "TIMES",
    "WEIGHTINGS",
    "Denoising",
    "Draws",
    "LogNormalTimes",
    "Objective",
    "Times",
    "UniformTimes",
    "Weighting",
]
