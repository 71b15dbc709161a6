"""Nearest-training-distance ratio: whether samples are copies of the training data."""

from __future__ import annotations

import numpy as np

from scoresde.compare.distances import blocks
from scoresde.compare.intervals import (
    Estimate,
    check_options,
    exponentials,
    interval,
    weights_from,
)
from scoresde.compare.sample_set import SampleSet
from scoresde.errors import DataError


def nearest_distance_ratio(
    generated: object,
    train: object,
    test: object,
    *,
    seed: int = 0,
    resamples: int = 200,
    confidence: float = 0.95,
) -> Estimate:
    r"""median_i min_k |g_i - x_k| over median_j min_k |y_j - x_k|, with its bootstrap interval.

    generated g, train x and test y: dumps, sample sets or arrays (n, *event). About 1: the samples
    lie as far from the training data as new data do; near 0: they are copies of it; well above 1:
    they have left the data. The training set is taken as given, the other two are resampled.

    Raises DataError for unusable samples, for event shapes that differ and for test data of which
    half are training data; OptionError for resamples and confidence out of range.
    """
    check_options(resamples, confidence)
    sets = [
        SampleSet.of(name, source)
        for name, source in (("generated", generated), ("train", train), ("test", test))
    ]
    shapes = {sample.name: sample.event_shape for sample in sets}
    if len(set(shapes.values())) > 1:
        raise DataError(f"event shapes differ: {shapes}; compare samples of one shape")
    ours, known, held_out = (sample.rows for sample in sets)
    medians = []
    for stream, rows in enumerate((ours, held_out)):
        weights = weights_from(exponentials(seed, stream, resamples, len(rows)))
        medians.append(_weighted_median(_nearest(rows, known), weights))
    if not (medians[1] > 0.0).all():
        raise DataError(
            "half or more of the test data are also training data (nearest distance 0); "
            "give test data that were held out"
        )
    return interval(medians[0] / medians[1], confidence, signed=False)


def _nearest(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """min_j |x_i - y_j|, (n,)."""
    return np.concatenate([block.min(axis=1) for _, block in blocks(x, y)])


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """values (n,), weights (R, n) -> (R,): midway between the lower and the upper median."""
    order = np.argsort(values, kind="stable")
    values, below = values[order], np.cumsum(weights[:, order], axis=1)
    # Half of the weight is reached exactly at equal weights of an even count; rounding must not
    # decide on which side of it the middle falls.
    slack = 1e-12
    lower = (below < 0.5 - slack).sum(axis=1)
    upper = (below <= 0.5 + slack).sum(axis=1)
    return 0.5 * (values[lower] + values[np.minimum(upper, len(values) - 1)])
