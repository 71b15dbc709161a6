"""The ways to climb a mixture's objective, by name."""

from __future__ import annotations

from scoresde.estimators.mixture.cavi import VariationalBayes
from scoresde.estimators.mixture.em import EM
from scoresde.estimators.mixture.gradient import GradientAscent
from scoresde.estimators.mixture.svi import StochasticVariational
from scoresde.families import Family

METHODS = Family(
    "mixture method",
    {
        "em": EM,
        "gradient": GradientAscent,
        "vb": VariationalBayes,
        "svi": StochasticVariational,
    },
)
