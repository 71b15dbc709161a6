"""Classical models by one verb, `fit`: each leaves an exact law and a baseline for a network."""

from scoresde.estimators.base import Estimator, Fitted, NotFittedError
from scoresde.estimators.family import ESTIMATORS
from scoresde.estimators.stored import load, save

__all__ = ["ESTIMATORS", "Estimator", "Fitted", "NotFittedError", "load", "save"]
