"""Stochastic variational inference: beside CAVI, step by step and at the end."""

import numpy as np
import pytest
import torch

from scoresde.densities import GaussianMixture
from scoresde.errors import OptionError
from scoresde.estimators.mixture.cavi import VariationalBayes
from scoresde.estimators.mixture.posterior import Posterior
from scoresde.estimators.mixture.statistics import gather
from scoresde.estimators.mixture.svi import StochasticVariational, minibatches

STRUCTURES = ["spherical", "diagonal", "tied", "full"]


def problem(structure, n=120, d=2, k=3):
    rng = np.random.default_rng(2)
    centres = 3.0 * rng.standard_normal((3, d))
    x = torch.from_numpy(centres[np.arange(n) % 3] + rng.standard_normal((n, d)))
    own = {"spherical": torch.ones(k), "diagonal": torch.ones(k, d), "tied": torch.eye(d)}
    own = own.get(structure, torch.eye(d).expand(k, d, d))
    return x, GaussianMixture(means=x[:k], covariances=4.0 * own, structure=structure)


class Lazy:
    """Rows that give float64 blocks of eleven only when asked."""

    def __init__(self, x):
        self.x, self.shape = x, tuple(x.shape)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index].clone()

    def blocks(self):
        return iter(self.x.split(11))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_whole_step_on_all_data_is_a_step_of_cavi(structure):
    x, start = problem(structure)
    priors = {"weight_concentration": 0.4, "mean_precision": 0.6}
    one = StochasticVariational(minibatch=len(x), delay=0.0, max_iterations=1, **priors)
    cavi = VariationalBayes(max_iterations=1, **priors)
    ours = one.climb(x, start, floor=1e-6)
    theirs = cavi.climb(x, start, floor=1e-6)
    for name, value in theirs.posterior.items():
        np.testing.assert_allclose(ours.posterior[name], value, rtol=1e-12, atol=1e-12)
    assert ours.trace[0] >= theirs.trace[0] - 1e-12  # here q(z) is the best for the new factors


@pytest.mark.parametrize("structure", STRUCTURES)
def test_scaled_minibatches_of_an_epoch_average_to_all_data(structure):
    x, start = problem(structure)
    q = VariationalBayes().prior(x, start).updated(VariationalBayes().started(x, start))
    whole = gather(x, q.log_joint, structure, start.means)
    parts = [
        gather(x[index], q.log_joint, structure, start.means).scaled(120 / 30)
        for index in minibatches(120, 30, seed=5, epoch=0)
    ]
    mean = sum(parts[1:], parts[0]).scaled(1 / 4)
    for name in ("counts", "sums", "squares"):
        np.testing.assert_allclose(
            getattr(mean, name), getattr(whole, name), rtol=1e-12, atol=1e-11
        )
    assert mean.log_normaliser == pytest.approx(whole.log_normaliser, rel=1e-12)


def test_an_epoch_deals_every_row_once_and_by_its_key_alone():
    deal = lambda **key: list(minibatches(103, 25, **key))  # noqa: E731
    parts = deal(seed=1, epoch=4)
    assert sorted(torch.cat(parts).tolist()) == list(range(103))
    assert {len(p) for p in parts} == {20, 21}
    assert all(torch.equal(a, b) for a, b in zip(parts, deal(seed=1, epoch=4), strict=True))
    for other in ({"seed": 2, "epoch": 4}, {"seed": 1, "epoch": 5}):
        assert not torch.equal(torch.cat(parts), torch.cat(deal(**other)))
    assert [len(p) for p in minibatches(7, 25, seed=0, epoch=0)] == [7]


@pytest.mark.parametrize("structure", ["spherical", "full"])
def test_it_ends_within_a_thousandth_of_a_nat_of_cavi(structure):
    x, start = problem(structure, n=400)
    best = VariationalBayes(tolerance=1e-10, max_iterations=500).climb(x, start, floor=1e-6)
    method = StochasticVariational(minibatch=50, max_iterations=20, tolerance=0.0)
    climb = method.climb(x, start, floor=1e-6, seed=3)
    prior = method.prior(x, start, floor=1e-6)
    ceiling = Posterior.of(best.posterior).collapsed_bound(prior, x) / len(x)
    assert ceiling - 1e-3 < climb.trace[-1] < ceiling + 1e-9
    assert climb.trace[-1] == Posterior.of(climb.posterior).collapsed_bound(prior, x) / len(x)
    assert climb.trace[-1] > climb.trace[0]


def test_rows_read_from_elsewhere_a_seed_and_a_minibatch_too_large():
    x, start = problem("full")
    method = StochasticVariational(minibatch=50, max_iterations=3, tolerance=0.0)
    plain = method.climb(x, start, floor=1e-6, seed=1)
    lazy = method.climb(Lazy(x), start, floor=1e-6, seed=1)
    np.testing.assert_allclose(lazy.trace, plain.trace, rtol=1e-13)
    assert plain.trace == method.climb(x, start, floor=1e-6, seed=1).trace
    assert plain.trace != method.climb(x, start, floor=1e-6, seed=2).trace
    large, whole = (
        StochasticVariational(minibatch=b, max_iterations=2).climb(x, start, floor=1e-6)
        for b in (10**6, 120)
    )
    assert large.trace == whole.trace


def test_it_stops_when_an_epoch_changes_little():
    x, start = problem("diagonal")
    told = []
    climb = StochasticVariational(minibatch=40, tolerance=1e-3).climb(
        x, start, floor=1e-6, on_iteration=lambda i, value: told.append((i, value))
    )
    assert climb.converged
    assert climb.iterations < 100
    assert abs(climb.trace[-1] - climb.trace[-2]) <= 1e-3
    assert told == list(enumerate(climb.trace, start=1))


@pytest.mark.parametrize(("options", "words"), [
    ({"minibatch": 0}, "minibatch of StochasticVariational is a whole number"),
    ({"minibatch": 2.5}, "minibatch"),
    ({"delay": -1.0}, "delay of StochasticVariational is a finite number"),
    ({"delay": float("inf")}, "delay"),
    ({"forgetting": 0.5}, r"forgetting of StochasticVariational lies in \(0.5, 1\]"),
    ({"forgetting": 1.01}, "forgetting"),
    ({"mean_precision": 0.0}, "mean_precision"),
    ({"max_iterations": 0}, "max_iterations"),
])  # fmt: skip
def test_options_out_of_range_are_refused(options, words):
    with pytest.raises(OptionError, match=words):
        StochasticVariational(**options)
