"""Laws of a density given a linear observation y = A x + n."""

import math

import numpy as np
import pytest
import torch
from density_cases import CASES, FACTOR, MEANS, covariance
from scipy import stats

from scoresde.densities import (
    KDE,
    Conditioned,
    Gaussian,
    GaussianMixture,
    MixtureOf,
    Product,
    affine,
    condition,
    log_evidence,
)
from scoresde.errors import CapabilityError, OptionError

RNG = np.random.default_rng(31)
ROWS = RNG.standard_normal((2, 3))
FULL_NOISE = covariance(2)
OBSERVATIONS = {
    # matrix, y, noise
    "a number": ([0.5, -1.0, 2.0], 0.7, 0.3),
    "two rows": (ROWS, [0.5, -1.0], [0.2, 0.05]),
    "correlated noise": (ROWS, [0.5, -1.0], FULL_NOISE),
    "coordinates": ([[0.0, 0.0, 2.0], [1.0, 0.0, 0.0]], [1.0, -0.5], [0.1, 0.4]),
    "more rows than axes": (RNG.standard_normal((4, 3)), [0.1, 0.2, 0.3, 0.4], 0.5),
}
LAWS = {
    **{name: CASES[name] for name in ("full gaussian", "low-rank gaussian", "spherical mixture")},
    **{name: CASES[name] for name in ("diagonal mixture", "full mixture", "affine mixture")},
    "low-rank mixture": GaussianMixture(
        means=MEANS[:2], factors=np.stack([FACTOR, 2 * FACTOR[::-1]]), variances=[0.1, 0.3]
    ),
    "tied mixture": GaussianMixture(means=MEANS, covariances=covariance(3), structure="tied"),
    "kernels": KDE(points=MEANS, bandwidth=0.4),
    "mixture of parts": CASES["mixture of parts"],
}


def noise_of(noise, p: int) -> np.ndarray:
    noise = np.asarray(noise, dtype=float)
    return noise if noise.ndim == 2 else np.diag(noise * np.ones(p))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", OBSERVATIONS)
def test_bayes_rule_holds_at_every_state(law: str, name: str) -> None:
    """log p(x|y) = log p(x) + log p(y|x) - log p(y)."""
    density, (matrix, y, noise) = LAWS[law], OBSERVATIONS[name]
    a = np.atleast_2d(matrix)
    x = density.sample(torch.arange(12), 1)
    likelihood = stats.multivariate_normal.logpdf(
        np.atleast_1d(y) - x.numpy() @ a.T, cov=noise_of(noise, len(a))
    )
    likelihood = torch.as_tensor(likelihood)
    expected = density.log_prob(x) + likelihood - log_evidence(density, matrix, y, noise)
    got = condition(density, matrix, y, noise).log_prob(x)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_the_evidence_is_the_law_of_the_observation() -> None:
    """p(y) is the density of A x + n, the image of the law noised by R = r I."""
    density, y = CASES["full mixture"], np.array([0.5, -1.0])
    image = affine(density, matrix=ROWS)
    got = log_evidence(density, ROWS, y, 0.3)
    torch.testing.assert_close(got, image.log_prob(torch.tensor(y)[None], 1.0, 0.3**0.5)[0])


def test_the_posterior_is_bayes_rule_on_a_grid() -> None:
    """Brute force over the plane: weights, mean and covariance of p(x) N(y; a x, r)."""
    density = GaussianMixture(
        means=[[-1.0, 0.0], [1.0, 0.5]],
        covariances=[[[0.5, 0.2], [0.2, 0.3]], [[0.2, 0.0], [0.0, 0.6]]],
        weights=[1.0, 2.0],
    )
    axis = torch.linspace(-7, 7, 401, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    a, y, r = torch.tensor([1.0, -0.5], dtype=torch.float64), 0.4, 0.2
    log_joint = (
        density.log_prob(x) - (y - x @ a).square() / (2 * r) - 0.5 * math.log(2 * math.pi * r)
    )
    cell = float(axis[1] - axis[0]) ** 2
    share = log_joint.softmax(0)
    assert float(log_joint.logsumexp(0)) + math.log(cell) == pytest.approx(
        float(log_evidence(density, a, y, r)), abs=1e-10
    )
    posterior = condition(density, a, y, r)
    mean = posterior.weights @ posterior.means
    torch.testing.assert_close(share @ x, mean, rtol=0, atol=1e-9)
    off = posterior.means - mean
    spread = posterior.covariance_matrices() + off[:, :, None] * off[:, None, :]
    spread = (posterior.weights[:, None, None] * spread).sum(0)
    torch.testing.assert_close((share[:, None] * (x - mean)).T @ (x - mean), spread, atol=1e-9,
                               rtol=0)  # fmt: skip


@pytest.mark.parametrize("law", LAWS)
def test_two_observations_in_turn_are_both_at_once(law: str) -> None:
    density = LAWS[law]
    x = density.sample(torch.arange(8), 2)
    first = condition(density, ROWS[0], 0.5, 0.2)
    in_turn = condition(first, ROWS[1], -1.0, 0.05)
    at_once = condition(density, ROWS, [0.5, -1.0], [0.2, 0.05])
    torch.testing.assert_close(in_turn.log_prob(x), at_once.log_prob(x), rtol=1e-9, atol=1e-9)
    chain = log_evidence(density, ROWS[0], 0.5, 0.2) + log_evidence(first, ROWS[1], -1.0, 0.05)
    torch.testing.assert_close(chain, log_evidence(density, ROWS, [0.5, -1.0], [0.2, 0.05]))


@pytest.mark.parametrize("law", LAWS)
def test_without_noise_what_was_observed_stands(law: str) -> None:
    """R = 0: every sample has A x = y, and the rest is the limit of small noise."""
    density, sigma = LAWS[law], 0.5
    exact = condition(density, ROWS, [0.5, -1.0])
    x = exact.sample(torch.arange(50), 3)
    seen = x @ torch.tensor(ROWS).T
    torch.testing.assert_close(seen, torch.tensor([0.5, -1.0]).expand_as(seen).double(),
                               rtol=0, atol=1e-12)  # fmt: skip
    with pytest.raises(CapabilityError, match="no density at sigma = 0"):
        exact.log_prob(x)
    near = condition(density, ROWS, [0.5, -1.0], 1e-9)
    x = x + sigma * torch.ones(3)
    torch.testing.assert_close(exact.score(x, 1.0, sigma), near.score(x, 1.0, sigma), rtol=1e-5,
                               atol=1e-5)  # fmt: skip


def test_inpainting_keeps_diagonal_components_and_the_general_path_agrees() -> None:
    density = GaussianMixture(
        means=RNG.standard_normal((3, 6)), covariances=RNG.uniform(0.1, 1, (3, 6)),
        event_shape=(1, 2, 3),
    )  # fmt: skip
    rows = np.eye(6)[[4, 1]]
    sparse = condition(density, rows, [0.3, -0.2], [0.0, 0.1])
    general = condition(density, rows, [0.3, -0.2], np.diag([0.0, 0.1]))
    assert (sparse.structure, general.structure) == ("diagonal", "low-rank")
    assert sparse.event_shape == (1, 2, 3)
    torch.testing.assert_close(sparse.covariances.diag_embed(), general.covariance_matrices())
    torch.testing.assert_close(sparse.means, general.means)
    torch.testing.assert_close(sparse.weights, general.weights)


def test_moments_are_those_of_weighted_samples() -> None:
    """Self-normalised importance sampling from the prior, within 5 standard errors."""
    density, (matrix, y, noise) = CASES["spherical mixture"], OBSERVATIONS["a number"]
    n = 40_000
    x = density.sample(torch.arange(n), 5)
    a = torch.tensor(matrix, dtype=torch.float64)
    w = (-(y - x @ a).square() / (2 * noise)).softmax(0)
    posterior = condition(density, matrix, y, noise)
    drawn = posterior.sample(torch.arange(n), 6)
    mean = posterior.weights @ posterior.means
    second = (
        posterior.covariance_matrices() + posterior.means[:, :, None] * posterior.means[:, None]
    )
    second = (posterior.weights[:, None, None] * second).sum(0).diagonal()
    for power, truth in ((1, mean), (2, second)):
        f = x**power
        se = (w.square() @ (f - truth).square()).sqrt()
        assert bool(((w @ f - truth).abs() < 5 * se).all())
        f = drawn**power
        assert bool(((f.mean(0) - truth).abs() < 5 * f.std(0) / n**0.5).all())


def test_classes_stay_classes_even_where_one_is_all_but_excluded() -> None:
    density = GaussianMixture(means=[[0.0], [500.0]], covariances=[1.0, 1.0], labels=(0, 1))
    posterior = Conditioned(base=density, matrix=[1.0], y=0.0, noise=0.1)
    assert posterior.classes == 2
    one = posterior.given(torch.tensor([1])).density.score(torch.zeros(1, 1, dtype=torch.float64))
    alone = condition(GaussianMixture(means=[[500.0]], covariances=[1.0]), [1.0], 0.0, 0.1)
    torch.testing.assert_close(one, alone.score(torch.zeros(1, 1, dtype=torch.float64)))


def test_far_and_tiny_units_keep_their_digits() -> None:
    """A law at 1e6 with a spread of 1e-3, observed to 1e-4."""
    density = GaussianMixture(means=[[1e6, -1e6], [1e6, 1e6]], covariances=[1e-6, 1e-6])
    posterior = condition(density, [1.0, 1.0], 1e-3, 1e-8)
    gain = 1e-6 / (2e-6 + 1e-8)
    expected = torch.tensor([1e6 + gain * 1e-3, -1e6 + gain * 1e-3], dtype=torch.float64)
    torch.testing.assert_close(posterior.means[0], expected, rtol=0, atol=5e-10)
    assert posterior.weights[0] == 1.0
    variance = 1e-6 * (1 - gain)
    assert float(posterior.covariance_matrices()[0, 0, 0]) == pytest.approx(variance, rel=1e-9)


UNIT = Gaussian(mean=[0.0, 0.0], covariance=np.eye(2))
FLAT = GaussianMixture(means=[[0.0, 0.0]], covariances=[[1.0, 0.0]])
BAD = [
    (UNIT, ([1.0, 0.0, 0.0], 0.0, 1.0), "matrix has shape (1, 3), needs (p, 2)"),
    (UNIT, (np.eye(2), [1.0], 1.0), "y has 1 numbers"),
    (UNIT, (np.eye(2), [1.0, 2.0], [1.0, 2.0, 3.0]), "noise has shape (3,)"),
    (UNIT, ([1.0, 0.0], 0.0, -1.0), "negative variance, -1"),
    (UNIT, (np.eye(2), [1.0, 2.0], [[1.0, 2.0], [2.0, 1.0]]), "negative variance, -1"),
    (UNIT, (np.eye(2), [1.0, 2.0], [[1.0, 0.5], [0.0, 1.0]]), "not symmetric"),
    (UNIT, ([1.0, math.nan], 0.0, 1.0), "matrix holds NaN"),
    (UNIT, ([1.0, 0.0], math.inf, 1.0), "y holds NaN or infinite"),
    (UNIT, ([[1.0, 1.0], [2.0, 2.0]], [1.0, 1.0], 0.0), "singular under component 0"),
    (UNIT, ([0.0, 0.0], 0.0, 0.0), "singular"),
    (FLAT, ([0.0, 1.0], 0.0, 0.0), "singular"),
    (FLAT, ([[0.0, 1.0]], 0.0, [[0.0]]), "singular"),
]


@pytest.mark.parametrize(("law", "observation", "named"), BAD)
def test_observations_that_cannot_be_are_named(law, observation, named: str) -> None:
    with pytest.raises(OptionError) as caught:
        condition(law, *observation)
    assert named in str(caught.value)


def test_other_laws_have_no_posterior_in_closed_form() -> None:
    with pytest.raises(CapabilityError, match="Product"):
        condition(Product(parts=(UNIT, UNIT)), np.ones(4), 0.0, 1.0)
    with pytest.raises(CapabilityError, match="Product"):
        condition(MixtureOf(parts=(Product(parts=(UNIT,)), UNIT)), np.ones(2), 0.0, 1.0)


@pytest.mark.parametrize("sigma", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("law", ["full gaussian", "full mixture", "low-rank mixture"])
@pytest.mark.parametrize("noise", [0.0, [0.1, 0.0]])
def test_scores_near_what_is_known_exactly_are_those_of_autograd(law, noise, sigma) -> None:
    """Off the flat a score is 1 / sigma large; along it, a cancellation of 1 / sigma^2 is not."""
    given = condition(LAWS[law], ROWS, [0.5, -1.0], noise)
    eps = torch.from_numpy(RNG.standard_normal((40, 3)))
    x = (given.sample(torch.arange(40), 2) + sigma * eps).requires_grad_()
    (exact,) = torch.autograd.grad(given.log_prob(x, 1.0, sigma).sum(), x)
    off = torch.linalg.vector_norm(given.score(x.detach(), 1.0, sigma) - exact, dim=1)
    assert float((off / torch.linalg.vector_norm(exact, dim=1)).max()) < 1e-12
