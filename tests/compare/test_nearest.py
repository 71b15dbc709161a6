"""The nearest-training-distance ratio."""

import numpy as np
import pytest

from scoresde.compare import nearest_distance_ratio
from scoresde.errors import DataError


@pytest.fixture
def line():
    """Training data on a grid of step 1, where distances are known."""
    return np.arange(100.0)[:, None]


def test_is_the_ratio_of_the_median_distances(line):
    generated = line[:8] + np.array([0.1, 0.2, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4])[:, None]
    test = line[50:59] + np.array([0.1, 0.1, 0.1, 0.4, 0.4, 0.4, 0.4, 0.5, 0.5])[:, None]
    estimate = nearest_distance_ratio(generated, line, test)
    assert estimate.value == pytest.approx(0.25 / 0.4, rel=1e-12)
    assert estimate.lo <= estimate.value <= estimate.hi


def test_tells_copies_from_new_samples():
    rng = np.random.default_rng(2)
    train, test, fresh = rng.normal(size=(3, 300, 20))
    copies = train[:100] + 1e-6 * rng.normal(size=(100, 20))
    assert nearest_distance_ratio(train[:50], train, test).value == 0.0
    assert nearest_distance_ratio(copies, train, test).value < 1e-5
    ratio = nearest_distance_ratio(fresh, train, test)
    assert ratio.lo < 1.0 < ratio.hi
    assert ratio.hi - ratio.lo < 0.2


def test_does_not_depend_on_row_order():
    rng = np.random.default_rng(3)
    train, test, new = rng.normal(size=(3, 60, 4))
    expected = nearest_distance_ratio(new, train, test)
    assert nearest_distance_ratio(new[::-1], train[::-1], test[::-1]) == expected


def test_refuses_test_data_that_were_trained_on(line):
    with pytest.raises(DataError, match="held out"):
        nearest_distance_ratio(line + 0.1, line, line[:20])
    with pytest.raises(DataError, match="event shapes differ"):
        nearest_distance_ratio(line, line, np.zeros((5, 2)))
