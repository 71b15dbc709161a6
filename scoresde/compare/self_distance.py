"""The floor: how far apart samples of one law lie by a metric, at the sizes of a comparison."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scoresde.compare.intervals import (
    Estimate,
    exponentials,
    interval,
    split_weights,
    weights_from,
)
from scoresde.compare.metric import Metric
from scoresde.compare.sample_set import SampleSet

SECOND_STREAM, SUBSET_STREAM, SPLIT_STREAM = 2, 3, 4
SPLITS = 40


@dataclass(frozen=True)
class Floor:
    """A reference-against-reference distance, and the two sizes at which it was taken."""

    estimate: Estimate
    sizes: tuple[int, int]


def floors(
    metrics: dict[str, Metric],
    reference: SampleSet,
    sides: dict[str, object],
    second: SampleSet | None,
    size: int,
    *,
    seed: int,
    resamples: int,
    confidence: float,
) -> dict[str, Floor]:
    """Floors, by metric, for a candidate of `size` rows against the N rows of the reference.

    With a second reference of M rows: min(size, M) of them at random against all N, with the
    interval that a candidate would have. This is the fair floor where M >= size; a smaller second
    reference overstates it a little.

    Without: the mean over 40 random splits of the reference into min(size, N // 2) rows and the
    rest, and the percentiles of the splits (which share rows, so that their spread is not that of
    independent samples). No split is as large as the comparison itself. What a metric shows of
    sampling noise alone grows as the samples shrink: against two samples of N, halves of N show
    about 2^{1/2} times as much by sliced W1, twice as much by Fréchet and by the V form of energy
    distance, and none by its U form, whose mean is 0 at any size. Such a floor is too high rather
    than too low: a candidate below it is not better than the truth.
    """
    if second is not None:
        size = min(size, len(second))
        rng = np.random.default_rng([seed, SUBSET_STREAM])
        chosen = np.sort(rng.permutation(len(second))[:size])
        e = exponentials(seed, SECOND_STREAM, resamples, size)
        weights = weights_from(e)
        found = {}
        for name, metric in metrics.items():
            distance = metric.between(sides[name], metric.side(second.rows[chosen], weights))
            estimate = interval(distance, confidence, signed=metric.signed)
            found[name] = Floor(estimate, (size, len(reference)))
        return found
    count = len(reference)
    first = min(size, count // 2)
    if min(first, count - first) < 2:
        return {}  # a part of one row has no spread to measure
    parts = split_weights(seed, SPLIT_STREAM, SPLITS, count, first)
    found = {}
    for name, metric in metrics.items():
        estimate = _over_splits(metric, reference.rows, parts, confidence)
        found[name] = Floor(estimate, (first, count - first))
    return found


def _over_splits(
    metric: Metric, rows: np.ndarray, parts: tuple[np.ndarray, np.ndarray], confidence: float
) -> Estimate:
    distance = metric.between(*(metric.side(rows, weights) for weights in parts))
    tail = 0.5 * (1.0 - confidence)
    lo, hi = np.quantile(distance, [tail, 1.0 - tail])
    return Estimate(float(distance.mean()), float(lo), float(hi))
