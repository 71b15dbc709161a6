"""Comparison of samples with a reference: distances, intervals, floors, table, JSON and picture.

Reads dumps and arrays only: what judges does not import what it judges.
"""

from scoresde.compare.comparison import Comparison, Entry, Floor, Row, compare
from scoresde.compare.intervals import Estimate
from scoresde.compare.metrics import METRICS, Metric
from scoresde.compare.nearest import nearest_distance_ratio
from scoresde.compare.sample_set import SampleSet

__all__ = [
    "METRICS",
    "Comparison",
    "Entry",
    "Estimate",
    "Floor",
    "Metric",
    "Row",
    "SampleSet",
    "compare",
    "nearest_distance_ratio",
]
