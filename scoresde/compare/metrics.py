"""What every metric offers, and the family of them."""

from __future__ import annotations

from scoresde.compare.energy import EnergyDistance
from scoresde.compare.frechet import GaussianFrechet
from scoresde.compare.metric import Metric
from scoresde.compare.paired import PairedRMS
from scoresde.compare.sliced import SlicedWasserstein
from scoresde.families import Family

__all__ = ["METRICS", "Metric"]

METRICS = Family(
    "metric",
    {
        "sliced-w1": SlicedWasserstein,
        "energy": EnergyDistance,
        "frechet": GaussianFrechet,
        "paired-rms": PairedRMS,
    },
)
