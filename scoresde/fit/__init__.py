"""A classical model into a file: data by name, the fit, held-out figures, a picture."""

from scoresde.fit.job import Fitting, carry_out
from scoresde.fit.likelihood import Likelihood, likelihood
from scoresde.fit.place import check_place, write
from scoresde.fit.request import settings_of

__all__ = [
    "Fitting",
    "Likelihood",
    "carry_out",
    "check_place",
    "likelihood",
    "settings_of",
    "write",
]
