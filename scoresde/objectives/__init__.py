"""Training objectives: what a network is asked to match, at which times, with which weight."""

from scoresde.families import Family
from scoresde.objectives.base import Draws, Objective
from scoresde.objectives.bound import Bound
from scoresde.objectives.classification import Classification
from scoresde.objectives.denoising import Denoising
from scoresde.objectives.finite_difference import FiniteDifference
from scoresde.objectives.flow_matching import FlowMatching
from scoresde.objectives.implicit import Implicit
from scoresde.objectives.loss_aware import LossAwareTimes
from scoresde.objectives.ncsn import NCSN
from scoresde.objectives.sliced import Sliced, SlicedVR
from scoresde.objectives.times import (
    LogNormalTimes,
    LogSNRCosineTimes,
    LogSNRUniformTimes,
    Times,
    UniformTimes,
)
from scoresde.objectives.uncertainty import UncertaintyWeighting
from scoresde.objectives.weighting import (
    EDMWeighting,
    MinSNRWeighting,
    P2Weighting,
    SigmoidWeighting,
    SimpleWeighting,
    SNRRateWeighting,
    VelocityWeighting,
    VLBWeighting,
    Weighting,
)

OBJECTIVES = Family(
    "objective",
    {
        "denoising": Denoising,
        "flow-matching": FlowMatching,
        "ncsn": NCSN,
        "implicit": Implicit,
        "sliced": Sliced,
        "sliced-vr": SlicedVR,
        "finite-difference": FiniteDifference,
        "classification": Classification,
        "bound": Bound,
    },
)
WEIGHTINGS = Family(
    "weighting",
    {
        "simple": SimpleWeighting,
        "edm": EDMWeighting,
        "velocity": VelocityWeighting,
        "min-snr": MinSNRWeighting,
        "p2": P2Weighting,
        "sigmoid": SigmoidWeighting,
        "snr-rate": SNRRateWeighting,
        "vlb": VLBWeighting,
        "uncertainty": UncertaintyWeighting,
    },
)
TIMES = Family(
    "time law",
    {
        "uniform": UniformTimes,
        "log-normal": LogNormalTimes,
        "log-snr-uniform": LogSNRUniformTimes,
        "log-snr-cosine": LogSNRCosineTimes,
        "loss-aware": LossAwareTimes,
    },
)

__all__ = [
    "NCSN",
    "OBJECTIVES",
    "TIMES",
    "WEIGHTINGS",
    "Bound",
    "Classification",
    "Denoising",
    "Draws",
    "FiniteDifference",
    "FlowMatching",
    "Implicit",
    "LogNormalTimes",
    "LossAwareTimes",
    "Objective",
    "Sliced",
    "SlicedVR",
    "Times",
    "UncertaintyWeighting",
    "UniformTimes",
    "Weighting",
]
