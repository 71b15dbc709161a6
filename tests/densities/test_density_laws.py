"""Laws of densities whose diffused score is exact."""

import math

import numpy as np
import pytest
import torch
from density_cases import (
    AT,
    CASES,
    EVERY,
    FACTOR,
    LEVELS,
    MEANS,
    OF_PARTS,
    RNG,
    WEIGHTS,
    covariance,
    parts,
    states,
)
from scipy import integrate, stats

from scoresde.densities import DENSITIES, Gaussian, GaussianMixture
from scoresde.errors import CapabilityError


def test_every_member_has_a_case() -> None:
    assert {type(case) for case in CASES.values()} == set(DENSITIES.members.values())


@OF_PARTS
@AT
def test_log_prob_is_scipys(case: str, level: tuple[float, float]) -> None:
    density, (alpha, sigma) = CASES[case], level
    x = states(density, alpha, sigma)
    flat = x.reshape(len(x), -1).numpy()
    logs = [
        math.log(w) + stats.multivariate_normal.logpdf(
            flat, alpha * m, alpha**2 * c + sigma**2 * np.eye(len(m))
        )
        for w, m, c in parts(density)
    ]  # fmt: skip
    expected = np.logaddexp.reduce(logs, axis=0)
    np.testing.assert_allclose(density.log_prob(x, alpha, sigma), expected, rtol=1e-12, atol=1e-12)


@EVERY
@AT
@pytest.mark.parametrize("as_tensor", [False, True])
def test_score_is_the_gradient(case: str, level: tuple[float, float], as_tensor: bool) -> None:
    density, (alpha, sigma) = CASES[case], level
    x = states(density, alpha, sigma)
    if as_tensor:
        wide = (len(x), *[1] * (x.ndim - 1))
        alpha = torch.full(wide, alpha, dtype=torch.float64)
        sigma = torch.full(wide, sigma, dtype=torch.float64)
    x.requires_grad_()
    (expected,) = torch.autograd.grad(density.log_prob(x, alpha, sigma).sum(), x)
    got = density.score(x.detach(), alpha, sigma)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@EVERY
def test_rows_of_tensor_levels_are_the_float_levels(case: str) -> None:
    density = CASES[case]
    x = states(density, 0.6, 0.8, len(LEVELS))
    wide = (len(x), *[1] * (x.ndim - 1))
    alpha, sigma = (torch.tensor(v, dtype=torch.float64).reshape(wide)
                    for v in zip(*LEVELS, strict=True))  # fmt: skip
    together = (density.log_prob(x, alpha, sigma), density.score(x, alpha, sigma),
                *density.posterior(x, alpha, sigma))  # fmt: skip
    for i, (a, s) in enumerate(LEVELS):
        row = x[i : i + 1]
        alone = (density.log_prob(row, a, s), density.score(row, a, s),
                 *density.posterior(row, a, s))  # fmt: skip
        for one, all_ in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], all_[i], rtol=1e-11, atol=1e-11)


@EVERY
@pytest.mark.parametrize("level", [level for level in LEVELS if level[1] > 0], ids=str)
def test_posterior_means_obey_tweedie(case: str, level: tuple[float, float]) -> None:
    density, (alpha, sigma) = CASES[case], level
    x = states(density, alpha, sigma)
    x0, eps = density.posterior(x, alpha, sigma)
    score = density.score(x, alpha, sigma)
    torch.testing.assert_close(eps, -sigma * score, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(alpha * x0 + sigma * eps, x, rtol=1e-11, atol=1e-11)
    if alpha >= 0.5:
        torch.testing.assert_close(x0, (x + sigma**2 * score) / alpha, rtol=1e-10, atol=1e-10)
    if alpha == 0.0 and parts(density) is not None:  # nothing is known of x: the prior mean
        mean = sum(w * m for w, m, _ in parts(density)).reshape(density.event_shape)
        torch.testing.assert_close(x0, torch.from_numpy(mean).expand_as(x0))


@pytest.mark.parametrize("level", [(0.9, 0.3), (0.3, 1.2), (1.0, 0.05)])
def test_diffusion_is_convolution_by_quadrature(level: tuple[float, float]) -> None:
    """q(z) = int p(x) N(z; alpha x, sigma^2) dx, and E[x|z] likewise, in one dimension."""
    alpha, sigma = level
    density = GaussianMixture(
        means=[[-1.0], [0.4], [2.0]], covariances=[0.04, 0.3, 0.01], weights=[1, 2, 3]
    )

    def joint(x: float, z: float) -> float:
        p = sum(w * stats.norm.pdf(x, m, v**0.5) for w, m, v in
                ((1 / 6, -1.0, 0.04), (2 / 6, 0.4, 0.3), (3 / 6, 2.0, 0.01)))  # fmt: skip
        return p * stats.norm.pdf(z, alpha * x, sigma)

    grid = np.linspace(-6.0, 6.0, 20_001)
    for z in (-1.7, 0.1, 1.9):
        values = joint(grid, z)
        q = integrate.simpson(values, x=grid)
        x0 = integrate.simpson(values * grid, x=grid) / q
        at = torch.tensor([[z]], dtype=torch.float64)
        assert float(density.log_prob(at, alpha, sigma)) == pytest.approx(math.log(q), abs=1e-9)
        assert float(density.posterior(at, alpha, sigma)[0]) == pytest.approx(x0, abs=1e-9)


def test_low_rank_is_the_full_gaussian_of_that_covariance() -> None:
    low = CASES["low-rank gaussian"]
    dense = FACTOR @ FACTOR.T + 0.05 * np.eye(3)
    np.testing.assert_allclose(low.covariance, dense, rtol=1e-12)
    full = Gaussian(mean=MEANS[1], covariance=dense)
    for alpha, sigma in LEVELS:
        x = states(full, alpha, sigma)
        torch.testing.assert_close(low.log_prob(x, alpha, sigma), full.log_prob(x, alpha, sigma))
        torch.testing.assert_close(low.score(x, alpha, sigma), full.score(x, alpha, sigma))
        for a, b in zip(
            low.posterior(x, alpha, sigma), full.posterior(x, alpha, sigma), strict=True
        ):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_structures_agree_where_they_coincide() -> None:
    spheres = np.array([0.1, 0.5, 1.0, 0.02])
    same = [
        GaussianMixture(means=MEANS, covariances=c, weights=WEIGHTS)
        for c in (
            spheres,
            spheres[:, None] * np.ones(3),
            spheres[:, None, None] * np.eye(3),
        )
    ]
    assert [m.structure for m in same] == ["spherical", "diagonal", "full"]
    for alpha, sigma in LEVELS:
        x = states(same[0], alpha, sigma)
        for other in same[1:]:
            for name in ("log_prob", "score"):
                torch.testing.assert_close(
                    getattr(other, name)(x, alpha, sigma), getattr(same[0], name)(x, alpha, sigma),
                    rtol=1e-10, atol=1e-11,
                )  # fmt: skip
            for a, b in zip(
                other.posterior(x, alpha, sigma), same[0].posterior(x, alpha, sigma), strict=True
            ):
                torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    one = GaussianMixture(means=MEANS[:1], covariances=covariance(3)[None])
    gaussian = Gaussian(mean=MEANS[0], covariance=parts(one)[0][2])
    x = states(gaussian, 0.6, 0.8)
    torch.testing.assert_close(one.log_prob(x, 0.6, 0.8), gaussian.log_prob(x, 0.6, 0.8))


@OF_PARTS
def test_samples_have_the_law(case: str) -> None:
    density, n = CASES[case], 20_000
    x = density.sample(torch.arange(n), 1).reshape(n, -1).numpy()
    mean = sum(w * m for w, m, _ in parts(density))
    spread = sum(w * (c + np.outer(m - mean, m - mean)) for w, m, c in parts(density))
    error = np.sqrt(np.diag(spread) / n)
    assert np.abs((x.mean(0) - mean) / error).max() < 4.0
    products = (x - mean)[:, :, None] * (x - mean)[:, None, :]
    standard_error = products.std(0) / math.sqrt(n)
    assert np.abs((products.mean(0) - spread) / standard_error).max() < 4.0


@EVERY
def test_a_sample_is_a_function_of_its_id(case: str) -> None:
    density = CASES[case]
    ids = torch.tensor([5, 0, 2**40, 9])
    together = density.sample(ids, 2)
    assert together.dtype == torch.float64
    assert together.shape == (4, *density.event_shape)
    for i in range(4):
        torch.testing.assert_close(
            density.sample(ids[i : i + 1], 2)[0], together[i], rtol=1e-15, atol=1e-15
        )
    assert not torch.equal(density.sample(ids, 3), together)


def test_equal_weights_are_exact() -> None:
    """A third in float32 would be off by 3e-8."""
    weights = GaussianMixture(means=np.zeros((3, 1)), covariances=np.ones(3)).weights
    assert weights.tolist() == [1 / 3] * 3


@EVERY
@AT
def test_float32_is_float64_rounded(case: str, level: tuple[float, float]) -> None:
    density, (alpha, sigma) = CASES[case], level
    x = states(density, alpha, sigma).to(torch.float32)
    exact = x.to(torch.float64)
    for name in ("log_prob", "score"):
        got, wanted = (getattr(density, name)(y, alpha, sigma) for y in (x, exact))
        assert got.dtype == torch.float32
        assert torch.equal(got, wanted.to(torch.float32))


PLANE = FACTOR @ FACTOR.T
NORMAL = np.cross(FACTOR[:, 0], FACTOR[:, 1])
TWICE = np.zeros((2, 3))
FLAT = {
    "factor": Gaussian(mean=np.zeros(3), factor=FACTOR, variance=0.0),
    "covariance": Gaussian(mean=np.zeros(3), covariance=PLANE),
    "full": GaussianMixture(means=TWICE, covariances=np.stack([PLANE, PLANE])),
    "tied": GaussianMixture(means=TWICE, covariances=PLANE, structure="tied"),
    "low-rank": GaussianMixture(
        means=TWICE, factors=np.stack([FACTOR, FACTOR]), variances=[0.0, 0.0]
    ),
}


@pytest.mark.parametrize("case", FLAT)
def test_a_law_on_a_plane_has_no_density_at_the_clean_level_and_one_above(case: str) -> None:
    flat, x = FLAT[case], torch.ones(2, 3, dtype=torch.float64)
    for ask in (flat.log_prob, flat.score, lambda x: flat.posterior(x, 1.0, 0.0)):
        with pytest.raises(CapabilityError, match="no density at sigma = 0"):
            ask(x)
    expected = -np.linalg.solve(PLANE + 0.01 * np.eye(3), np.ones(3))
    np.testing.assert_allclose(flat.score(x, 1.0, 0.1)[0], expected, rtol=1e-10)
    assert float((flat.sample(torch.arange(4), 1) @ torch.from_numpy(NORMAL)).abs().max()) < 1e-7


def test_empirical_distribution_is_an_attention_read_out() -> None:
    """Zero variance, one component a datum: x0 = softmax(-|z - alpha x_i|^2/2 sigma^2) x_i."""
    data = RNG.standard_normal((50, 2)) + 3.0
    density = GaussianMixture(means=data, covariances=np.zeros(50))
    z = torch.from_numpy(RNG.standard_normal((5, 2)) + 3.0)
    for sigma in (0.002, 0.1, 2.0):
        square = ((z.numpy()[:, None] - 0.9 * data) ** 2).sum(-1)
        logits = -square / (2 * sigma**2)
        weights = np.exp(logits - logits.max(1, keepdims=True))
        weights /= weights.sum(1, keepdims=True)
        x0, _ = density.posterior(z, 0.9, sigma)
        np.testing.assert_allclose(x0, weights @ data, rtol=1e-9)
