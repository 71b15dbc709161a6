"""Intervals: coverage of known truths, and the laws of the weights."""

import numpy as np
import pytest
from scipy import stats

from scoresde.compare.energy import EnergyDistance
from scoresde.compare.frechet import GaussianFrechet
from scoresde.compare.intervals import (
    check_options,
    exponentials,
    interval,
    split_weights,
    weights_from,
)
from scoresde.compare.paired import PairedRMS
from scoresde.compare.sliced import SlicedWasserstein
from scoresde.errors import OptionError


def hits(metric, draw, truth, repetitions, paired=False, resamples=200):
    """How many of the 95 % intervals of seeded repetitions hold the truth."""
    found = 0
    for seed in range(repetitions):
        x, y = draw(np.random.default_rng([77, seed]))
        e = exponentials(seed, 0, resamples, len(x))
        f = e if paired else exponentials(seed, 1, resamples, len(y))
        a, b = metric.side(x, weights_from(e)), metric.side(y, weights_from(f))
        estimate = interval(metric.between(a, b), 0.95, signed=metric.signed)
        found += estimate.lo <= truth <= estimate.hi
    return found


def assert_covers(found, repetitions):
    """Not to be told from 95 % at level 1e-3, two-sided, by the binomial law."""
    assert stats.binomtest(found, repetitions, 0.95).pvalue > 1e-3


def paired_errors(rng):
    x = rng.normal(size=(80, 4))
    return x, x + 0.1 * rng.normal(size=(80, 4))


def test_paired_rms_interval_covers():
    assert_covers(hits(PairedRMS(), paired_errors, 0.1, 400, paired=True), 400)


def test_coverage_test_can_fail():
    found = hits(PairedRMS(), paired_errors, 0.103, 400, paired=True)
    with pytest.raises(AssertionError):
        assert_covers(found, 400)


def test_sliced_w1_interval_of_shifted_gaussians_covers():
    def draw(rng):
        return rng.normal(size=(60, 1)), rng.normal(size=(90, 1)) + 3.0

    assert_covers(hits(SlicedWasserstein(), draw, 3.0, 300), 300)


def test_interval_of_paired_samples_knows_that_they_are_paired():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(100, 2))
    y = x + np.array([1.0, 0.0]) + 0.01 * rng.normal(size=(100, 2))
    metric, e = SlicedWasserstein(projections=16), exponentials(0, 0, 200, 100)
    a, b = metric.side(x, weights_from(e)), metric.side(y, weights_from(e))
    c = metric.side(y, weights_from(exponentials(0, 1, 200, 100)))
    together, apart = (interval(metric.between(a, z), 0.95, signed=False) for z in (b, c))
    assert together.value == apart.value
    assert together.hi - together.lo < 0.1 * (apart.hi - apart.lo)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "shift"),
    [(EnergyDistance(), 2.0), (GaussianFrechet(), 2.0), (SlicedWasserstein(projections=8), 2.0)],
    ids=["energy", "frechet", "sliced-w1"],
)
def test_interval_covers_the_expected_value_of_the_estimate(metric, shift):
    def draw(rng):
        x, y = rng.normal(size=(2, 100, 3))
        return x, y + np.array([shift, 0.0, 0.0])

    independent = np.random.default_rng(1)
    expected = np.mean([metric(*draw(independent)) for _ in range(4000)])
    assert_covers(hits(metric, draw, expected, 600), 600)


@pytest.mark.slow
@pytest.mark.parametrize(
    "metric",
    [EnergyDistance(), GaussianFrechet(), SlicedWasserstein(projections=8)],
    ids=["energy", "frechet", "sliced-w1"],
)
def test_interval_is_conservative_where_the_laws_agree(metric):
    independent = np.random.default_rng(2)
    expected = np.mean([metric(*independent.normal(size=(2, 80, 3))) for _ in range(4000)])
    found = hits(metric, lambda rng: rng.normal(size=(2, 80, 3)), expected, 300)
    assert found >= 0.95 * 300


def test_interval_is_centred_on_replicates_and_keeps_the_value():
    rng = np.random.default_rng(0)
    draws = 7.0 + rng.normal(size=2000)  # replicates far above the value: a biased estimate
    estimate = interval(np.concatenate([[5.0], draws]), 0.95, signed=True)
    assert estimate.value == 5.0
    assert estimate.lo == pytest.approx(5.0 - 1.96, abs=0.15)
    assert estimate.hi == pytest.approx(5.0 + 1.96, abs=0.15)
    wide = interval(np.concatenate([[1.0], draws]), 0.95, signed=False)
    assert wide.lo == 0.0
    assert interval(np.array([2.5]), 0.95, signed=False).lo is None


def test_weights_are_those_of_the_bayesian_bootstrap():
    n = 9
    w = weights_from(exponentials(4, 0, 40000, n))
    assert w[0] == pytest.approx(np.full(n, 1 / n), rel=1e-14)
    assert w.sum(axis=1) == pytest.approx(1.0, rel=1e-12)
    # Dirichlet(1, …, 1): variance (n - 1) / (n^2 (n + 1)), covariance -1 / (n^2 (n + 1)).
    covariance = np.cov(w[1:].T) * n * n * (n + 1)
    assert covariance == pytest.approx(n * np.eye(n) - 1.0, abs=0.5)
    subset = weights_from(exponentials(4, 0, 40000, n)[:, 2:6])
    assert np.var(subset[1:, 0]) == pytest.approx(3.0 / (16 * 5), rel=0.05)


def test_unbiased_energy_replicates_are_centred_on_the_estimate():
    x = np.random.default_rng(8).normal(size=(12, 2))
    metric = EnergyDistance()
    within = metric.side(x, weights_from(exponentials(1, 0, 20000, 12))).within
    error = np.std(within[1:]) / 20000**0.5
    # Normalised by each replicate's own 1 - sum w^2; the ratio's own bias is O(1/n^2).
    assert within[1:].mean() == pytest.approx(within[0], abs=4.0 * error + within[0] / 12**2)


def test_splits_are_disjoint_and_complete():
    a, b = split_weights(0, 3, 50, 11, 4)
    assert ((a > 0) ^ (b > 0)).all()
    assert ((a > 0).sum(axis=1) == 4).all()
    assert a.sum(axis=1) == pytest.approx(1.0)
    assert b.sum(axis=1) == pytest.approx(1.0)
    assert len(np.unique(a, axis=0)) > 40


@pytest.mark.parametrize(
    ("resamples", "confidence", "words"),
    [(39, 0.95, "needs 40"), (200, 1.0, "between 0 and 1"), (200, float("nan"), "between")],
)
def test_options_out_of_range_are_refused(resamples, confidence, words):
    with pytest.raises(OptionError, match=words):
        check_options(resamples, confidence)
    check_options(40, 0.95)
