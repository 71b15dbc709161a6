"""Laws of k-medoids: optimal against exhaustive search, local optima, robustness to an outlier."""

import itertools
import math

import numpy as np
import pytest
import torch

from scoresde.errors import DataError, OptionError
from scoresde.estimators import KMeans, KMedoids, NotFittedError, load, save
from scoresde.estimators.kmedoids.swaps import Swaps, build, spread

RNG = np.random.default_rng(5)
X = torch.from_numpy(
    RNG.normal(size=(150, 3)) + 2.0 * RNG.normal(size=(5, 3))[RNG.integers(5, size=150)]
)
METRICS = pytest.mark.parametrize("metric", ["euclidean", "manhattan"])


def apart(x: torch.Tensor, metric: str) -> torch.Tensor:
    gaps = (x[:, None] - x).flatten(2)
    return gaps.abs().sum(-1) if metric == "manhattan" else gaps.square().sum(-1).sqrt()


def loss(between: torch.Tensor, medoids) -> float:
    return float(between[list(medoids)].amin(0).sum())


@METRICS
def test_restarts_find_the_least_loss_of_all_subsets(metric) -> None:
    for k in (1, 2, 3):
        x = torch.from_numpy(RNG.normal(size=(14, 2)))
        between = apart(x, metric)
        best = min(itertools.combinations(range(14), k), key=lambda m: loss(between, m))
        model = KMedoids(k=k, metric=metric, restarts=8).fit(x)
        assert tuple(model.indices.tolist()) == best
        assert model.loss == pytest.approx(loss(between, best), rel=1e-13)


@METRICS
@pytest.mark.parametrize("start", ["k-means++", "build"])
def test_no_single_swap_improves_and_the_loss_never_rises(metric, start) -> None:
    between, told = apart(X, metric), []
    model = KMedoids(k=5, metric=metric, start=start, restarts=1).fit(
        X, on_iteration=lambda *a: told.append(a)
    )
    medoids = model.indices.tolist()
    assert model.converged
    assert medoids == sorted(set(medoids))
    assert torch.equal(model.medoids, X[model.indices])  # medoids are data
    swaps = (
        loss(between, [*medoids[:i], c, *medoids[i + 1 :]]) for i in range(5) for c in range(150)
    )
    assert min(swaps) >= model.loss * (1 - 1e-12)
    assert told == list(enumerate(model.trace, 1))
    assert all(b <= a for a, b in zip(model.trace, model.trace[1:], strict=False))
    assert model.trace[-1] == pytest.approx(model.loss, rel=1e-13)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_the_weight_of_a_swap_is_the_change_of_the_loss(k) -> None:
    between = apart(X[:30], "euclidean")
    medoids = list(range(3, 3 + k))
    changes = Swaps(between, torch.tensor(medoids)).changes(between)
    for c, i in itertools.product(range(30), range(k)):
        after = loss(between, [*medoids[:i], c, *medoids[i + 1 :]])
        assert float(changes[c, i]) == pytest.approx(after - loss(between, medoids), abs=1e-11)


def test_build_is_greedy() -> None:
    between = apart(X, "euclidean")
    chosen: list[int] = []
    for row in build(between, 4).tolist():
        losses = [loss(between, [*chosen, c]) for c in range(150)]
        chosen.append(int(np.argmin(losses)))
        assert row == chosen[-1]


def test_starts_are_drawn_by_distance() -> None:
    """p(j | i) = d_ij / sum_j d_ij, by an even grid of uniform numbers for the second."""
    between, grid = apart(X[:6], "manhattan"), 100
    counts = torch.zeros(6).double()
    for share in range(grid):
        u = torch.tensor([0.5 / 6, (share + 0.5) / grid]).double()
        counts[spread(between, u)[1]] += 1
    assert bool(((counts - grid * between[0] / between[0].sum()).abs() <= 1.0).all())


@METRICS
def test_an_outlier_moves_the_mean_but_not_the_medoid(metric) -> None:
    """Three each of 0, 1, 2, 10, 11, 12, and one of 60.

    60 alone and the rest at 6: inertia 3 (36 + 25 + 16) 2 = 462; with 10, 11, 12 at 15.9: 2173.
    Distances to the medoids 1 and 11: 12 + 49 = 61; to 60 and, for the rest, 2: 90.
    """
    clean = torch.tensor([0.0, 1.0, 2.0, 10.0, 11.0, 12.0])[:, None].double().repeat(3, 1)
    dirty = torch.cat([clean, torch.tensor([[60.0]]).double()])
    for x, wanted in ((clean, 12.0), (dirty, 61.0)):
        model = KMedoids(k=2, metric=metric).fit(x)
        assert sorted(model.medoids[:, 0].tolist()) == [1.0, 11.0]
        assert model.loss == pytest.approx(wanted, rel=1e-14)
    for x, wanted, inertia in ((clean, [1.0, 11.0], 12.0), (dirty, [6.0, 60.0], 462.0)):
        means = KMeans(k=2).fit(x)
        assert sorted(means.centres[:, 0].tolist()) == pytest.approx(wanted, rel=1e-14)
        assert means.inertia == pytest.approx(inertia, rel=1e-13)


def test_the_metric_decides() -> None:
    sets = torch.from_numpy(RNG.normal(size=(15, 8, 4)))
    winners = {
        metric: [int(KMedoids(k=1, metric=metric).fit(x).indices) for x in sets]
        for metric in ("euclidean", "manhattan")
    }
    for metric, found in winners.items():
        assert found == [int(apart(x, metric).sum(1).argmin()) for x in sets]
    assert winners["euclidean"] != winners["manhattan"]


def test_subsamples_are_judged_on_all_data() -> None:
    estimator = KMedoids(k=5, largest=60)
    model, exact = estimator.fit(X), KMedoids(k=5).fit(X)
    between = apart(X, "euclidean")
    assert exact.loss <= model.loss < 1.15 * exact.loss
    assert model.loss == pytest.approx(loss(between, model.indices.tolist()), rel=1e-13)
    assert model.loss == min(model.losses)
    assert len(set(model.losses)) > 1
    assert torch.equal(model.indices, estimator.fit(X).indices)
    assert int(model.counts.sum()) == 150


@METRICS
def test_model_density_and_storage(metric, tmp_path) -> None:
    x = X[:, :2].float().reshape(-1, 1, 1, 2)
    model = KMedoids(k=4, metric=metric, restarts=1).fit(x)
    flat = x.flatten(1).double()
    labels = model.predict(x)
    gaps = flat - model.medoids[labels]
    assert torch.equal(labels, apart(flat, metric)[model.indices].argmin(0))
    assert torch.equal(model.counts, torch.bincount(labels))
    assert model.loss_of(x) == pytest.approx(model.loss, rel=1e-13)
    variance = float(gaps.square().sum()) / 300
    density = model.density
    assert density.event_shape == (1, 1, 2)
    torch.testing.assert_close(density.variances, torch.full((4,), variance).double())
    save(tmp_path / "model", model)
    back = load(tmp_path / "model")
    assert torch.equal(back.medoids, model.medoids)
    assert torch.equal(back.indices, model.indices)
    assert (back.facts(), back.trace, back.metric) == (model.facts(), model.trace, metric)
    assert torch.equal(back.density.log_prob(x), density.log_prob(x))


@METRICS
@pytest.mark.parametrize(("offset", "scale"), [(1e6, 1.0), (0.0, 1e-200), (0.0, 1e130)])
def test_offset_and_scale_do_not_matter(metric, offset, scale) -> None:
    plain = KMedoids(k=5, metric=metric).fit(X)
    moved = KMedoids(k=5, metric=metric).fit(X * scale + offset)
    assert torch.equal(plain.indices, moved.indices)
    assert moved.loss / scale == pytest.approx(plain.loss, rel=1e-8)


def test_bad_input() -> None:
    for options, name in (
        ({"k": 0}, "k"),
        ({"k": 2, "metric": "cosine"}, "metric"),
        ({"k": 2, "start": "random"}, "start"),
        ({"k": 9, "largest": 8}, "largest"),
        ({"k": 2, "restarts": 1.5}, "restarts"),
        ({"k": 2, "max_iterations": 0}, "max_iterations"),
    ):
        with pytest.raises(OptionError, match=f"^{name} of k-medoids"):
            KMedoids(**options)
    for start in ("k-means++", "build"):
        with pytest.raises(DataError, match=r"k = 3 centres need 3 distinct rows, .* at most 2"):
            KMedoids(k=3, start=start).fit(X[:2].repeat(5, 1))
    with pytest.raises(DataError, match="k = 3 medoids need as many data, got 2"):
        KMedoids(k=3).fit(X[:2])
    with pytest.raises(DataError, match="NaN"):
        KMedoids(k=1).fit(torch.tensor([[math.nan]]))
    model = KMedoids(k=1).fit(X[:1])
    assert model.loss == 0.0
    assert model.indices.tolist() == [0]
    assert KMedoids(k=3).fit(X[:3]).loss == 0.0
    assert model.predict(X[:0]).shape == (0,)
    assert model.transform(X[:0]).shape == (0, 1)
    for method in (model.predict, model.transform, model.loss_of):
        with pytest.raises(DataError, match="shape"):
            method(X[:, :1])
    with pytest.raises(NotFittedError):
        KMedoids(k=3).predict(X)
