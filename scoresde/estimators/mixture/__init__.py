"""Gaussian mixtures fitted to data: starts, restarts, and the methods that climb."""

from scoresde.estimators.mixture.cavi import VariationalBayes
from scoresde.estimators.mixture.choose import Candidate, Choice, choose
from scoresde.estimators.mixture.elbo import elbo
from scoresde.estimators.mixture.em import EM
from scoresde.estimators.mixture.estimate import estimate
from scoresde.estimators.mixture.family import METHODS
from scoresde.estimators.mixture.fitted import MixtureFit, free_parameters
from scoresde.estimators.mixture.gmm import GMM
from scoresde.estimators.mixture.gradient import GradientAscent
from scoresde.estimators.mixture.method import Climb, Method
from scoresde.estimators.mixture.statistics import Statistics, gather
from scoresde.estimators.mixture.svi import StochasticVariational

__all__ = [
    "EM",
    "GMM",
    "METHODS",
    "Candidate",
    "Choice",
    "Climb",
    "GradientAscent",
    "Method",
    "MixtureFit",
    "Statistics",
    "StochasticVariational",
    "VariationalBayes",
    "choose",
    "elbo",
    "estimate",
    "free_parameters",
    "gather",
]
