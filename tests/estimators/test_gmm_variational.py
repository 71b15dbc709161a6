"""Variational Bayes for mixtures: the bound rises, nothing is left to raise, slips are told."""

import numpy as np
import pytest
import torch
from variational_cases import STRUCTURES, draws, start

from scoresde.densities import GaussianMixture
from scoresde.errors import CapabilityError, DataError, OptionError
from scoresde.estimators.mixture import GMM, METHODS
from scoresde.estimators.mixture.cavi import VariationalBayes
from scoresde.estimators.mixture.posterior import Posterior
from scoresde.estimators.mixture.statistics import gather


@pytest.mark.parametrize("structure", STRUCTURES)
def test_no_moved_parameter_raises_the_bound(structure):
    x = draws(4, n=50, d=2)
    method = VariationalBayes(max_iterations=5)
    first = start(x, 3, structure)
    prior = method.prior(x, first)
    q = Posterior.of(method.climb(x, first, floor=0.0).posterior)
    data = gather(x, q.log_joint, structure, q.components.means, entropy=True)
    tensors = prior.updated(data).tensors()
    best = float(Posterior.of(tensors).bound(prior, data))
    for name, value in tensors.items():
        own = value.clone().requires_grad_()
        bound = Posterior.of({**tensors, name: own}).bound(prior, data)
        (slope,) = torch.autograd.grad(bound, own)
        assert float((slope * value).abs().max()) < 1e-9 * abs(best)
        for factor in (0.98, 1.02):
            moved = {**tensors, name: value * factor}
            assert float(Posterior.of(moved).bound(prior, data)) < best


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("seed", range(4))
def test_the_bound_never_falls(structure, seed):
    d, k = 1 + seed, 2 + seed
    x = draws(seed, n=40 + 10 * seed, d=d, spread=1.5)
    method = VariationalBayes(
        weight_concentration=[None, 0.01, 1.0, 5.0][seed], mean_precision=10.0 ** (seed - 2),
        max_iterations=20, tolerance=0.0,
    )  # fmt: skip
    first = start(x, k, structure, seed)
    climb = method.climb(x, first, floor=1e-6)
    rounding = 1e-13 * (1.0 + abs(climb.trace[-1]))
    steps = np.diff(climb.trace)
    assert len(steps) > 0
    assert steps.min() > -rounding
    last = Posterior.of(climb.posterior).collapsed_bound(method.prior(x, first, floor=1e-6), x)
    assert last / len(x) > climb.trace[-1] - rounding


def test_components_without_use_die_and_three_stay():
    rng = np.random.default_rng(6)
    corners = np.repeat([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]], 100, axis=0)
    x = torch.from_numpy(corners + rng.standard_normal((300, 2)))
    method = VariationalBayes(weight_concentration=1e-3, max_iterations=500)
    for structure in ("spherical", "full"):
        climb = method.climb(x, start(x, 10, structure, scale=0.05), floor=1e-6)
        counts = climb.posterior["concentrations"] - 1e-3
        assert int((counts > 1.0).sum()) == 3, structure
        assert climb.converged
        assert float(climb.mixture.weights.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_data_far_from_zero_and_of_any_unit_give_the_same_climb(structure):
    x, method = draws(9, n=60, d=2), VariationalBayes(max_iterations=15, tolerance=0.0)
    plain = method.climb(x, start(x, 2, structure), floor=0.0)
    far = 1e-3 * x + 1e4
    moved = method.climb(far, start(far, 2, structure), floor=0.0)
    shift = 2 * np.log(1e-3)  # 1e4 rounds 1e-3 x at 2e-9 of its size
    np.testing.assert_allclose(np.array(moved.trace) + shift, plain.trace, atol=1e-7)
    back = (moved.posterior["means"] - 1e4) / 1e-3
    assert torch.allclose(back, plain.posterior["means"], atol=1e-5)


def test_rows_events_and_float32_are_the_same_data():
    x = draws(10, n=64, d=4).float()
    first = start(x, 2, "diagonal")
    plain = VariationalBayes(max_iterations=5).climb(x.double(), first, floor=0.0)
    image = GaussianMixture(
        means=first.means, covariances=first.arguments()["covariances"], event_shape=(1, 2, 2)
    )
    shaped = VariationalBayes(max_iterations=5).climb(x.reshape(-1, 1, 2, 2), image, floor=0.0)
    assert shaped.trace == plain.trace
    assert shaped.mixture.event_shape == (1, 2, 2)
    held = Posterior.of(shaped.posterior)
    new = x[:3].reshape(-1, 1, 2, 2)
    assert torch.equal(held.predictive(new), Posterior.of(plain.posterior).predictive(x[:3]))


def test_both_ways_are_methods_of_a_mixture_that_keep_their_posterior():
    x = draws(13, n=60, d=2, spread=5.0)
    for name in ("vb", "svi"):
        fit = GMM(k=3, structure="tied", method=METHODS[name](max_iterations=5)).fit(x)
        q = Posterior.of(fit.posterior)
        assert torch.equal(fit.density.means, q.components.means)
        floored = q.components.covariances + fit.floor * torch.eye(2)
        assert torch.allclose(fit.density.arguments()["covariances"], floored, rtol=1e-14)
        assert torch.allclose(fit.density.weights, q.weights, rtol=1e-14)
        assert fit.trace[-1] < float(q.predictive(x).mean())  # an ELBO under each datum's own law


def test_the_prior_carries_data_without_spread_and_single_data():
    x = draws(11, n=20, d=2)
    x[:, 1] = 7.0
    eye = torch.eye(2)
    for structure, own in (
        ("diagonal", torch.ones(2, 2)), ("tied", eye), ("full", eye.expand(2, 2, 2))
    ):  # fmt: skip
        first = GaussianMixture(means=x[:2], covariances=own, structure=structure)
        climb = VariationalBayes().climb(x, first, floor=1e-4)
        assert np.isfinite(climb.trace).all()
        with pytest.raises(DataError, match="variance floor"):
            VariationalBayes().climb(x, first, floor=0.0)
    one = GaussianMixture(means=x[:1], covariances=[1.0])
    assert VariationalBayes().climb(x[:1], one, floor=0.5).converged


@pytest.mark.parametrize(("options", "words"), [
    ({"weight_concentration": 0.0}, "weight_concentration of VariationalBayes is a"),
    ({"mean_precision": -1.0}, "mean_precision"),
    ({"mean_precision": None}, "mean_precision"),
    ({"mean_precision": float("nan")}, "mean_precision"),
    ({"degrees_of_freedom": "3"}, "degrees_of_freedom"),
    ({"covariance_scale": float("inf")}, "covariance_scale"),
    ({"max_iterations": 0}, "max_iterations"),
    ({"tolerance": -1e-3}, "tolerance"),
])  # fmt: skip
def test_priors_that_are_none_are_refused(options, words):
    with pytest.raises(OptionError, match=words):
        VariationalBayes(**options)


def test_laws_that_cannot_be_normalised_and_structures_without_prior_are_refused():
    x = draws(12, n=20)
    with pytest.raises(OptionError, match="exceed 2, got 2"):
        VariationalBayes(degrees_of_freedom=2.0).climb(x, start(x, 2, "full"), floor=0.0)
    with pytest.raises(DataError, match="no variational posterior"):
        Posterior.of({"means": x})
    low = GaussianMixture(
        means=x[:2], factors=torch.ones(2, 3, 1), variances=torch.ones(2), structure="low-rank"
    )
    with pytest.raises(CapabilityError, match="low-rank covariances have no conjugate prior"):
        VariationalBayes().climb(x, low, floor=0.0)
