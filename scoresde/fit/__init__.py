"""A classical model into a file: data by name, the fit, held-out figures, a picture."""

from scoresde.fit.job import Fitting, carry_out
from scoresde.fit.likelihood import Likelihood, likelihood
from scoresde.fit.place import check_place, write
from scoresde.fit.plan import Plan, planned
from scoresde.fit.request import FLAGS, settings_of

__all__ = [
    "FLAGS",
    "Fitting",
    "Likelihood",
    "Plan",
    "carry_out",
    "check_place",
    "likelihood",
    "planned",
    "settings_of",
    "write",
]
