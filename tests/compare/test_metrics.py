"""Metrics against closed forms, against scipy, and against each other's symmetries."""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

from scoresde.compare.distances import blocks, distances
from scoresde.compare.energy import EnergyDistance
from scoresde.compare.frechet import GaussianFrechet, Moments, square_root
from scoresde.compare.metrics import METRICS
from scoresde.compare.paired import PairedRMS
from scoresde.compare.sliced import SlicedWasserstein
from scoresde.errors import OptionError

V_ENERGY = EnergyDistance(unbiased=False)
TWO_SAMPLE = {
    "sliced-w1": SlicedWasserstein(projections=20), "energy": EnergyDistance(),
    "energy-v": V_ENERGY, "frechet": GaussianFrechet(),
}  # fmt: skip


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.mark.parametrize("metric", TWO_SAMPLE.values(), ids=TWO_SAMPLE)
def test_symmetric(metric, rng):
    x, y = rng.normal(size=(40, 3, 2)), rng.normal(size=(29, 3, 2)) ** 3
    assert metric(x, y) == pytest.approx(metric(y, x), rel=1e-12)


@pytest.mark.parametrize("name", ["sliced-w1", "energy-v", "frechet"])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_zero_for_identical_samples_and_positive_otherwise(name, offset, rng):
    x = offset + rng.normal(size=(50, 20))
    metric = TWO_SAMPLE[name]
    assert abs(metric(x, x.copy())) < 1e-9
    assert metric(x, x + 0.1) > 1e-3


def test_sliced_w1_in_one_dimension_is_scipys_for_unequal_sizes(rng):
    x, y = rng.normal(size=37), rng.exponential(size=101)
    expected = stats.wasserstein_distance(x, y)
    assert SlicedWasserstein()(x[:, None], y[:, None]) == pytest.approx(expected, rel=1e-12)


def test_sliced_w1_under_weights_is_scipys(rng):
    x, y, metric = rng.normal(size=(30, 1)), rng.normal(size=(17, 1)), SlicedWasserstein()
    w, v = rng.dirichlet(np.ones(30), 5), rng.dirichlet(np.ones(17), 5)
    ours = metric.between(metric.side(x, w), metric.side(y, v))
    for value, a, b in zip(ours, w, v, strict=True):
        expected = stats.wasserstein_distance(x[:, 0], y[:, 0], a, b)
        assert value == pytest.approx(expected, rel=1e-12)


def test_sliced_w1_of_a_shift_is_the_mean_projected_shift(rng):
    metric, shift = SlicedWasserstein(projections=50), np.array([0.3, -1.0, 2.0])
    x = rng.normal(size=(64, 3))
    expected = np.abs(metric.directions(3) @ shift).mean()
    assert metric(x, x + shift) == pytest.approx(expected, rel=1e-12)
    assert SlicedWasserstein()(x[:, :1], x[:, :1] - 0.7) == pytest.approx(0.7, rel=1e-12)


def test_sliced_directions_are_uniform_on_the_sphere():
    u = SlicedWasserstein(projections=20000).directions(8)
    assert np.linalg.norm(u, axis=1) == pytest.approx(1.0, rel=1e-12)
    # E|u_1| = Gamma(d/2) / (sqrt(pi) Gamma((d+1)/2)): 0.2910 at d = 8; 4 standard errors.
    assert np.abs(u[:, 0]).mean() == pytest.approx(0.29103, abs=4 * 0.2 / 20000**0.5)
    assert np.abs(np.cov(u.T) * 8 - np.eye(8)).max() < 0.05


def test_energy_v_form_in_one_dimension_is_scipys_squared(rng):
    x, y = rng.normal(size=37), rng.exponential(size=101)
    expected = stats.energy_distance(x, y) ** 2
    assert V_ENERGY(x[:, None], y[:, None]) == pytest.approx(expected, rel=1e-10)


def test_energy_forms_differ_by_the_pairs_of_a_row_with_itself(rng):
    x, y = rng.normal(size=(30, 4)), rng.normal(size=(20, 4)) + 1.0
    bias = sum(cdist(z, z).sum() / (len(z) ** 2 * (len(z) - 1)) for z in (x, y))
    assert V_ENERGY(x, y) - EnergyDistance()(x, y) == pytest.approx(bias, rel=1e-9)


def test_energy_u_form_has_mean_zero_where_the_laws_agree():
    rng, metric = np.random.default_rng(5), EnergyDistance()
    values = [metric(rng.normal(size=(6, 2)), rng.normal(size=(9, 2))) for _ in range(600)]
    assert abs(np.mean(values)) < 4.0 * np.std(values) / 600**0.5
    biased = [v + 0.4 for v in values]  # the V form's bias here is about 0.5
    assert abs(np.mean(biased)) > 4.0 * np.std(values) / 600**0.5


def test_energy_between_paired_samples_leaves_out_the_pairs():
    rng, metric = np.random.default_rng(6), EnergyDistance()
    uniform, ids = np.full((1, 8), 1 / 8), np.arange(8)
    values, exact = [], []
    for _ in range(600):
        x = rng.normal(size=(8, 2))
        y = x + 0.1 * rng.normal(size=(8, 2))
        a, b = metric.side(x, uniform), metric.side(y, uniform)
        values.append(metric.between(a, b, (ids, ids))[0])
        exact.append(metric.between(a, a, (ids, ids))[0])
    assert np.abs(exact).max() < 1e-12
    # The laws N(0, I) and N(0, 1.01 I) are 2e-5 apart; without the pairs' removal: -0.4.
    assert abs(np.mean(values)) < 2e-5 + 4.0 * np.std(values) / 600**0.5


def test_energy_is_invariant_to_rotation_and_translation(rng):
    x, y = rng.normal(size=(40, 30)), rng.normal(size=(25, 30)) + 0.2
    q = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    moved = EnergyDistance()(x @ q + 3.0, y @ q + 3.0)
    assert moved == pytest.approx(EnergyDistance()(x, y), rel=1e-9)


def test_distances_keep_their_digits_for_close_rows(rng):
    x = rng.normal(size=(60, 40)) + 50.0
    y = np.concatenate([x[:30] + 1e-9 * rng.normal(size=(30, 40)), x[:20], x[5:10] + 1e-4])
    np.testing.assert_allclose(distances(x, y), cdist(x, y), rtol=1e-9)
    crowd = 50.0 + 1e-8 * rng.normal(size=(300, 40))
    crowd[:150] += 1.0
    np.testing.assert_allclose(distances(crowd, crowd), cdist(crowd, crowd), rtol=1e-9)


def test_blocks_cover_all_rows_once(monkeypatch, rng):
    monkeypatch.setattr("scoresde.compare.distances._BLOCK", 50)
    x, y = rng.normal(size=(23, 3)), rng.normal(size=(11, 3))
    parts = list(blocks(x, y))
    assert len(parts) == 6
    assert np.concatenate([part for _, part in parts]) == pytest.approx(cdist(x, y), rel=1e-12)
    assert EnergyDistance()(x, y) == pytest.approx(
        2 * cdist(x, y).mean() - cdist(x, x).sum() / (23 * 22) - cdist(y, y).sum() / (11 * 10),
        rel=1e-10,
    )


def moments(mean, covariance):
    c = np.asarray(covariance, dtype=float)[None]
    return Moments(np.asarray(mean, dtype=float)[None], square_root(c), np.array([np.trace(c[0])]))


def test_frechet_of_commuting_covariances_is_the_distance_of_their_roots(rng):
    q = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    a, b = rng.random(6), np.array([1.0, 2.0, 0.5, 0.0, 0.0, 3.0])  # b is singular
    a[3] = 0.0
    m = rng.normal(size=6)
    expected = m @ m + np.square(np.sqrt(a) - np.sqrt(b)).sum()
    ours = GaussianFrechet().between(
        moments(m, q @ np.diag(a) @ q.T), moments(np.zeros(6), q @ np.diag(b) @ q.T)
    )
    assert ours[0] == pytest.approx(expected, rel=1e-12)


def test_frechet_in_two_dimensions_is_the_closed_form_by_determinants(rng):
    # For 2 x 2: tr (AB)^{1/2} = (tr AB + 2 (det A det B)^{1/2})^{1/2}, by Cayley-Hamilton.
    f, g = rng.normal(size=(2, 2, 2))
    a, b = f @ f.T, g @ g.T
    root = np.sqrt(np.trace(a @ b) + 2.0 * np.sqrt(np.linalg.det(a) * np.linalg.det(b)))
    ours = GaussianFrechet().between(moments([1, 2], a), moments([0, 0], b))
    assert ours[0] == pytest.approx(5.0 + np.trace(a + b) - 2.0 * root, rel=1e-12)


def test_frechet_takes_unbiased_moments_and_ignores_constant_pixels(rng):
    x, y = rng.normal(size=(30, 3)), 2.0 * rng.normal(size=(40, 3)) + 1.0
    expected = GaussianFrechet().between(
        moments(x.mean(0), np.cov(x.T)), moments(y.mean(0), np.cov(y.T))
    )[0]
    pad = [np.pad(z, ((0, 0), (0, 5)), constant_values=-1.0) for z in (x, y)]
    assert GaussianFrechet()(x, y) == pytest.approx(expected, rel=1e-12)
    assert GaussianFrechet()(*pad) == pytest.approx(expected, rel=1e-9)


def test_frechet_of_shifted_and_scaled_samples(rng):
    x = rng.normal(size=(50, 4))
    shift = np.array([1.0, 0.0, -2.0, 0.5])
    # fewer rows than coordinates: the covariance is singular, the shift is still exact
    few = rng.normal(size=(5, 30))
    assert GaussianFrechet()(x, x + shift) == pytest.approx(shift @ shift, rel=1e-9)
    assert GaussianFrechet()(few, few + 0.1) == pytest.approx(0.3, rel=1e-9)
    centred = x - x.mean(axis=0)
    expected = 4.0 * np.trace(np.cov(centred.T))  # |3 - 1|^2 tr C
    assert GaussianFrechet()(centred, 3.0 * centred) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["sliced-w1", "energy", "frechet"])
def test_uniform_weights_on_a_subset_are_the_subset(name, rng):
    metric = TWO_SAMPLE[name]
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(15, 3)) + 0.5
    w = np.zeros((1, 20))
    w[0, 4:13] = 1.0 / 9.0
    ours = metric.between(metric.side(x, w), metric.side(y, np.full((1, 15), 1 / 15)))[0]
    assert ours == pytest.approx(metric(x[4:13], y), rel=1e-9)


def test_paired_rms_is_exact(rng):
    x = rng.normal(size=(7, 2, 3))
    y = x.copy()
    y[2, 1, 0] += 3.0
    y[5, 0, 2] -= 4.0
    assert PairedRMS()(x, y) == pytest.approx(5.0 / 42**0.5, rel=1e-12)
    assert PairedRMS()(x, x) == 0.0
    assert PairedRMS()(1e-200 * x, 3e-200 * x) == pytest.approx(2e-200 * np.sqrt((x**2).mean()))


def test_family_lists_every_metric_and_options_are_checked():
    assert METRICS.names() == ["sliced-w1", "energy", "frechet", "paired-rms"]
    assert all(METRICS.name_of(METRICS[name]()) == name for name in METRICS.names())
    with pytest.raises(OptionError, match="projections is at least 1, got 0"):
        SlicedWasserstein(projections=0)
    with pytest.raises(OptionError, match="interval_dim"):
        GaussianFrechet(interval_dim=-1)
