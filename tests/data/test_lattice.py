"""Noise on repeated values: cells tile the line, the value comes back, the spread is uniform."""

import numpy as np
import pytest
from scipy.stats import kstest

from scoresde.data.lattice import dequantised, is_discrete

RNG = np.random.default_rng(0)


def spread(column, training=None, seed=0, place=0):
    training = column if training is None else training
    return dequantised(column, training, np.arange(len(column)), place, seed)


def test_on_an_even_lattice_the_noise_is_uniform_and_one_spacing_wide():
    column = np.repeat(np.arange(5.0) * 0.25, 4000)
    noise = (spread(column) - column) / 0.25
    assert np.abs(noise).max() < 0.5
    assert kstest(noise + 0.5, "uniform").pvalue > 1e-4
    # each value on its own: mean 0, standard error 1/sqrt(12 n)
    means = noise.reshape(5, -1).mean(1)
    assert np.abs(means).max() < 5 / np.sqrt(12 * 4000)


def test_cells_of_an_uneven_lattice_tile_the_line():
    lattice = np.array([-3.0, 0.0, 1.0, 5.0])
    x = spread(np.repeat(lattice, 5000)).reshape(4, -1)
    edges = np.array([-4.5, -1.5, 0.5, 3.0, 7.0])  # half-way, and mirrored at the ends
    for cell, low, high in zip(x, edges[:-1], edges[1:], strict=True):
        assert kstest(cell, "uniform", args=(low, high - low)).pvalue > 1e-4


def test_the_nearest_training_value_gives_the_value_back():
    lattice = np.cumsum(RNG.exponential(size=30))
    column = RNG.choice(lattice, size=2000)
    column[:30] = lattice
    x = spread(column)
    nearest = lattice[np.abs(x[:, None] - lattice).argmin(1)]
    np.testing.assert_array_equal(nearest, column)


def test_a_row_keeps_its_noise_whatever_stands_beside_it():
    column = RNG.integers(0, 4, size=50).astype(float)
    whole = spread(column)
    part = dequantised(column[7:20], column, np.arange(7, 20), 0, 0)
    np.testing.assert_array_equal(part, whole[7:20])
    assert not np.array_equal(spread(column, seed=1), whole)
    assert not np.array_equal(spread(column, place=1), whole)


def test_values_that_training_never_saw_lie_between_their_neighbours():
    x = spread(np.array([2.0, 9.0, -4.0] * 500), np.array([0.0, 1.0, 3.0])).reshape(-1, 3)
    for cell, low, high in zip(x.T, (1.5, 6.0, -6.0), (2.5, 12.0, -2.0), strict=True):
        assert low < cell.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < cell.max() < high


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (RNG.normal(size=500), False),
        (RNG.normal(size=5), False),
        (RNG.integers(0, 49, size=500), True),
        (np.arange(500) // 5, False),  # five of each: a hundred values
        (np.r_[np.zeros(26), RNG.normal(size=474)], True),
        (np.r_[np.zeros(25), RNG.normal(size=475)], False),
        (np.array([1.0, 1.0, 2.0, 3.0]), False),
        (np.array([1.0, 1.0, 1.0, 3.0]), True),
    ],
)
def test_what_counts_as_discrete(column, expected):
    assert is_discrete(column) is expected
