"""Laws of the toy densities, against moments and supports worked out from their formulas."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from scoresde.data import DATASETS, EightGaussians, Toy
from scoresde.errors import OptionError

TOYS = [name for name, member in DATASETS.members.items() if issubclass(member, Toy)]
PI = np.pi
N = 20_000

# E[a], E[b], E[a^2 + b^2] of a point (a, b), integrated by hand from the formulas
MOMENTS = {
    "8gaussians": (0.0, 0.0, (16 + 2 * 0.5**2) / 1.414**2),
    "2spirals": (0.0, 0.0, (4.5 * PI**2 + 7 / 6 + 2 / (3 * PI) - 4 / (9 * PI**2)) / 9 + 0.02),
    "checkerboard": (0.0, 0.0, 2 * 8**2 / 12),
    "rings": (0.0, 0.0, (3**2 + 2.25**2 + 1.5**2 + 0.75**2) / 4 + 2 * 0.08**2),
    "circles": (0.0, 0.0, 9 * ((1 + 0.25) / 2 + 2 * 0.08**2)),
    "moons": (0.0, 0.3, 5.34 - 4 / PI + 2 * 0.2**2),
    "swissroll": (2 / 5, 2 / (15 * PI), ((4.5**3 - 1.5**3) * PI**2 / 9 + 2) / 25),
    "pinwheel": (0.0, 0.0, 4 * (1 + 0.3**2 + 0.1**2)),
    "line": (0.0, 0.0, 2 * 5**2 / 12),
    "cos": (0.0, 0.0, 5**2 / 12 + 2.5**2 * (0.5 - np.sin(5.0) / 10)),
}


def raw(name, seed=0):
    data = DATASETS[name](n_train=N, seed=seed).load()
    return data.scaling.undo(data.train.double()).numpy()


def test_every_toy_has_its_moments_here():
    assert MOMENTS.keys() == set(TOYS)


@pytest.mark.parametrize("name", TOYS)
def test_moments(name):
    x = raw(name)
    values = np.stack([x[:, 0], x[:, 1], np.square(x).sum(1)])
    error = np.abs(values.mean(1) - MOMENTS[name])
    assert (error <= 4 * values.std(1) / np.sqrt(N) + 1e-6).all(), (values.mean(1), MOMENTS[name])


@pytest.mark.parametrize("name", TOYS)
def test_scaled_to_unit_deviation_by_the_training_split(name):
    data = DATASETS[name](n_train=500, n_test=300).load()
    assert (data.name, data.event_shape) == (name, (2,))
    assert (len(data.train), len(data.test)) == (500, 300)
    assert data.train.dtype == data.test.dtype == torch.float32
    assert isinstance(data.scaling.scale, float)  # one scale: round stays round
    assert data.train.double().mean(0).abs().max() < 1e-6
    assert abs(data.std - 1.0) < 1e-6
    assert abs(data.test.double().std() - 1.0) < 0.2


@pytest.mark.parametrize("name", TOYS)
def test_the_seed_fixes_both_splits_and_neither_depends_on_the_other_s_size(name):
    member = DATASETS[name]
    one, again = (member(n_train=100, n_test=50, seed=3).load() for _ in range(2))
    assert torch.equal(one.train, again.train)
    assert torch.equal(one.test, again.test)
    other_size = member(n_train=100, n_test=70, seed=3).load()
    assert torch.equal(one.train, other_size.train)
    other_seed = member(n_train=100, n_test=50, seed=4).load()
    assert not torch.equal(one.train, other_seed.train)
    assert not torch.isin(one.train[:, 0], one.test[:, 0]).any()


def test_the_eight_gaussians_follow_their_mixture():
    weights, means, std = EightGaussians().mixture()
    torch.testing.assert_close(means.norm(dim=1), torch.full((8,), 4 / 1.414).double())
    assert abs(std - 0.35360679) < 1e-7
    x = raw("8gaussians")
    for k in np.random.default_rng(0).normal(size=(6, 2)):
        # characteristic function of the mixture: sum w exp(i k.m - s^2 k^2 / 2)
        exact = (weights.numpy() * np.exp(1j * means.numpy() @ k)).sum()
        exact *= np.exp(-0.5 * std**2 * (k @ k))
        wave = np.exp(1j * x @ k)
        for part in (np.real, np.imag):
            error = abs(part(wave).mean() - part(exact))
            assert error <= 4 * part(wave).std() / np.sqrt(N)


def test_the_mixture_in_model_space_is_the_scaled_one():
    toy = EightGaussians(n_train=100)
    scaling = toy.load().scaling
    _, means, std = toy.mixture()
    weights, scaled_means, scaled_std = toy.mixture(scaling)
    assert weights.sum() == 1.0
    torch.testing.assert_close(scaling.undo(scaled_means), means)
    assert abs(scaled_std * scaling.scale - std) < 1e-15


def test_the_checkerboard_fills_its_eight_cells_evenly():
    x = raw("checkerboard")
    cell = np.floor(x / 2 + 1e-6).astype(int)
    assert (np.abs(x) <= 4 + 1e-5).all()
    inside = (np.abs(x / 2 - np.round(x / 2)) > 1e-6).all(1)  # float32 blurs the edges
    assert (cell[inside].sum(1) % 2 == 0).all()
    _, counts = np.unique(cell[inside], axis=0, return_counts=True)
    assert len(counts) == 8
    assert (np.abs(counts - N / 8) <= 4 * np.sqrt(N * 7 / 64)).all()
    assert kstest((x[:, 1] / 2) % 1.0, "uniform").pvalue > 1e-4


@pytest.mark.parametrize(
    ("name", "radii", "noise"),
    [("rings", (3.0, 2.25, 1.5, 0.75), 0.08), ("circles", (3.0, 1.5), 0.24)],
)
def test_circles_have_their_radii_width_and_numbers(name, radii, noise):
    x = raw(name)
    radius = np.hypot(*x.T)
    nearest = np.abs(radius[:, None] - radii).argmin(1)
    off = radius - np.array(radii)[nearest]
    counts = np.bincount(nearest)
    # width: within sampling error plus the bend of the circle, (noise / radius)^2 / 2
    bend = 0.5 * (noise / min(radii)) ** 2
    assert abs(off.var() / noise**2 - 1) <= 4 * np.sqrt(2 / N) + bend
    assert (np.abs(counts - N / len(radii)) <= 0.005 * N).all()


def test_the_line_and_the_sine_are_exact_curves():
    a, b = raw("line").T
    np.testing.assert_allclose(a, b, atol=1e-6)
    assert kstest(a / 5 + 0.5, "uniform").pvalue > 1e-4
    a, b = raw("cos").T
    np.testing.assert_allclose(b, 2.5 * np.sin(a), atol=2e-6)
    assert kstest(a / 5 + 0.5, "uniform").pvalue > 1e-4


def test_the_moons_lie_along_two_half_circles():
    a, b = ((raw("moons") - (-1.0, -0.2)) / 2.0).T
    upper = np.hypot(a, b) - 1.0
    lower = np.hypot(a - 1.0, b - 0.5) - 1.0
    upper_nearer = np.abs(upper) < np.abs(lower)
    off = np.where(upper_nearer, upper, lower)
    # both full circles pass near each other's arcs, so the width is only about the noise
    assert 0.09 < off.std() < 0.105
    assert a.min() > -1.6
    assert a.max() < 2.6
    assert np.corrcoef(b, upper_nearer)[0, 1] > 0.4


def test_the_spirals_turn_with_their_radius_the_right_way():
    x = 3.0 * raw("2spirals")
    radius, angle = np.hypot(*x.T), np.arctan2(x[:, 1], -x[:, 0])
    outer = radius > 4.0  # where U'/2 and the noise turn a point by little
    right = np.cos(2 * (angle - radius))[outer].mean()  # twice: both arms fall together
    wrong = np.cos(2 * (angle + radius))[outer].mean()
    assert right > 0.6
    assert abs(wrong) < 0.2


def test_the_pinwheel_bends_the_right_way():
    x = raw("pinwheel") / 2.0
    f_0, angle = np.hypot(*x.T), np.arctan2(x[:, 1], x[:, 0])
    # rows times [[cos, -sin], [sin, cos]] turn clockwise
    right = np.cos(5 * (angle + 0.25 * np.exp(f_0))).mean()
    wrong = np.cos(5 * (angle - 0.25 * np.exp(f_0))).mean()
    assert right > 0.8
    assert abs(wrong) < 0.3


def test_the_swiss_roll_winds_anticlockwise_from_its_inner_end():
    x = 5.0 * raw("swissroll")
    t, angle = np.hypot(*x.T), np.arctan2(x[:, 1], x[:, 0])
    assert np.cos(angle - t).mean() > np.exp(-0.5) - 0.02  # noise of 1 along the radius
    assert abs(np.cos(angle + t).mean()) < 0.1


@pytest.mark.parametrize(
    "options", [{"n_train": 1}, {"n_test": 0}, {"seed": -1}, {"n_train": 10.0}, {"seed": True}]
)
def test_options_out_of_range(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        EightGaussians(**options)
