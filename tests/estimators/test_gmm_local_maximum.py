"""docs/local_maximum.md: a maximum of a mixture's likelihood as far below the best as one likes.

Truth: means (-R, R, gamma R), unit variances, equal weights. Trap: (0, gamma R, gamma R).
"""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from scoresde.densities import GaussianMixture
from scoresde.estimators.mixture import EM, GMM, GradientAscent

CONSTANT = math.log(3.0 * math.sqrt(2.0 * math.pi))
GAMMA = 20.0
MEANS = EM(update=("means",), max_iterations=300, tolerance=1e-10)
PAGE = Path(__file__).parents[2] / "docs" / "local_maximum.md"


def likelihood(means, radius: float, gamma: float = GAMMA) -> float:
    """E log p(x) by adaptive quadrature over each cluster, from the formula alone."""

    def integrand(u: float, centre: float) -> float:
        terms = [-0.5 * (centre + u - m) ** 2 for m in means]
        value = np.logaddexp.reduce(terms) - CONSTANT
        return value * math.exp(-0.5 * u * u) / math.sqrt(2.0 * math.pi)

    centres = (-radius, radius, gamma * radius)
    return sum(quad(integrand, -12.0, 12.0, (c,), epsabs=1e-12)[0] for c in centres) / 3.0


def limit(radius: float) -> float:
    """lim L(0, gamma R, gamma R) for gamma -> infinity."""
    return -(2.0 * radius**2 + 3.0 - 2.0 * math.log(2.0)) / 6.0 - CONSTANT


def mixture(*means: float) -> GaussianMixture:
    return GaussianMixture(means=torch.tensor(means)[:, None].double(), covariances=torch.ones(3))


def sample(radius: float, n: int = 3000) -> torch.Tensor:
    return mixture(-radius, radius, GAMMA * radius).sample(torch.arange(n), seed=3)


def told(model: GaussianMixture, x: torch.Tensor) -> tuple[float, float]:
    each = model.log_prob(x)
    return float(each.mean()), float(each.std()) / len(each) ** 0.5


@pytest.mark.parametrize("radius", [2.0, 4.0])
def test_closed_forms_of_the_trap_and_its_borders_are_those_of_quadrature(radius) -> None:
    far, top = GAMMA * radius, limit(radius)
    assert likelihood((0.0, far, far), radius) == pytest.approx(top, abs=1e-9)
    first = likelihood((far / 3.0, far, far), radius)
    assert first == pytest.approx(top - far**2 / 27.0, abs=1e-8)
    second = likelihood((0.0, 2.0 * far / 3.0, far), radius)
    assert second == pytest.approx(top - math.log(2.0) / 3.0, abs=1e-8)
    assert likelihood((0.0, far, 2.0 * far / 3.0), radius) == pytest.approx(second, abs=1e-12)


def test_no_point_of_a_border_is_above_its_closed_form() -> None:
    radius, far = 2.0, GAMMA * 2.0
    rng, least = np.random.default_rng(0), limit(radius) - math.log(2.0) / 3.0
    for _ in range(12):
        a = far + 2.0 * rng.standard_normal(2)
        assert likelihood((far / 3.0, *a), radius) <= limit(radius) - far**2 / 27.0 + 1e-9
        inner = 2.0 * rng.standard_normal()
        assert likelihood((inner, 2.0 * far / 3.0, a[0]), radius) <= least + 1e-9


def test_the_truth_stays_and_the_gap_grows_as_the_square() -> None:
    """L(truth) -> -1/2 - log(3 sqrt(2 pi)); the gap to the trap is (R^2 - log 2)/3."""
    for radius in (4.0, 8.0):
        best = likelihood((-radius, radius, GAMMA * radius), radius)
        assert best == pytest.approx(-0.5 - CONSTANT, abs=1e-3 if radius == 4.0 else 1e-9)
        gap = best - likelihood((0.0, GAMMA * radius, GAMMA * radius), radius)
        assert gap == pytest.approx((radius**2 - math.log(2.0)) / 3.0, abs=1e-3)


@pytest.mark.parametrize("radius", [4.0, 8.0])
@pytest.mark.parametrize(
    "method",
    [MEANS, EM(max_iterations=50), GradientAscent(max_iterations=50)],
    ids=["means", "em", "gradient"],
)
def test_a_climb_from_the_trap_stays_there(radius, method) -> None:
    x = sample(radius)
    far = GAMMA * radius
    found = method.climb(x, mixture(0.0, far, far), floor=1e-6).mixture
    error = (1.0 + radius**2) ** 0.5 / 2000**0.5  # of the mean of A and B
    assert abs(float(found.means[0])) < 5.0 * error
    torch.testing.assert_close(found.means[1], found.means[2])
    assert abs(float(found.means[1]) - far) < 5.0 / 1000**0.5
    mean, error = told(found, x)
    if method is MEANS:
        assert abs(mean - limit(radius)) < 5.0 * error
    else:  # free variances and weights make it logarithmic
        gap = (math.log(1.0 + radius**2) - 2.0 * math.log(2.0)) / 3.0
        assert abs(mean - (-0.5 - CONSTANT - gap)) < 5.0 * error


@pytest.mark.parametrize("radius", [4.0, 8.0])
def test_restarts_escape_to_the_truth(radius) -> None:
    x = sample(radius)
    model = GMM(k=3, structure="spherical", start="k-means++", restarts=4).fit(x)
    means = model.density.means[:, 0].sort().values
    wanted = torch.tensor([-radius, radius, GAMMA * radius], dtype=torch.float64)
    assert float((means - wanted).abs().max()) < 5.0 / 900**0.5
    true = mixture(-radius, radius, GAMMA * radius)
    gap = model.density.log_prob(x) - true.log_prob(x)
    assert 0.0 < float(gap.mean()) < 5.0 * float(gap.std()) / len(x) ** 0.5 + 8.0 / (2 * len(x))


def test_the_page_holds_the_table() -> None:
    """The table's first column of likelihoods is that of this file."""
    table = PAGE.read_text().split("local maximum: begin")[1].splitlines()[3:7]
    rows = [[float(cell) for cell in line.split("|")[1:4]] for line in table]
    assert [row[0] for row in rows] == [2.0, 4.0, 8.0, 16.0]
    for radius, best, trap in rows:
        assert trap == pytest.approx(limit(radius), abs=6e-5)
        assert best == pytest.approx(
            likelihood((-radius, radius, GAMMA * radius), radius), abs=6e-5
        )
