"""Laws of k-means: its two steps, its starts, exact assignment, agreement with scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans as Reference

from scoresde.data import dataset
from scoresde.errors import DataError, OptionError
from scoresde.estimators import KMeans, NotFittedError, load, save
from scoresde.estimators.kmeans import centred, nearest
from scoresde.estimators.kmeans.centred import Centred, Frame
from scoresde.estimators.kmeans.minibatch import minibatch, some_batch
from scoresde.score import ExactScore

RNG = np.random.default_rng(11)
X = torch.from_numpy(
    RNG.normal(size=(600, 5)) + 3.0 * RNG.normal(size=(6, 5))[RNG.integers(6, size=600)]
)


def brute(x: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Squared distances by differences, (n, k)."""
    return (x.double().flatten(1)[:, None] - centres).square().sum(-1)


class Lazy:
    """Rows that can only be read by slice or index, and tell blocks in an order of their own."""

    fingerprint = "lazy"

    def __init__(self, x: torch.Tensor):
        self.x, self.shape = x, tuple(x.shape)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index) -> torch.Tensor:
        return self.x[index].clone()

    def blocks(self):
        yield self.x[300:]
        yield self.x[:300]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("iterations", [1, 4, 100])
def test_lloyd_is_that_of_scikit_learn(dtype, iterations) -> None:
    x = X.to(dtype)
    start = x[:6].numpy()
    ours = KMeans(k=6, max_iterations=iterations, tolerance=0.0).fit(x, start=start)
    theirs = Reference(
        6, init=start.astype(np.float64), n_init=1, max_iter=iterations, tol=0.0, algorithm="lloyd"
    ).fit(x.double().numpy())
    assert ours.iterations == theirs.n_iter_
    np.testing.assert_allclose(ours.centres.numpy(), theirs.cluster_centers_, rtol=0, atol=1e-12)
    assert ours.inertia == pytest.approx(theirs.inertia_, rel=1e-12)
    assert torch.equal(ours.predict(x), torch.from_numpy(theirs.labels_).long())
    np.testing.assert_allclose(ours.transform(x).numpy(), theirs.transform(x.double().numpy()))


@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1.0), (1e6, 1.0), (0.0, 1e-30), (3e7, 1e3)])
def test_the_fixed_point_is_a_fixed_point_at_any_offset_and_scale(offset, scale) -> None:
    x = X * scale + offset
    told = []
    model = KMeans(k=6, tolerance=0.0, restarts=1).fit(x, on_iteration=lambda *a: told.append(a))
    labels = model.predict(x)
    rounding = 1e-15 * (offset + 10 * scale)
    assert model.converged
    assert torch.equal(model.counts, torch.bincount(labels, minlength=6))
    for k in range(6):
        mean = x[labels == k].mean(0)
        torch.testing.assert_close(model.centres[k], mean, rtol=0, atol=20 * rounding)
    squares = brute(x, model.centres)
    assert torch.equal(labels, squares.argmin(1))
    least = float(squares.amin(1).sum())
    assert model.inertia == pytest.approx(least, rel=1e-12 + 1e4 * rounding**2 / scale**2)
    assert model.inertia_of(x) == pytest.approx(least, rel=1e-13)
    assert told == list(enumerate(model.trace, 1))
    total = float((x - x.mean(0)).square().sum())
    assert all(b <= a + 1e-13 * total for a, b in zip(model.trace, model.trace[1:], strict=False))
    assert model.trace[-1] == pytest.approx(model.inertia, rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("apart", [1e2, 1e4, 1e6])
def test_the_trace_of_narrow_clusters_far_apart_is_right_and_never_rises(apart, dtype) -> None:
    """Where sum |y|^2 - sum |S|^2 / N cancels, to 1e-14 of what is left in the worst case."""
    rng = np.random.default_rng(5)
    x = apart * rng.normal(size=(4, 3))[rng.integers(4, size=2000)]
    x = torch.from_numpy(x + 0.01 * rng.normal(size=x.shape)).to(dtype)
    for seed in range(3):
        model = KMeans(k=7, restarts=1, tolerance=0.0).fit(x, seed=seed)
        steps = zip(model.trace, model.trace[1:], strict=False)
        assert all(b <= a * (1.0 + 1e-10) for a, b in steps)
        truth = float(brute(x, model.centres).amin(1).sum())
        assert model.trace[-1] == pytest.approx(truth, rel=1e-9)
        assert model.inertia == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize("far", [1e7, 1e13])
def test_a_far_datum_takes_no_digits_of_the_cluster_that_it_leaves(far) -> None:
    x = torch.from_numpy(RNG.normal(size=(1000, 3)))
    x[-1] = far
    model = KMeans(k=2, tolerance=0.0).fit(x, start=torch.zeros(2, 3))  # all in the first cluster
    near = model.centres[model.counts.argmax()]
    assert model.counts.tolist() in ([999, 1], [1, 999])
    torch.testing.assert_close(near, x[:-1].mean(0), rtol=0.0, atol=1e-14)


def test_repeats_are_equal_to_the_bit_and_blocks_do_not_matter(monkeypatch) -> None:
    estimator, x = KMeans(k=6, start="random"), X.float()
    once, again = estimator.fit(x, seed=3), estimator.fit(x, seed=3)
    assert torch.equal(once.centres, again.centres)
    assert once.trace == again.trace
    assert not torch.equal(once.centres, estimator.fit(x, seed=4).centres)
    monkeypatch.setattr(dataset, "BLOCK", 5 * 37)
    monkeypatch.setattr(nearest, "PIECE", 6 * 11)
    monkeypatch.setattr(centred, "KEPT", 0)
    streamed = estimator.fit(Lazy(x), seed=3)
    torch.testing.assert_close(streamed.centres, once.centres, rtol=0, atol=1e-12)
    assert streamed.iterations == once.iterations
    assert torch.equal(streamed.predict(Lazy(x)), once.predict(x))


def test_an_empty_cluster_takes_the_farthest_datum() -> None:
    x = torch.tensor([[0.0], [1.0], [2.0], [9.0]]).double()
    start = torch.tensor([[1.0], [50.0], [60.0]])  # all data nearest to the first
    model = KMeans(k=3, max_iterations=1).fit(x, start=start)
    assert model.centres[:, 0].tolist() == [1.5, 9.0, 0.0]  # 9 is farthest, then 0 before 2
    model = KMeans(k=3).fit(x, start=start)
    assert sorted(model.counts.tolist()) == [1, 1, 2]
    assert model.inertia == 0.5
    assert all(b <= a for a, b in zip(model.trace, model.trace[1:], strict=False))


def test_minibatches_reach_the_clusters_and_end_in_a_full_assignment() -> None:
    exact = KMeans(k=6).fit(X)
    estimator = KMeans(k=6, minibatch=64, max_iterations=40, restarts=2)
    model = estimator.fit(Lazy(X.float()))
    assert exact.inertia <= model.inertia < 1.05 * exact.inertia
    assert model.inertia == pytest.approx(float(brute(X.float(), model.centres).amin(1).sum()))
    assert torch.equal(model.counts, torch.bincount(model.predict(X), minlength=6))
    assert torch.equal(model.centres, estimator.fit(X.float()).centres)


def test_a_minibatch_step_is_the_running_mean_of_sculley() -> None:
    """One datum at a time with the rate 1 / count, as the paper's algorithm has it."""
    data = Centred(X, Frame.around(X))
    options = {"size": 20, "seed": 5, "run": 2}
    got = minibatch(data, data.rows(torch.arange(6)), **options, max_iterations=3, tolerance=0.0)
    y, centres, counts = data.rows(slice(None)), data.rows(torch.arange(6)), [0] * 6
    for step in (2, 3, 4):
        rows = some_batch(600, 20, seed=5, step=step, run=2, device=torch.device("cpu"))
        for row, k in zip(rows, brute(y[rows], centres).argmin(1).tolist(), strict=True):
            counts[k] += 1
            centres[k] += (y[row] - centres[k]) / counts[k]
    torch.testing.assert_close(got.centres, centres, rtol=0, atol=1e-14)


def test_the_density_maximises_the_classification_likelihood() -> None:
    """Over the variance, at these means and weights: sum_i log w_l(i) N(x_i; c_l(i), v I)."""
    model = KMeans(k=6).fit(X)
    density, labels = model.density, model.predict(X)
    assert torch.equal(density.means, model.centres)
    torch.testing.assert_close(density.weights, torch.bincount(labels).double() / 600)
    v = float(density.variances[0])
    gaps = float(brute(X, model.centres).amin(1).sum())

    def log_likelihood(v: float) -> float:
        return -0.5 * gaps / v - 0.5 * X.numel() * math.log(v)

    assert log_likelihood(v) > max(log_likelihood(v * 1.001), log_likelihood(v / 1.001))
    many = density.sample(torch.arange(20000), seed=1)
    assert float(many.mean()) == pytest.approx(float(X.mean()), abs=5 * float(X.std()) / 140)


def test_images_and_storage(tmp_path) -> None:
    x = X[:200, :4].float().reshape(-1, 1, 2, 2)
    model = KMeans(k=3).fit(x, start=x[:3])
    assert model.density.event_shape == (1, 2, 2)
    torch.testing.assert_close(model.centres, KMeans(k=3).fit(x, start=x[:3].flatten(1)).centres)
    save(tmp_path / "model", model)
    back = load(tmp_path / "model")
    assert torch.equal(back.centres, model.centres)
    assert torch.equal(back.counts, model.counts)
    assert (back.trace, back.inertia, back.facts()) == (model.trace, model.inertia, model.facts())
    assert torch.equal(back.density.log_prob(x), model.density.log_prob(x))
    assert torch.equal(back.predict(x), model.predict(x))


def test_as_many_centres_as_data_leave_the_diffused_empirical_law() -> None:
    x = X[:7]
    model = KMeans(k=7).fit(x)
    assert model.inertia < 1e-28
    assert model.counts.tolist() == [1] * 7
    z = torch.zeros(1, 5).double()
    weights = (-brute(z, x) / 2).softmax(1)
    torch.testing.assert_close(model.density.score(z, 1.0, 1.0), weights @ x - z)
    assert ExactScore(model.density).event_shape == (5,)


def test_one_datum_one_centre() -> None:
    model = KMeans(k=1).fit(torch.tensor([[2.0, 3.0]]))
    assert model.centres.tolist() == [[2.0, 3.0]]
    assert model.inertia == 0.0
    assert model.converged
    mean = KMeans(k=1).fit(X)
    torch.testing.assert_close(mean.centres[0], X.mean(0))


@pytest.mark.parametrize("start", ["k-means++", "random"])
def test_more_centres_than_distinct_rows_are_refused(start) -> None:
    x = X[:3].repeat(20, 1)
    assert KMeans(k=3, start=start).fit(x).inertia < 1e-26
    with pytest.raises(DataError, match=r"k = 4 centres need 4 distinct rows, .* at most 3"):
        KMeans(k=4, start=start).fit(x)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"k": 0}, "k"),
        ({"k": 2.0}, "k"),
        ({"k": True}, "k"),
        ({"k": 2, "start": "kmeans"}, "start"),
        ({"k": 2, "restarts": 0}, "restarts"),
        ({"k": 2, "candidates": 0}, "candidates"),
        ({"k": 2, "max_iterations": 0}, "max_iterations"),
        ({"k": 2, "minibatch": -1}, "minibatch"),
        ({"k": 2, "tolerance": math.nan}, "tolerance"),
    ],
)
def test_options_out_of_range(options, name) -> None:
    with pytest.raises(OptionError, match=f"^{name} of k-means"):
        KMeans(**options)


def test_bad_data_and_starts() -> None:
    with pytest.raises(DataError, match="k = 7 centres need as many data, got 6"):
        KMeans(k=7).fit(X[:6])
    with pytest.raises(DataError, match="NaN"):
        KMeans(k=2).fit(torch.tensor([[0.0], [math.nan], [1.0]]))
    with pytest.raises(DataError, match="overflow"):
        KMeans(k=2).fit(X * 1e200)
    for start in (X[:3], X[:2, :3], X[:2, 0]):
        with pytest.raises(OptionError, match="start"):
            KMeans(k=2).fit(X, start=start)
    with pytest.raises(OptionError, match=r"need \(2, 4\)$"):
        KMeans(k=2).fit(X[:, :4], start=X[:3, :4])
    with pytest.raises(OptionError, match=r"need \(2, 4\) or \(2, 2, 2\)$"):
        KMeans(k=2).fit(X[:, :4].reshape(-1, 2, 2), start=X[:3, :4])
    model = KMeans(k=2).fit(X)
    for method in (model.predict, model.transform, model.inertia_of):
        with pytest.raises(DataError, match="shape"):
            method(X[:, :3])
        with pytest.raises(DataError, match="NaN"):
            method(torch.full((1, 5), math.nan))
    assert model.predict(X[:0]).shape == (0,)
    assert model.transform(X[:0]).shape == (0, 2)
    with pytest.raises(NotFittedError, match=r"KMeans\(\.\.\.\)\.fit"):
        KMeans(k=3).predict(X)
