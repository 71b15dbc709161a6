"""The five structures: what each can be, how it counts, and data that strain it."""

import math

import numpy as np
import pytest
import torch

from scoresde.densities import GaussianMixture
from scoresde.errors import DataError, OptionError
from scoresde.estimators import load, save
from scoresde.estimators.mixture import EM, GMM, METHODS, free_parameters

STRUCTURES = {"spherical": 0, "diagonal": 0, "tied": 0, "full": 0, "low-rank": 1}
D = torch.float64


def data(n: int = 90, d: int = 3, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=g, dtype=D) + 4.0 * (torch.arange(n) % 2)[:, None]


def recipe(structure: str, **options) -> GMM:
    return GMM(**{"k": 2, "structure": structure, "rank": STRUCTURES[structure], **options})


def sample_covariance(x: torch.Tensor) -> np.ndarray:
    return np.cov(x.numpy().T, bias=True)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_one_component_is_the_closed_form(structure) -> None:
    x = data()
    found, c = recipe(structure, k=1).fit(x).density, sample_covariance(x)
    values, axes = np.linalg.eigh(c)
    rest = values[:-1].mean()  # Tipping & Bishop 1999, eqs. 15-16
    wanted = {
        "spherical": np.trace(c) / 3 * np.eye(3),
        "diagonal": np.diag(np.diag(c)),
        "tied": c,
        "full": c,
        "low-rank": (values[-1] - rest) * np.outer(axes[:, -1], axes[:, -1]) + rest * np.eye(3),
    }[structure]
    np.testing.assert_allclose(found.means[0], x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance_matrices()[0], wanted, rtol=1e-10, atol=1e-12)


def test_a_richer_structure_is_never_less_likely() -> None:
    """Each holds the one before, so from the same start EM ends at least as high (here: does)."""
    x = data(200, seed=3)
    reached = [
        recipe(structure, method=EM(max_iterations=300)).fit(x).trace[-1]
        for structure in ("spherical", "low-rank", "full")
    ]
    assert reached == sorted(reached)


@pytest.mark.parametrize(
    ("structure", "rank", "count"),
    [
        ("spherical", 0, 3 + 20 + 4),
        ("diagonal", 0, 3 + 20 + 20),
        ("tied", 0, 3 + 20 + 15),
        ("full", 0, 3 + 20 + 60),
        ("low-rank", 1, 3 + 20 + 4 * 6),
        ("low-rank", 2, 3 + 20 + 4 * 10),
        ("low-rank", 4, 3 + 20 + 60),  # d - 1 factors and a variance are any covariance
    ],
)
def test_parameters_are_counted(structure, rank, count) -> None:
    assert free_parameters(structure, 4, 5, rank) == count
    assert free_parameters(structure, 4, 5, rank, ("means",)) == 20


@pytest.mark.parametrize(
    ("structure", "method"),
    [
        (structure, method)
        for structure in STRUCTURES
        for method in METHODS.names()
        if structure != "low-rank" or method not in ("vb", "svi")  # no conjugate prior
    ],
)
def test_every_method_leaves_a_model_that_a_file_can_hold(structure, method, tmp_path) -> None:
    x = data(60).reshape(60, 3, 1, 1).to(torch.float32)
    model = recipe(structure, method=METHODS[method](max_iterations=3)).fit(x)
    assert model.event_shape == model.density.event_shape == (3, 1, 1)
    save(tmp_path / "model.safetensors", model)
    again = load(tmp_path / "model.safetensors")
    assert torch.equal(again.density.log_prob(x), model.density.log_prob(x))
    assert again.facts() == model.facts()
    assert again.trace == model.trace
    assert set(again.posterior) == set(model.posterior)
    total = float(model.density.log_prob(x.to(D)).sum())
    assert model.log_likelihood == pytest.approx(total, rel=1e-12)
    assert torch.equal(model.labels(x), model.responsibilities(x).argmax(-1))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_constant_columns_are_narrow_and_told(structure) -> None:
    x = torch.cat([data(), torch.full((90, 1), 0.1, dtype=D)], dim=1)
    model = recipe(structure).fit(x)
    assert math.isfinite(model.log_likelihood)
    sharp = structure in ("diagonal", "tied", "full")
    assert model.facts()["at_floor"] == (2 if sharp else 0)
    if sharp:
        least = torch.linalg.eigvalsh(model.density.covariance_matrices())[:, 0]
        torch.testing.assert_close(
            least, torch.full((2,), model.floor, dtype=D), rtol=1e-6, atol=0.0
        )
    assert float(model.density.score(x).abs().max()) < math.inf


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_component_for_each_datum_stays_finite(structure) -> None:
    """K = N < d + 1: every component collapses onto a datum, down to the floor and no further."""
    model = recipe(structure, k=3).fit(data(3, 4))
    assert math.isfinite(model.log_likelihood)
    assert model.facts()["at_floor"] == 3


def test_a_component_without_data_stays_and_is_told() -> None:
    x = data()
    far = GaussianMixture(means=torch.tensor([[0.0] * 3, [1e4] * 3]), covariances=torch.ones(2))
    model = GMM(k=2, structure="spherical").fit(x, start=far)
    assert model.facts()["dead"] == 1
    torch.testing.assert_close(model.density.means[1], far.means[1])
    torch.testing.assert_close(model.density.means[0], x.mean(0))


def test_the_floor_is_a_share_of_the_median_variance() -> None:
    """Neither a wide column nor a constant one sets it; a narrow column keeps its own variance."""
    x = data(400) * torch.tensor([1e-3, 1.0, 1e4], dtype=D)
    model = recipe("diagonal", floor=1e-9).fit(x)
    assert model.floor == pytest.approx(1e-9 * float(x[:, 1].var(correction=0)), rel=1e-10)
    assert model.facts()["at_floor"] == 0


@pytest.mark.parametrize("start", ["kmeans", "k-means++", "random"])
def test_every_start_finds_two_clusters(start) -> None:
    means = recipe("spherical", start=start).fit(data(300)).density.means[:, 0].sort().values
    torch.testing.assert_close(means, torch.tensor([0.0, 4.0], dtype=D), rtol=0.0, atol=0.4)


def test_only_distinct_data_make_centres() -> None:
    twice = data(2).repeat(20, 1)
    with pytest.raises(DataError, match="distinct"):
        recipe("full", k=3).fit(twice)
    model = recipe("full", k=3, start="random").fit(twice)
    assert math.isfinite(model.log_likelihood)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (data(1), "at least 2 data, got 1"),
        (torch.ones(50, 2), "one point"),
        (torch.tensor([[0.0], [math.nan], [1.0]]), "row 1"),
        (data(1).repeat(2, 1)[:, 0], "shape"),
        (data(3)[:1], "at least 2 data, got 1"),
        (data() * 1e160, "overflow"),
    ],
)
def test_data_that_no_mixture_can_have_are_told(x, said) -> None:
    with pytest.raises(DataError, match=said):
        GMM(k=1).fit(x)


def test_more_components_than_data_are_told() -> None:
    with pytest.raises(DataError, match="k = 5"):
        GMM(k=5).fit(data(4))


OWN = GaussianMixture(means=torch.zeros(2, 3), covariances=torch.ones(2))


@pytest.mark.parametrize(
    ("made", "start", "said"),
    [
        ({"structure": "full"}, OWN, "spherical with 2"),
        ({"structure": "spherical", "k": 3}, OWN, "spherical with 3"),
        ({"structure": "spherical", "restarts": 2}, OWN, "restarts"),
        ({"structure": "spherical"}, "kmeans", "GaussianMixture"),
        (
            {"structure": "low-rank", "rank": 2},
            GaussianMixture(
                means=torch.zeros(2, 3), factors=torch.ones(2, 3, 1), variances=torch.ones(2)
            ),
            "rank 1",
        ),
        ({"structure": "low-rank", "rank": 3}, None, "reduction"),
    ],
)
def test_a_start_of_another_form_is_refused(made, start, said) -> None:
    with pytest.raises(OptionError, match=said):
        GMM(**{"k": 2, **made}).fit(data(), start=start)


def test_a_fitted_model_is_a_start_and_goes_on() -> None:
    x = data()
    first, whole, rest = (
        recipe("full", k=3, method=EM(max_iterations=steps, tolerance=0.0)) for steps in (2, 5, 3)
    )
    first, whole = first.fit(x), whole.fit(x)
    rest = rest.fit(x, start=first)
    assert first.trace + rest.trace == whole.trace
    assert torch.equal(rest.density.means, whole.density.means)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"k": 0}, "k of a mixture"),
        ({"k": 2.0}, "k of a mixture"),
        ({"restarts": 0}, "restarts"),
        ({"structure": "ful"}, "structure"),
        ({"start": "centres"}, "start"),
        ({"structure": "low-rank"}, "rank"),
        ({"rank": 1}, "low-rank"),
        ({"method": "em"}, "method"),
        ({"floor": 0.0}, "floor"),
        ({"floor": math.nan}, "floor"),
    ],
)
def test_options_out_of_range_are_told(options, said) -> None:
    with pytest.raises(OptionError, match=said):
        GMM(**{"k": 2, **options})


@pytest.mark.parametrize("structure", ["tied", "full"])
def test_a_floor_below_the_rounding_of_the_largest_variance_is_refused(structure: str) -> None:
    """Lifted eigenvalues would be rounding errors: with `add` there is none to lift."""
    x = np.random.default_rng(9).normal(size=(300, 4)) * [1e-6, 1e-2, 1.0, 1e6]
    with pytest.raises(DataError, match="further than float64 tells apart; bring the columns"):
        GMM(k=3, structure=structure, start="random").fit(x)
    scaled = GMM(k=3, structure=structure, start="random").fit(x / x.std(0))
    assert float(np.diff(scaled.trace).min()) > -1e-9
