"""Laws of mixtures whose components carry labels: each class is the mixture of its own."""

import math

import numpy as np
import pytest
import torch

from scoresde.densities import GaussianMixture
from scoresde.errors import CapabilityError, OptionError

RNG = np.random.default_rng(23)
MEANS = RNG.standard_normal((5, 3))
WEIGHTS = np.array([0.1, 0.3, 0.2, 0.25, 0.15])
LABELS = (0, 2, 1, 0, 2)
ROOTS = RNG.standard_normal((5, 3, 3))
COVARIANCES = {
    "spherical": RNG.uniform(0.05, 0.5, 5),
    "diagonal": RNG.uniform(0.05, 0.5, (5, 3)),
    "full": ROOTS @ ROOTS.transpose(0, 2, 1) / 6 + 0.05 * np.eye(3),
}
FACTORS, REST = ROOTS[:, :, :1] / 2, RNG.uniform(0.05, 0.5, 5)
SHARED = COVARIANCES["full"][0]
LEVELS = [(1.0, 0.0), (0.9, 0.3), (0.1, 0.99), (0.0, 1.0), (1.0, 8.0)]
EVERY = pytest.mark.parametrize("structure", [*COVARIANCES, "tied", "low-rank"])


def parameters(structure: str, own=slice(None)) -> dict:
    """Those of some components."""
    if structure == "tied":
        return {"covariances": SHARED, "structure": "tied"}
    if structure == "low-rank":
        return {"factors": FACTORS[own], "variances": REST[own]}
    return {"covariances": COVARIANCES[structure][own]}


def mixture(structure: str, labels=LABELS) -> GaussianMixture:
    return GaussianMixture(means=MEANS, weights=WEIGHTS, labels=labels, **parameters(structure))


def of_class(structure: str, c: int) -> GaussianMixture:
    """The components of a class alone, without labels; all of them for -1."""
    own = np.array(LABELS) == c if c >= 0 else np.full(5, True)
    return GaussianMixture(means=MEANS[own], weights=WEIGHTS[own], **parameters(structure, own))


def ask(density, x, alpha, sigma) -> tuple[torch.Tensor, ...]:
    return (
        density.log_prob(x, alpha, sigma),
        density.score(x, alpha, sigma),
        *density.posterior(x, alpha, sigma),
    )


@EVERY
@pytest.mark.parametrize("level", LEVELS, ids=str)
@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_row_is_asked_of_its_own_class(structure, level, as_tensor) -> None:
    labels = torch.tensor([0, -1, 2, 1, 1, 0, -1])
    x = torch.from_numpy(RNG.standard_normal((7, 3)) * 2.0)
    alpha, sigma = level
    if as_tensor:
        alpha, sigma = (torch.full((7, 1), v, dtype=torch.float64) for v in level)
    bound = mixture(structure).given(labels)
    for i, c in enumerate(labels.tolist()):
        alone = ask(of_class(structure, c), x[i : i + 1], *level)
        for got, wanted in zip(ask(bound, x, alpha, sigma), alone, strict=True):
            torch.testing.assert_close(got[i : i + 1], wanted, rtol=1e-11, atol=1e-11)


@EVERY
@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_the_class_given_a_state_is_bayes_rule(structure, level) -> None:
    x = torch.from_numpy(RNG.standard_normal((6, 3)) * 2.0)
    prior = [WEIGHTS[np.array(LABELS) == c].sum() for c in range(3)]
    joint = [
        math.log(prior[c]) + of_class(structure, c).log_prob(x, *level).numpy() for c in range(3)
    ]
    expected = np.stack(joint, 1) - np.logaddexp.reduce(joint)[:, None]
    got = mixture(structure).class_log_prob(x, *level)
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10)
    # the classes seen so far of a state are no part of its posterior
    bound = mixture(structure).given(torch.zeros(6, dtype=torch.int64))
    assert torch.equal(bound.class_log_prob(x, *level), got)


@EVERY
def test_samples_have_the_law_of_their_class(structure) -> None:
    n = 12_000
    labels = torch.arange(n) % 3
    x = mixture(structure).given(labels).sample(torch.arange(n), 5).numpy()
    for c in range(3):
        part, own = x[labels == c], np.array(LABELS) == c
        w = WEIGHTS[own] / WEIGHTS[own].sum()
        spreads = of_class(structure, c).covariance_matrices().numpy()
        mean = w @ MEANS[own]
        off = MEANS[own] - mean
        spread = np.einsum("k,kij->ij", w, spreads + off[:, :, None] * off[:, None, :])
        assert np.abs((part.mean(0) - mean) / np.sqrt(np.diag(spread) / len(part))).max() < 4.5
        products = (part - mean)[:, :, None] * (part - mean)[:, None, :]
        error = products.std(0) / math.sqrt(len(part))
        assert np.abs((products.mean(0) - spread) / error).max() < 4.5


def test_a_sample_is_a_function_of_its_id_and_label() -> None:
    whole, ids = mixture("diagonal"), torch.arange(40)
    labels = ids % 3
    together = whole.given(labels).sample(ids, 2)
    for part in ids.split(7):
        assert torch.equal(whole.given(labels[part]).sample(part, 2), together[part])
    assert torch.equal(whole.given(torch.full((40,), -1)).sample(ids, 2), whole.sample(ids, 2))


def test_no_sample_leaves_its_class() -> None:
    """Zero variances: a sample is one of its class's means, however small the weight."""
    density = GaussianMixture(
        means=[[0.0], [1.0], [2.0]], covariances=[0, 0, 0], weights=[1e-9, 1, 0], labels=(0, 1, 1)
    )
    drawn = density.given(torch.arange(4000) % 2).sample(torch.arange(4000), 1)[:, 0]
    assert torch.equal(drawn, (torch.arange(4000) % 2).double())


def test_without_a_condition_it_is_the_same_mixture() -> None:
    plain, labelled = mixture("full", None), mixture("full")
    x = torch.from_numpy(RNG.standard_normal((4, 3)))
    again = labelled.given(torch.zeros(4, dtype=torch.int64)).given(None)
    for density in (labelled, again, labelled.given(None)):
        for got, wanted in zip(ask(density, x, 0.8, 0.6), ask(plain, x, 0.8, 0.6), strict=True):
            assert torch.equal(got, wanted)
    assert (plain.classes, labelled.classes) == (0, 3)


@pytest.mark.parametrize("labels", [
    (0, 1), (0, 1, 2, 0, 2, 1), (0, 2, 0, 2, 0), (1, 1, 2, 1, 2), (-1, 0, 1, 1, 0),
    (0, 10**12, 1, 1, 0), (),
])  # fmt: skip
def test_labels_that_leave_a_gap_are_refused(labels) -> None:
    with pytest.raises(OptionError, match="5 components its class"):
        mixture("spherical", labels)


def test_a_class_of_no_weight_is_refused() -> None:
    with pytest.raises(OptionError, match="positive weight"):
        GaussianMixture(
            means=[[0.0], [1.0]], covariances=[1, 1], weights=[1.0, 0.0], labels=(0, 1)
        )


@pytest.mark.parametrize(("labels", "named"), [
    (torch.tensor([0, 3]), r"0\.\.2 .* from 0 to 3"), (torch.tensor([0, -2]), "from -2 to 0"),
    (torch.tensor([0.0, 1.0]), "float32"), (torch.tensor([[0], [1]]), r"\(2, 1\)"),
])  # fmt: skip
def test_labels_out_of_range_are_named(labels, named) -> None:
    with pytest.raises(OptionError, match=named):
        mixture("full").given(labels)


def test_other_rows_than_those_bound_are_refused() -> None:
    bound = mixture("full").given(torch.tensor([1]))
    for ask_it in (
        lambda: bound.score(torch.zeros(2, 3), 0.8, 0.6),
        lambda: bound.sample(torch.arange(2)),
    ):
        with pytest.raises(OptionError, match="given 1 labels was asked about 2 rows"):
            ask_it()


def test_a_mixture_without_labels_has_no_classes() -> None:
    for ask_it in (
        lambda: mixture("full", None).given(torch.tensor([0])),
        lambda: mixture("full", None).class_log_prob(torch.zeros(1, 3)),
    ):
        with pytest.raises(CapabilityError, match="classes"):
            ask_it()
