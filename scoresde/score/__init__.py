"""One score interface: networks, exact densities and foreign models behind the same two calls."""

from scoresde.score.exact import ExactScore, LogDensity
from scoresde.score.model import ScoreModel, ask
from scoresde.score.network import NetworkScore
from scoresde.score.parametrization import KINDS, coefficients, convert

__all__ = [
    "KINDS",
    "ExactScore",
    "LogDensity",
    "NetworkScore",
    "ScoreModel",
    "ask",
    "coefficients",
    "convert",
]
