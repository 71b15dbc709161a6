"""Laws of noise-free ascent and of the modes that it finds."""

import math

import numpy as np
import pytest
import torch

from scoresde.densities import KDE, Gaussian, GaussianMixture, MixtureOf, Product
from scoresde.errors import CapabilityError, DataError, NonFiniteError, OptionError
from scoresde.langevin import ascend, modes
from scoresde.processes import CLEAN, NoiseLevel, VPLinear
from scoresde.score import ExactScore, LogDensity, ScoreModel

TOLERANCE = 1e-8
RNG = np.random.default_rng(3)
WELLS = GaussianMixture(
    means=RNG.uniform(-8, 8, (5, 3)),
    covariances=RNG.uniform(0.05, 0.4, 5),
    weights=[1, 2, 3, 4, 5],
)


def draws(density, n: int = 40) -> torch.Tensor:
    return density.sample(torch.arange(n), 2)


class ScoreAlone(ScoreModel):
    """A score without its log-density, as a network's."""

    kind = "score"

    def __init__(self, density):
        self.density, self.event_shape = density, density.event_shape

    def forward(self, x, level):
        return self.density.score(x, level.alpha, level.sigma)


LAWS = {
    "wells": WELLS,
    "diagonal": GaussianMixture(
        means=RNG.standard_normal((4, 2)) * 2, covariances=RNG.uniform(0.01, 1, (4, 2))
    ),
    "image": Gaussian(mean=np.ones((1, 2, 2)), factor=RNG.standard_normal((4, 2)), variance=0.1),
    "parts": MixtureOf(
        parts=(Product(parts=(Gaussian(mean=[0.0], covariance=[[1.0]]),) * 2),
               Gaussian(mean=[5.0, 0.0], covariance=np.eye(2) * 0.2)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("valued", [True, False])
def test_ends_are_stationary_points(law: str, valued: bool) -> None:
    """|s| falls below the tolerance by the local length, and so does autograd's gradient."""
    density = LAWS[law]
    model = ExactScore(density) if valued else ScoreAlone(density)
    ends = ascend(model, draws(density), tolerance=TOLERANCE)
    assert bool(ends.converged.all())
    assert (ends.log_density is not None) == valued
    least = TOLERANCE / ends.length.nan_to_num(nan=math.inf)
    rounding = 64 * 2.3e-16 * ends.x.flatten(1).norm(dim=1) / ends.length.square()
    assert bool((ends.score_norm <= torch.maximum(least, rounding.nan_to_num())).all())
    x = ends.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(density.log_prob(x).sum(), x)
    assert float(gradient.abs().max()) < 1e-5


@pytest.mark.parametrize("law", LAWS)
def test_log_density_never_falls_along_the_way(law: str) -> None:
    density, x = LAWS[law], draws(LAWS[law], 8)
    before = density.log_prob(x)
    for most in (1, 2, 3, 4, 6, 9, 14, 20):
        ends = ascend(ExactScore(density), x, max_iterations=most)
        assert bool((ends.log_density >= before - 1e-13 * (1 + before.abs())).all())
        torch.testing.assert_close(ends.log_density, density.log_prob(ends.x))
        before = ends.log_density


def test_a_mode_stays_put_and_a_stationary_point_is_one_step_away_from_none() -> None:
    model = ExactScore(WELLS)
    ends = ascend(model, draws(WELLS))
    again = ascend(model, ends.x)
    sd = WELLS.covariances.max() ** 0.5
    assert float((again.x - ends.x).norm(dim=1).max()) < 1e-7 * sd
    exact = Gaussian(mean=[1.0, 2.0], covariance=np.eye(2))
    one = ascend(ExactScore(exact), exact.mean[None])
    assert torch.equal(one.x, exact.mean[None])
    assert one.iterations.tolist() == [0]
    assert one.converged.tolist() == [True]


def test_a_start_at_a_mode_to_rounding_is_no_long_way() -> None:
    """|s| is then of the order of 1e-16, and every other state is lower."""
    level = VPLinear().at_log_snr(1.0)
    ends = ascend(ExactScore(WELLS), level.alpha * WELLS.means, level=level)
    assert bool(ends.converged.all())
    assert int(ends.iterations.max()) < 100


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    model, x = ExactScore(WELLS), draws(WELLS, 12)
    together = ascend(model, x)
    for i in (0, 5, 11):
        alone = ascend(model, x[i : i + 1])
        torch.testing.assert_close(alone.x[0], together.x[i], rtol=0, atol=1e-12)
        assert int(alone.iterations[0]) == int(together.iterations[i])


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_units_do_not_matter(unit: float) -> None:
    scaled = GaussianMixture(
        means=WELLS.means * unit, covariances=WELLS.covariances * unit**2, weights=WELLS.weights
    )
    ends = ascend(ExactScore(scaled), draws(WELLS) * unit)
    expected = ascend(ExactScore(WELLS), draws(WELLS))
    assert bool(ends.converged.all())
    torch.testing.assert_close(ends.x / unit, expected.x, rtol=0, atol=1e-6)


def test_an_ill_conditioned_gaussian_is_climbed() -> None:
    sd = torch.logspace(0, -2, 8, dtype=torch.float64)
    law = Gaussian(mean=torch.ones(8), covariance=torch.diag(sd.square()))
    ends = ascend(ExactScore(law), torch.zeros(4, 8, dtype=torch.float64))
    assert bool(ends.converged.all())
    assert float(((ends.x - 1.0) / sd).abs().max()) < 1e-5
    assert int(ends.iterations.max()) < 1000


def test_too_few_iterations_are_told() -> None:
    ends = ascend(ExactScore(WELLS), draws(WELLS), max_iterations=1)
    assert not bool(ends.converged.all())
    assert bool((ends.iterations == 1).all())


def test_a_plain_log_density_is_climbed_by_autograd() -> None:
    """log p = -x^4/4 + x: one stationary point, x = 1."""
    law = LogDensity(lambda x: (x - x**4 / 4).sum(-1), (1,))
    ends = ascend(law, torch.tensor([[-3.0], [0.0], [9.0]], dtype=torch.float64))
    torch.testing.assert_close(ends.x, torch.ones(3, 1, dtype=torch.float64), rtol=0, atol=1e-7)


def test_float32_states_end_within_their_rounding() -> None:
    ends = ascend(ExactScore(WELLS), draws(WELLS).float())
    assert bool(ends.converged.all())
    expected = ascend(ExactScore(WELLS), draws(WELLS)).x
    torch.testing.assert_close(ends.x.double(), expected, rtol=0, atol=1e-3)


def test_bad_starts_and_options_are_named() -> None:
    model = ExactScore(WELLS)
    with pytest.raises(DataError, match=r"\(3,\), got x of shape \(2, 2\)"):
        ascend(model, torch.zeros(2, 2))
    with pytest.raises(DataError, match="one finite state or more"):
        ascend(model, torch.zeros(0, 3))
    with pytest.raises(DataError, match="finite"):
        ascend(model, torch.full((1, 3), math.nan))
    for option in ({"tolerance": 0.0}, {"step_size": math.inf}, {"max_iterations": 0}):
        with pytest.raises(OptionError, match=next(iter(option))):
            ascend(model, torch.zeros(1, 3), **option)
    outside = LogDensity(lambda x: x.log().sum(-1) - x.sum(-1), (1,))
    with pytest.raises(NonFiniteError, match=r"rows \[1\]"):
        ascend(outside, torch.tensor([[1.0], [-1.0]]))


def pair(separation: float, variance: float = 1.0) -> GaussianMixture:
    half = separation / 2
    return GaussianMixture(means=[[-half], [half]], covariances=[variance, variance])


@pytest.mark.parametrize(
    ("separation", "count"), [(1.0, 1), (1.98, 1), (2.0, 1), (2.02, 2), (6.0, 2)]
)
@pytest.mark.parametrize("variance", [1.0, 1e-8])
def test_two_equal_gaussians_part_at_two_deviations(separation, count, variance) -> None:
    found = modes(pair(separation * variance**0.5, variance))
    assert len(found.x) == count
    assert int(found.basin.sum()) == found.starts == 66
    assert bool((found.curvature * variance <= 1e-6).all())


def test_well_separated_means_have_a_mode_each() -> None:
    found = modes(WELLS)
    assert len(found.x) == 5
    near = torch.cdist(WELLS.means, found.x).min(1)
    assert float(near.values.max()) < 1e-3
    assert sorted(near.indices.tolist()) == list(range(5))
    assert bool((found.log_density.diff() <= 0.0).all())
    heights = WELLS.log_prob(found.x)
    torch.testing.assert_close(found.log_density, heights)
    steepness = -1.0 / WELLS.covariances[near.indices.argsort()]
    torch.testing.assert_close(found.curvature, steepness, rtol=1e-3, atol=0.0)


def test_two_crossed_gaussians_have_three_modes() -> None:
    """More modes than components (Ray & Lindsay 2005): the third is where the ridges cross."""
    law = GaussianMixture(means=[[0.0, 1.0], [1.0, 0.0]], covariances=[[1.0, 0.02], [0.02, 1.0]])
    found = modes(law, n=40)
    assert len(found.x) == 3
    crossing = found.x[(found.x - 1.0).abs().max(1).values < 0.1]
    assert len(crossing) == 1


def test_three_round_gaussians_can_have_four_modes() -> None:
    """An equilateral triangle of circumradius just below sqrt(2): a mode in the middle, too.

    The Hessian in the middle is (r^2/2 - 1) p I (Carreira-Perpinan & Williams 2003).
    """
    angles = np.array([0.0, 2.0, 4.0]) * math.pi / 3
    corners = np.stack([np.cos(angles), np.sin(angles)], 1)

    def count(r: float, **starts) -> int:
        law = GaussianMixture(means=r * math.sqrt(2) * corners, covariances=[1.0, 1.0, 1.0])
        return len(modes(law, **starts).x)

    middle = torch.zeros(1, 2, dtype=torch.float64) + 0.01
    around = torch.tensor(corners) * 1.2
    assert count(0.99, starts=torch.cat([middle, around])) == 4
    assert count(1.01, starts=torch.cat([middle, around])) == 3
    assert count(0.9, n=10) == 1


def test_a_saddle_is_dropped_for_the_maxima_beyond_it() -> None:
    law = GaussianMixture(means=[[-2.0, 0.0], [2.0, 0.0]], covariances=[1.0, 1.0])
    found = modes(law, torch.tensor([[0.0, 1.0]], dtype=torch.float64))
    assert (found.saddles, found.starts, found.basin.tolist()) == (1, 1, [0, 0])
    assert sorted(found.x[:, 0].sign().tolist()) == [-1.0, 1.0]


def test_modes_of_a_noised_law_are_those_of_the_noised_mixture() -> None:
    level = VPLinear().at_log_snr(1.0)
    noised = GaussianMixture(
        means=level.alpha * WELLS.means,
        covariances=level.alpha**2 * WELLS.covariances + level.sigma**2,
        weights=WELLS.weights,
    )
    found, expected = modes(WELLS, level=level), modes(noised, n=0)
    assert len(found.x) == len(expected.x)
    torch.testing.assert_close(found.x, expected.x, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.curvature, expected.curvature, rtol=1e-5, atol=0.0)


def test_a_score_alone_tells_modes_without_heights() -> None:
    found = modes(ScoreAlone(WELLS), draws(WELLS))
    assert found.log_density is None
    assert len(found.x) == 5
    assert bool((found.basin.diff() <= 0).all())
    with pytest.raises(OptionError, match="starts="):
        modes(ScoreAlone(WELLS))
    with pytest.raises(DataError, match="finite"):
        modes(ScoreAlone(WELLS), torch.full((1, 3), math.nan))
    with pytest.raises(DataError, match="one finite state or more"):
        modes(ScoreAlone(WELLS), torch.zeros(0, 3))


def test_a_narrow_kernel_estimate_has_a_mode_a_datum_and_no_warning() -> None:
    points = torch.rand(30, 2, generator=torch.Generator().manual_seed(1)).double()
    found = modes(KDE(points=points, bandwidth=1e-3), n=10)
    assert len(found.x) == 30
    assert float(torch.cdist(points, found.x).min(1).values.max()) < 1e-6
    with pytest.raises(CapabilityError, match="sigma > 0"):
        modes(KDE(points=points, bandwidth=0.0))
    level = NoiseLevel(t=0.0, alpha=1.0, sigma=0.1)
    noised = modes(KDE(points=points, bandwidth=0.0), level=level)
    clean = modes(KDE(points=points, bandwidth=0.1))
    assert len(noised.x) == len(clean.x) < 30


def test_modes_depend_on_the_seed_alone() -> None:
    one, two = modes(WELLS, seed=4), modes(WELLS, seed=4, level=CLEAN)
    assert torch.equal(one.x, two.x)
    with pytest.raises(OptionError, match="n at least 1"):
        modes(LAWS["image"], n=0)
