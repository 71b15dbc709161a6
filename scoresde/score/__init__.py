"""One score interface: networks, exact densities and foreign models behind the same two calls."""

from scoresde.score.classifier import ExactClassifier, NetworkClassifier
from scoresde.score.continuous import Denoiser, Preconditioned, VelocityField
from scoresde.score.diffusers_model import chain_of, from_diffusers, from_unet
from scoresde.score.exact import ExactScore, LogDensity
from scoresde.score.foreign import Foreign
from scoresde.score.indexed import DiscreteNetwork, LearnedVarianceNetwork
from scoresde.score.model import ScoreModel, ask
from scoresde.score.network import NetworkScore
from scoresde.score.opened import MODELS, OpenedModel
from scoresde.score.parametrization import KINDS, coefficients, convert

__all__ = [
    "KINDS",
    "MODELS",
    "Denoiser",
    "DiscreteNetwork",
    "ExactClassifier",
    "ExactScore",
    "Foreign",
    "LearnedVarianceNetwork",
    "LogDensity",
    "NetworkClassifier",
    "NetworkScore",
    "OpenedModel",
    "Preconditioned",
    "ScoreModel",
    "VelocityField",
    "ask",
    "chain_of",
    "coefficients",
    "convert",
    "from_diffusers",
    "from_unet",
]
