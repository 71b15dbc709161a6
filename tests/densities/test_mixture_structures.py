"""Laws of the structures of a Gaussian mixture, against dense forms written by themselves."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from scoresde.densities import Gaussian, GaussianMixture
from scoresde.densities.mixture import mixture as evaluation
from scoresde.densities.mixture.components import Components

K, D, M = 4, 5, 2
RNG = np.random.default_rng(31)
MEANS = RNG.standard_normal((K, D)) * 2.0
WEIGHTS = np.array([0.1, 0.4, 0.3, 0.2])
ROOTS = RNG.standard_normal((K, D, D))
DENSE = ROOTS @ ROOTS.transpose(0, 2, 1) / D + 0.1 * np.eye(D)
FACTORS = RNG.standard_normal((K, D, M))
REST = np.array([0.1, 0.5, 1.0, 0.02])
DIAGONAL = RNG.uniform(0.05, 1.0, (K, D))
PARAMETERS = {
    "spherical": {"covariances": REST},
    "diagonal": {"covariances": DIAGONAL},
    "tied": {"covariances": DENSE[0], "structure": "tied"},
    "full": {"covariances": DENSE},
    "low-rank": {"factors": FACTORS, "variances": REST},
}
MATRICES = {
    "spherical": REST[:, None, None] * np.eye(D),
    "diagonal": DIAGONAL[:, None] * np.eye(D),
    "tied": np.repeat(DENSE[:1], K, 0),
    "full": DENSE,
    "low-rank": FACTORS @ FACTORS.transpose(0, 2, 1) + REST[:, None, None] * np.eye(D),
}
LEVELS = [(1.0, 0.0), (0.999, 0.002), (0.6, 0.8), (0.0, 1.0), (1.0, 30.0)]
EVERY = pytest.mark.parametrize("structure", PARAMETERS)
AT = pytest.mark.parametrize("level", LEVELS, ids=str)


def mixture(structure: str, means=MEANS, **options) -> GaussianMixture:
    return GaussianMixture(
        **{"means": means, "weights": WEIGHTS, **PARAMETERS[structure], **options}
    )


def states(n: int = 11, spread: float = 2.0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(7).standard_normal((n, D)) * spread)


def by_row(level: tuple[float, float], n: int) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.full((n, 1), v, dtype=torch.float64) for v in level)


def answers(density, x, alpha, sigma) -> tuple[torch.Tensor, ...]:
    return (
        density.log_joint(x, alpha, sigma),
        density.log_prob(x, alpha, sigma),
        density.score(x, alpha, sigma),
        *density.posterior(x, alpha, sigma),
    )


def assert_same(got, wanted, tolerance: float) -> None:
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def log_joint_and_score(matrices, x, alpha, sigma, means=MEANS):
    """By scipy and dense solves, component by component."""
    total = [alpha**2 * c + sigma**2 * np.eye(D) for c in matrices]
    logs = np.stack(
        [math.log(w) + stats.multivariate_normal.logpdf(x, alpha * m, c)
         for w, m, c in zip(WEIGHTS, means, total, strict=True)], 1
    )  # fmt: skip
    r = np.exp(logs - np.logaddexp.reduce(logs, axis=1)[:, None])
    pulls = [np.linalg.solve(c, (x - alpha * m).T).T for m, c in zip(means, total, strict=True)]
    return logs, -np.einsum("bk,kbd->bd", r, np.stack(pulls))


@EVERY
@AT
@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_structure_is_its_matrices(structure, level, as_tensor) -> None:
    """log_joint and score are scipy's; everything equals the full mixture of those matrices."""
    density, x = mixture(structure), states()
    np.testing.assert_allclose(density.covariance_matrices(), MATRICES[structure], rtol=1e-13)
    alpha, sigma = by_row(level, len(x)) if as_tensor else level
    logs, score = log_joint_and_score(MATRICES[structure], x.numpy(), *level)
    np.testing.assert_allclose(density.log_joint(x, alpha, sigma), logs, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(density.score(x, alpha, sigma), score, rtol=1e-10, atol=1e-10)
    full = GaussianMixture(means=MEANS, covariances=MATRICES[structure], weights=WEIGHTS)
    assert_same(answers(density, x, alpha, sigma), answers(full, x, *level), 1e-10)
    torch.testing.assert_close(
        density.responsibilities(x, alpha, sigma).sum(1), torch.ones(11).double()
    )


@EVERY
@AT
def test_products_are_the_differences(structure, level, monkeypatch) -> None:
    density, x = mixture(structure), states(spread=20.0)
    by_products = answers(density, x, *level)
    monkeypatch.setattr(Components, "ratio", lambda *_: math.inf)
    assert_same(by_products, answers(density, x, *level), 1e-11)


@EVERY
@pytest.mark.parametrize("places", ["far apart", "far away"])
def test_means_at_a_million_standard_deviations(structure, places) -> None:
    """Means at multiples of 2^20 and states at dyadic offsets from them: nothing is rounded.

    Far apart, a state belongs to its component alone, whose Gaussian is the truth. Rotations and
    sums over components lose 2^20 units of rounding, 1e-10; squares would lose 1e-4.
    """
    z = np.round(np.random.default_rng(3).standard_normal((K, D)) * 64) / 64
    if places == "far apart":
        means = 2.0**20 * np.arange(K)[:, None] * np.ones(D)
        each = [stats.multivariate_normal.logpdf(z[k], np.zeros(D), MATRICES[structure][k])
                for k in range(K)]  # fmt: skip
        log_prob = np.log(WEIGHTS) + each
        score = -np.stack([np.linalg.solve(MATRICES[structure][k], z[k]) for k in range(K)])
    else:
        near = np.round(MEANS * 64) / 64
        means = 2.0**20 + near
        logs, score = log_joint_and_score(MATRICES[structure], near + z, 1.0, 0.0, near)
        log_prob = np.logaddexp.reduce(logs, axis=1)
    density, x = mixture(structure, means), torch.from_numpy(means + z)
    np.testing.assert_allclose(density.log_prob(x), log_prob, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(density.score(x), score, rtol=1e-9, atol=1e-9)


@EVERY
@pytest.mark.parametrize("level", [(1.0, 0.0), (0.9999, 0.002), (1.0, 1e-3)], ids=str)
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_float32_states_lose_nothing(structure, level, scale) -> None:
    """Components of sd 1e-3 among means of size 1, in float32: the score to 1e-4 and better."""
    shrunk = {name: np.asarray(value) * (scale if name == "factors" else scale**2)
              for name, value in PARAMETERS[structure].items() if name != "structure"}  # fmt: skip
    density = mixture(structure, **shrunk)
    x = (density.sample(torch.arange(20), 1) * level[0]).to(torch.float32)
    logs, score = log_joint_and_score(MATRICES[structure] * scale**2, x.double().numpy(), *level)
    got = density.score(x, *level)
    assert got.dtype == torch.float32
    worst = np.abs(got.double().numpy() - score).max(1) / np.abs(score).max(1)
    assert worst.max() < 1e-6
    np.testing.assert_allclose(
        density.log_prob(x, *level), np.logaddexp.reduce(logs, axis=1), rtol=1e-6
    )


@EVERY
@pytest.mark.parametrize("as_tensor", [False, True])
def test_blocks_of_rows_are_the_whole(structure, as_tensor, monkeypatch) -> None:
    """In blocks of a row or two and one by one, with labels bound to the rows."""
    density, x = mixture(structure, labels=(0, 1, 1, 0)), states(9)
    labels = torch.tensor([0, 1, -1] * 3)
    alpha, sigma = by_row((0.6, 0.8), 9) if as_tensor else (0.6, 0.8)
    whole = answers(density.given(labels), x, alpha, sigma)
    ids = torch.arange(9)
    drawn = density.sample(ids, 1)
    monkeypatch.setattr(evaluation, "HELD", 2 * D * K)
    assert_same(answers(density.given(labels), x, alpha, sigma), whole, 1e-13)
    torch.testing.assert_close(density.sample(ids, 1), drawn, rtol=1e-15, atol=1e-15)
    for i in range(9):
        one = slice(i, i + 1)
        level = (alpha[one], sigma[one]) if as_tensor else (alpha, sigma)
        alone = answers(density.given(labels[one]), x[one], *level)
        assert_same(alone, [answer[one] for answer in whole], 1e-13)


@EVERY
def test_arguments_make_the_mixture_again(structure) -> None:
    density = mixture(structure, event_shape=(1, D), labels=(0, 1, 1, 0))
    again = GaussianMixture(**density.arguments())
    x = states().reshape(-1, 1, D)
    for alpha, sigma in LEVELS:
        for one, other in zip(
            answers(density, x, alpha, sigma), answers(again, x, alpha, sigma), strict=True
        ):
            assert torch.equal(one, other)
    assert torch.equal(density.sample(torch.arange(50), 3), again.sample(torch.arange(50), 3))
    assert torch.equal(density.class_log_prob(x), again.class_log_prob(x))
    assert again.structure == structure
    assert set(density.arguments()) == {
        "means", "weights", "structure", "event_shape", "labels", *PARAMETERS[structure],
    }  # fmt: skip


@pytest.mark.slow  # the meta device takes seconds to set up
@EVERY
def test_nothing_is_left_on_the_first_device(structure) -> None:
    """On the meta device, where tensors have no content, mixing devices is an error."""
    density, x = mixture(structure), states()
    for level in (LEVELS[0], (0.6, 0.8), by_row((0.6, 0.8), len(x))):
        answers(density, x, *level)
        level = tuple(v.to("meta") if isinstance(v, torch.Tensor) else v for v in level)
        for answer in answers(density.to("meta"), x.to("meta"), *level):
            assert answer.device.type == "meta"
    assert {v.device.type for v in density.to("meta").arguments().values()
            if isinstance(v, torch.Tensor)} == {"meta"}  # fmt: skip
    if structure == "low-rank":
        gaussian = Gaussian(mean=MEANS[0], factor=FACTORS[0], variance=0.1).to("meta")
        assert gaussian.score(x.to("meta"), 0.6, 0.8).device.type == "meta"
        assert gaussian.covariance.device.type == "meta"


@EVERY
@AT
def test_a_dead_component_is_absent(structure, level) -> None:
    dead = np.array([0.5, 0.0, 0.0, 0.5])
    density, x = mixture(structure, weights=dead), states()
    lives = {name: value if structure == "tied" else np.asarray(value)[[0, 3]]
             for name, value in PARAMETERS[structure].items()}  # fmt: skip
    alone = GaussianMixture(means=MEANS[[0, 3]], **lives)
    assert_same(answers(density, x, *level)[1:], answers(alone, x, *level)[1:], 1e-10)
    assert bool((density.responsibilities(x, *level)[:, 1:3] == 0.0).all())


@EVERY
@pytest.mark.parametrize("level", [(1.0, 0.0), (0.6, 0.8)])
def test_gradients_reach_the_means(structure, level) -> None:
    """d log q / d mu_k = alpha r_k C_k^{-1} (x - alpha mu_k)."""
    means, (alpha, sigma), x = torch.from_numpy(MEANS).requires_grad_(), level, states()
    density = mixture(structure, means)
    (got,) = torch.autograd.grad(density.log_prob(x, alpha, sigma).sum(), means)
    r = density.responsibilities(x, alpha, sigma).detach().numpy()
    for k, c in enumerate(MATRICES[structure]):
        offsets = (x.numpy() - alpha * MEANS[k]).T
        pull = np.linalg.solve(alpha**2 * c + sigma**2 * np.eye(D), offsets)
        np.testing.assert_allclose(got[k], alpha * pull @ r[:, k], rtol=1e-9, atol=1e-9)


def test_coordinates_of_any_scale() -> None:
    """Standard deviations from 1e-6 to 1e6 with correlations: a change of units and no more."""
    scales = np.array([1e-6, 1e-3, 1.0, 1e3, 1e6])
    x = states()
    for name in ("full", "tied"):
        plain = mixture(name)
        scaled = mixture(
            name,
            MEANS * scales,
            covariances=PARAMETERS[name]["covariances"] * np.outer(scales, scales),
        )
        got = scaled.log_joint(x * torch.from_numpy(scales)) + np.log(scales).sum()
        torch.testing.assert_close(got, plain.log_joint(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("m", [1, D])
def test_low_rank_from_one_factor_to_all(m) -> None:
    """With a rest of zero there is a density above the clean level, and draws on the plane."""
    factors = RNG.standard_normal((K, D, m))
    dense = factors @ factors.transpose(0, 2, 1)
    density = GaussianMixture(means=MEANS, factors=factors, variances=np.zeros(K), weights=WEIGHTS)
    x = states()
    for level in ((1.0, 0.05), (0.6, 0.8)):
        logs, score = log_joint_and_score(dense, x.numpy(), *level)
        np.testing.assert_allclose(density.log_joint(x, *level), logs, rtol=1e-9)
        np.testing.assert_allclose(density.score(x, *level), score, rtol=1e-9, atol=1e-9)
    again = GaussianMixture(**density.arguments())
    assert torch.equal(again.score(x, 0.6, 0.8), density.score(x, 0.6, 0.8))
    assert again.structure == "low-rank"
    drawn = GaussianMixture(means=MEANS[:1], factors=factors[:1], variances=[0.0])
    off = drawn.sample(torch.arange(40)) - torch.from_numpy(MEANS[0])
    assert np.linalg.matrix_rank(off.numpy(), tol=1e-9) == m


def test_one_component_of_low_rank_is_the_gaussian() -> None:
    one = GaussianMixture(means=MEANS[:1], factors=FACTORS[:1], variances=REST[:1])
    gaussian, x = Gaussian(mean=MEANS[0], factor=FACTORS[0], variance=REST[0]), states()
    for level in LEVELS:
        for name in ("log_prob", "score"):
            torch.testing.assert_close(
                getattr(one, name)(x, *level),
                getattr(gaussian, name)(x, *level),
                rtol=1e-11,
                atol=1e-11,
            )
    ids = torch.arange(30)
    torch.testing.assert_close(one.sample(ids, 4), gaussian.sample(ids, 4), rtol=1e-13, atol=1e-13)


@EVERY
def test_what_inference_finds_serves_gradients_too(structure) -> None:
    """Factors kept from a call in inference mode are no inference tensors."""
    density, x = mixture(structure), states().requires_grad_()
    with torch.inference_mode():
        density.score(x), density.score(x, 0.6, 0.8)
    for level in ((1.0, 0.0), (0.6, 0.8)):
        (got,) = torch.autograd.grad(density.log_prob(x, *level).sum(), x)
        wanted = density.score(x.detach(), *level)
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)


@EVERY
def test_the_smallest_noise_is_no_crash(structure) -> None:
    density, x = mixture(structure), states()
    assert_same(answers(density, x, 1.0, 1e-200), answers(density, x, 1.0, 1e-18), 1e-10)
