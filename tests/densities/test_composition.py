"""Laws of densities made of others: affine images, products, mixtures of any parts."""

import math

import numpy as np
import pytest
import torch
from density_cases import CASES, FACTOR, MEANS, TURN, covariance, parts, states
from scipy import stats

from scoresde.densities import (
    KDE,
    Affine,
    Density,
    Gaussian,
    GaussianMixture,
    MixtureOf,
    Product,
    affine,
)
from scoresde.errors import CapabilityError, OptionError
from scoresde.score import ExactScore

RNG = np.random.default_rng(23)
LEVELS = [(1.0, 0.0), (0.6, 0.8), (1.0, 3.0)]
AT = pytest.mark.parametrize("level", LEVELS, ids=str)
SQUARE = RNG.standard_normal((3, 3))
MAPS = {
    # A (d', 3) as options, and as a matrix
    "one scale": ({"scale": -0.3}, -0.3 * np.eye(3)),
    "a scale an axis": ({"scale": [1.0, 0.1, -2.0]}, np.diag([1.0, 0.1, -2.0])),
    "a turn": ({"matrix": TURN, "scale": 3.0}, 3.0 * TURN),
    "any": ({"matrix": SQUARE, "scale": [1.0, 2.0, 0.5]}, np.diag([1, 2, 0.5]) @ SQUARE),
    "a projection": ({"matrix": SQUARE[:2]}, SQUARE[:2]),
    "an axis": ({"matrix": [[0.0, 1.0, 0.0]]}, np.array([[0.0, 1.0, 0.0]])),
    "an embedding": ({"matrix": np.vstack([SQUARE, SQUARE[:2]])}, np.vstack([SQUARE, SQUARE[:2]])),
    "a loss of rank": ({"scale": [1.0, 0.0, 2.0]}, np.diag([1.0, 0.0, 2.0])),
}
LOW = GaussianMixture(
    means=MEANS[:2], factors=np.stack([FACTOR, 2 * FACTOR[::-1]]), variances=[0.1, 0.3]
)
TIED = GaussianMixture(means=MEANS, covariances=covariance(3), structure="tied")
POINTS = KDE(points=MEANS, bandwidth=0.3)
BASES = {
    **{name: CASES[name] for name in ("full gaussian", "low-rank gaussian", "spherical mixture")},
    **{name: CASES[name] for name in ("diagonal mixture", "full mixture")},
    "low-rank mixture": LOW,
    "tied mixture": TIED,
    "kernels": POINTS,
}


def components(base: Density) -> list[tuple[float, np.ndarray, np.ndarray]]:
    if isinstance(base, KDE):
        return [(1 / len(MEANS), m, 0.09 * np.eye(3)) for m in MEANS]
    if isinstance(base, GaussianMixture):
        each = (base.weights, base.means, base.covariance_matrices())
        return list(zip(*(t.numpy() for t in each), strict=True))
    return parts(base)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", MAPS)
def test_an_image_has_the_moments_of_a_linear_map(base: str, name: str) -> None:
    """log q(z) is that of sum_k w_k N(alpha (A mu + b), alpha^2 A Sigma A^T + sigma^2 I)."""
    options, a = MAPS[name]
    b = np.arange(len(a)) * 0.5
    image = affine(BASES[base], shift=b, **options)
    assert isinstance(image, Gaussian | GaussianMixture | KDE)
    alpha, sigma = 0.8, 0.6
    z = states(image, alpha, sigma, 8)
    logs = [
        math.log(w) + stats.multivariate_normal.logpdf(
            z, alpha * (a @ m + b), alpha**2 * a @ c @ a.T + sigma**2 * np.eye(len(a))
        )
        for w, m, c in components(BASES[base])
    ]  # fmt: skip
    expected = np.logaddexp.reduce(logs, axis=0)
    np.testing.assert_allclose(image.log_prob(z, alpha, sigma), expected, rtol=1e-11, atol=1e-11)


def test_images_keep_the_leanest_structure() -> None:
    found = {
        (base, name): getattr(affine(BASES[base], **MAPS[name][0]), "structure", "")
        for base in BASES
        for name in MAPS
    }
    assert found["spherical mixture", "a turn"] == "spherical"
    assert found["spherical mixture", "an axis"] == "spherical"
    assert found["spherical mixture", "a scale an axis"] == "diagonal"
    assert found["diagonal mixture", "one scale"] == "diagonal"
    assert found["diagonal mixture", "any"] == "full"
    assert found["low-rank mixture", "a turn"] == "low-rank"
    assert found["low-rank mixture", "an embedding"] == "low-rank"
    assert found["tied mixture", "any"] == "tied"
    assert found["kernels", "any"] == "tied"
    assert isinstance(affine(POINTS, scale=2.0), KDE)
    assert affine(CASES["low-rank gaussian"], matrix=TURN).axes.shape == (3, 2)


@AT
@pytest.mark.parametrize("name", ["one scale", "a turn"])
def test_a_change_of_variables_is_the_image_of_the_parts(name: str, level) -> None:
    """The generic similarity against the parts mapped one by one."""
    members = (CASES["full mixture"], CASES["low-rank gaussian"])
    both = Product(parts=(MixtureOf(parts=members, weights=[1, 3]), CASES["full gaussian"]))
    a = MAPS[name][1]
    block = np.kron(np.eye(2), a)  # both blocks alike
    whole = Affine(base=both, matrix=block, shift=[1.0] * 6)
    apart = Product(
        parts=(
            MixtureOf(
                parts=tuple(affine(m, matrix=a, shift=1.0) for m in members), weights=[1, 3]
            ),
            affine(CASES["full gaussian"], matrix=a, shift=1.0),
        )
    )
    z = states(whole, *level)
    exact = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(whole.log_prob(z, *level), apart.log_prob(z, *level), **exact)
    torch.testing.assert_close(whole.score(z, *level), apart.score(z, *level), **exact)
    for got, expected in zip(whole.posterior(z, *level), apart.posterior(z, *level), strict=True):
        torch.testing.assert_close(got, expected, **exact)


def test_samples_of_an_image_are_images_of_samples() -> None:
    ids = torch.arange(5, 25)
    for base in (CASES["spherical mixture"], CASES["product"]):
        scale = torch.full((base.dim,), -1.5)
        image = Affine(base=base, scale=scale, shift=2.0)
        expected = -1.5 * base.sample(ids, 3) + 2.0
        torch.testing.assert_close(
            image.sample(ids, 3), expected.reshape(image.sample(ids, 3).shape)
        )


def test_other_laws_are_refused_where_noise_would_not_be_isotropic() -> None:
    for options in ({"scale": [1.0, 2.0, 1, 1, 1, 1]}, {"matrix": np.eye(6)[:3]}, {"scale": 0.0}):
        with pytest.raises(CapabilityError, match="similarity"):
            affine(CASES["product"], **options)


def test_an_image_of_classes_keeps_them() -> None:
    base = GaussianMixture(means=[[0.0], [2.0]], covariances=[1.0, 0.1], labels=(0, 1))
    image = ExactScore(Affine(base=base, scale=2.0, shift=1.0))
    direct = affine(base, scale=2.0, shift=1.0)
    x, labels = torch.tensor([[1.0], [3.0]], dtype=torch.float64), torch.tensor([0, 1])
    assert image.classes == 2
    bound = image.given(labels)
    torch.testing.assert_close(bound.log_density(x), direct.given(labels).log_prob(x))
    torch.testing.assert_close(image.density.class_log_prob(x), direct.class_log_prob(x))
    ids = torch.arange(2)
    expected = 2.0 * base.given(labels).sample(ids) + 1.0
    torch.testing.assert_close(bound.density.sample(ids), expected)


@AT
def test_a_product_is_the_joint_gaussian(level) -> None:
    one, two = CASES["full gaussian"], CASES["low-rank gaussian"]
    joint = Gaussian(
        mean=torch.cat([one.mean, two.mean]),
        covariance=torch.block_diag(one.covariance, two.covariance),
    )
    product = Product(parts=(one, two))
    z = states(joint, *level)
    torch.testing.assert_close(product.log_prob(z, *level), joint.log_prob(z, *level))
    torch.testing.assert_close(product.score(z, *level), joint.score(z, *level))
    for got, expected in zip(
        product.posterior(z, *level), joint.posterior(z, *level), strict=True
    ):
        torch.testing.assert_close(got, expected)


def test_parts_of_a_sample_are_independent_of_each_other() -> None:
    """Equal parts, nested products, and mixtures whose choice must not tell their part's noise."""
    unit = Gaussian(mean=[0.0], covariance=[[1.0]])
    wells = GaussianMixture(means=[[-3.0], [3.0]], covariances=[0.1, 0.1])
    either = MixtureOf(parts=(wells, wells))
    law = Product(parts=(unit, unit, Product(parts=(unit, unit)), wells, either))
    n = 20_000
    x = law.sample(torch.arange(n), 7)
    features = torch.cat([x, x.square(), x[:, 5:].sign()], dim=1)
    correlation = torch.corrcoef(features.T).abs()
    own = torch.zeros_like(correlation, dtype=torch.bool)
    names = [*range(6), *range(6), 5]
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            own[i, j] = a == b
    assert float(correlation[~own].max()) < 5 / n**0.5
    assert abs(float((x[:, 5] > 0).double().mean()) - 0.5) < 5 * 0.5 / n**0.5


def test_a_mixture_of_mixtures_is_the_flat_mixture() -> None:
    one, two = CASES["diagonal mixture"], CASES["full mixture"]
    dense = torch.cat([one.covariances.diag_embed(), two.covariances])
    flat = GaussianMixture(
        means=torch.cat([one.means, two.means]),
        covariances=dense,
        weights=torch.cat([one.weights, 3.0 * two.weights]),
    )
    nested = MixtureOf(parts=(one, two), weights=[1.0, 3.0])
    for level in LEVELS:
        z = states(flat, *level)
        torch.testing.assert_close(nested.log_prob(z, *level), flat.log_prob(z, *level))
        torch.testing.assert_close(nested.score(z, *level), flat.score(z, *level))
        for a, b in zip(nested.posterior(z, *level), flat.posterior(z, *level), strict=True):
            torch.testing.assert_close(a, b)


def test_shares_of_a_mixtures_samples_are_its_weights() -> None:
    far = [Gaussian(mean=[m], covariance=[[0.01]]) for m in (-9.0, 0.0, 9.0)]
    x = MixtureOf(parts=tuple(far), weights=[0.2, 0.0, 0.6]).sample(torch.arange(10_000), 1)
    assert not bool((x.abs() < 5.0).any())
    assert abs(float((x > 0).double().mean()) - 0.75) < 5 * (0.75 * 0.25 / 10_000) ** 0.5
    inner = x[x > 0] - 9.0
    assert abs(float(inner.mean())) < 5 * 0.1 / 7500**0.5


UNIT = Gaussian(mean=[0.0, 0.0], covariance=np.eye(2))
BAD = [
    (Product, {"parts": ()}, "none"),
    (Product, {"parts": (UNIT, 3)}, "parts.1"),
    (Product, {"parts": (UNIT, UNIT), "event_shape": (3,)}, "(3,)"),
    (MixtureOf, {"parts": (UNIT, Product(parts=(UNIT, UNIT)))}, "[(2,), (4,)]"),
    (MixtureOf, {"parts": (UNIT, UNIT), "weights": [1.0]}, "weights are 2"),
    (MixtureOf, {"parts": (UNIT, UNIT), "weights": [-1.0, 2.0]}, "weights"),
    (Affine, {"base": "unit"}, "str"),
    (Affine, {"base": UNIT, "matrix": np.eye(3)}, "needs (any, 2)"),
    (Affine, {"base": UNIT, "scale": [1.0, 2.0, 3.0]}, "scale has 3 numbers, needs one or 2"),
    (Affine, {"base": UNIT, "shift": [1.0, 2.0, 3.0]}, "shift has 3"),
    (Affine, {"base": UNIT, "scale": math.inf}, "scale"),
    (Affine, {"base": UNIT, "event_shape": (1, 3)}, "(1, 3)"),
]


@pytest.mark.parametrize(("cls", "options", "named"), BAD)
def test_options_that_do_not_fit_are_named(cls, options: dict, named: str) -> None:
    with pytest.raises(OptionError) as caught:
        cls(**options)
    assert named in str(caught.value)
