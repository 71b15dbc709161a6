"""Variational Bayes for mixtures against closed forms, Bishop's equations and scikit-learn."""

import numpy as np
import pytest
import torch
from scipy import special, stats
from sklearn.mixture import BayesianGaussianMixture
from variational_cases import STRUCTURES, draws, start

from scoresde.estimators.mixture.cavi import VariationalBayes
from scoresde.estimators.mixture.posterior import Posterior
from scoresde.estimators.mixture.statistics import gather


def evidence(x, labels, structure, beta0, nu0, S0, m0):
    """log p(x | z) with conjugate components: ratios of Normal-Wishart constants, by numpy."""
    n, d = x.shape
    p = d if structure in ("tied", "full") else 1

    def log_z(nu, S):
        log_det = np.linalg.slogdet(S)[1] if p > 1 else np.log(S)
        return special.multigammaln(nu / 2, p) - nu / 2 * log_det

    total, S, nu = -n * d / 2 * np.log(np.pi), S0.copy(), nu0
    for k in np.unique(labels):
        y = x[labels == k]
        c, m = len(y), y.mean(0)
        A = (y - m).T @ (y - m) + beta0 * c / (beta0 + c) * np.outer(m - m0, m - m0)
        total += d / 2 * np.log(beta0 / (beta0 + c))
        if structure == "tied":
            S, nu = S + A, nu + c
        elif structure == "full":
            total += log_z(nu0 + c, S0 + A) - log_z(nu0, S0)
        elif structure == "diagonal":
            total += (log_z(nu0 + c, S0 + np.diag(A)) - log_z(nu0, S0)).sum()
        else:
            total += log_z(nu0 + c * d, S0 + np.trace(A)) - log_z(nu0, S0)
    if structure == "tied":
        total += log_z(nu, S) - log_z(nu0, S0)
    return float(total)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("k", [1, 3])
def test_with_certain_labels_the_bound_is_the_joint_evidence(structure, k):
    x = draws(1, n=30)
    labels = torch.arange(30) % k
    method = VariationalBayes(mean_precision=0.7, degrees_of_freedom=3.5, covariance_scale=0.4)
    prior = method.prior(x, start(x, k, structure), floor=0.01)

    def certain(part):  # log joint of labels known for sure
        return torch.nn.functional.one_hot(labels, k).double().log()

    data = gather(x, certain, structure, prior.components.means, entropy=True)
    ours = float(prior.updated(data).bound(prior, data))
    S0 = 0.4 * np.cov(x.numpy().T, bias=True) + 0.01 * np.eye(3)
    S0 = {"spherical": np.trace(S0) / 3, "diagonal": np.diag(S0)}.get(structure, S0)
    m0 = x.numpy().mean(0)
    exact = evidence(x.numpy(), labels.numpy(), structure, 0.7, 3.5, np.asarray(S0), m0)
    counts, a = np.bincount(labels.numpy()), 1.0 / k
    exact += special.gammaln(1.0) - special.gammaln(1.0 + 30)
    exact += (special.gammaln(a + counts) - special.gammaln(a)).sum()
    assert ours == pytest.approx(exact, rel=1e-11)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_one_component_reaches_the_log_evidence_at_once(structure):
    x = draws(2, n=40, clusters=1) + 5.0
    climb = VariationalBayes().climb(x, start(x, 1, structure), floor=0.0)
    S0 = np.cov(x.numpy().T, bias=True)
    S0 = {"spherical": np.trace(S0) / 3, "diagonal": np.diag(S0)}.get(structure, S0)
    nu0 = 3.0 if structure in ("tied", "full") else 1.0
    exact = evidence(
        x.numpy(), np.zeros(40, int), structure, 1.0, nu0, np.asarray(S0), x.numpy().mean(0)
    )
    assert climb.converged
    assert climb.iterations == 2
    np.testing.assert_allclose(np.array(climb.trace) * 40, exact, rtol=1e-11)


def bishop(x, r, a, beta, m, nu, W, a0, beta0, m0, nu0, W0):
    """L of Bishop 10.70-10.77 with his symbols, full precisions."""
    k, d = m.shape
    N = r.sum(0)
    xbar = (r.T @ x) / N[:, None]
    y = x[:, None] - xbar
    S = torch.einsum("nk,nki,nkj->kij", r, y, y) / N[:, None, None]
    i = torch.arange(1, d + 1)
    psi, lg = torch.digamma, torch.lgamma

    def log_B(W, nu):
        gammas = lg((nu[:, None] + 1 - i) / 2).sum(-1) + d * (d - 1) / 4 * np.log(np.pi)
        return -nu / 2 * torch.logdet(W) - nu * d / 2 * np.log(2) - gammas

    log_L = psi((nu[:, None] + 1 - i) / 2).sum(-1) + d * np.log(2) + torch.logdet(W)
    log_pi = psi(a) - psi(a.sum())
    q1 = torch.einsum("ki,kij,kj->k", xbar - m, W, xbar - m)
    q0 = torch.einsum("ki,kij,kj->k", m - m0, W, m - m0)
    tr = torch.einsum("kij,kji->k", S, W)
    e71 = 0.5 * (N * (log_L - d / beta - nu * tr - nu * q1 - d * np.log(2 * np.pi))).sum()
    e72 = (r * log_pi).sum()
    e73 = special.gammaln(a0 * k) - k * special.gammaln(a0) + (a0 - 1) * log_pi.sum()
    e74 = 0.5 * (d * np.log(beta0 / (2 * np.pi)) + log_L - d * beta0 / beta - beta0 * nu * q0)
    nus, W0s = torch.full_like(nu, nu0), W0.expand(k, d, d)
    e74 = e74 + log_B(W0s, nus) + (nu0 - d - 1) / 2 * log_L
    e74 = (e74 - 0.5 * nu * torch.einsum("ij,kji->k", torch.linalg.inv(W0), W)).sum()
    e75 = torch.special.xlogy(r, r).sum()
    e76 = ((a - 1) * log_pi).sum() + lg(a.sum()) - lg(a).sum()
    H = -log_B(W, nu) - (nu - d - 1) / 2 * log_L + nu * d / 2
    e77 = (0.5 * log_L + d / 2 * (beta / (2 * np.pi)).log() - d / 2 - H).sum()
    return e71 + e72 + e73 + e74 - e75 - e76 - e77


def test_the_bound_is_bishops_and_no_factor_can_raise_it():
    x = draws(3, n=45, d=2, spread=2.0)
    method = VariationalBayes(
        weight_concentration=0.8, mean_precision=0.5, degrees_of_freedom=2.7, max_iterations=3000,
        tolerance=0.0,
    )  # fmt: skip
    first = start(x, 2, "full")
    climb = method.climb(x, first, floor=0.0)
    q, prior = Posterior.of(climb.posterior), method.prior(x, first)
    W0 = torch.linalg.inv(prior.components.precisions.scatters[0])
    parts = [
        q.log_joint(x).softmax(-1).log(),
        q.concentrations,
        q.components.mean_precisions,
        q.components.means,
        q.components.precisions.degrees,
        torch.linalg.inv(q.components.precisions.scatters),
    ]

    def bound(logits, *rest):
        r = logits.softmax(-1)
        return bishop(x, r, *rest, 0.8, 0.5, prior.components.means[0], 2.7, W0)

    with torch.no_grad():
        assert float(bound(*parts)) / 45 == pytest.approx(climb.trace[-1], rel=1e-12)
    leaves = [p.clone().requires_grad_() for p in parts]
    at_best = bound(*leaves)
    for p, g in zip(parts, torch.autograd.grad(at_best, leaves), strict=True):
        assert float((g * p.abs().clamp(max=1.0)).abs().max()) < 2e-5  # sqrt of 1e-12 n
    rng = torch.Generator().manual_seed(0)
    for i, p in enumerate(parts):
        for _ in range(3):
            change = 1.0 + 0.02 * torch.randn(p.shape, generator=rng, dtype=torch.float64)
            if i == 5:
                change = 0.5 * (change + change.mT)
            moved = [*parts[:i], p * change, *parts[i + 1 :]]
            assert float(bound(*moved)) < float(at_best.detach()) + 1e-11


@pytest.mark.parametrize("case", ["full", "diagonal in one dimension", "spherical in one"])
def test_it_walks_beside_scikit_learn(case):
    # scikit-learn's tied and (above d = 1) diagonal and spherical updates are approximations
    structure, d = case.split()[0], 2 if case == "full" else 1
    x = draws(5, n=90, d=d, spread=2.0)
    first = start(x, 3, structure)
    method = VariationalBayes(
        weight_concentration=0.6, mean_precision=0.4, degrees_of_freedom=d + 1.5,
        max_iterations=12, tolerance=0.0,
    )  # fmt: skip
    prior = method.prior(x, first)
    zero = prior.updated(method.started(x, first))
    cov = np.cov(x.numpy().T, bias=True)
    name = {"diagonal": "diag", "spherical": "spherical"}.get(structure, "full")
    theirs = BayesianGaussianMixture(
        n_components=3, covariance_type=name, weight_concentration_prior=0.6,
        weight_concentration_prior_type="dirichlet_distribution", mean_precision_prior=0.4,
        mean_prior=x.numpy().mean(0), degrees_of_freedom_prior=d + 1.5, reg_covar=0.0,
        covariance_prior={"diag": cov.ravel(), "spherical": float(cov.mean())}.get(name, cov),
    )  # fmt: skip
    theirs._check_parameters(x.numpy())
    theirs._initialize(x.numpy(), zero.log_joint(x).softmax(-1).numpy())
    bounds = []
    for i in range(12):
        norm, log_r = theirs._e_step(x.numpy())
        if i:
            theirs._m_step(x.numpy(), log_r)
        bounds.append(theirs._compute_lower_bound(log_r, norm))
    climb = method.climb(x, first, floor=0.0)
    ours = climb.posterior
    np.testing.assert_allclose(ours["concentrations"], theirs.weight_concentration_, rtol=1e-9)
    np.testing.assert_allclose(ours["means"], theirs.means_, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(ours["mean_precisions"], theirs.mean_precision_, rtol=1e-9)
    np.testing.assert_allclose(ours["degrees"], theirs.degrees_of_freedom_, rtol=1e-9)
    covariances = climb.mixture.arguments()["covariances"]
    np.testing.assert_allclose(covariances, theirs.covariances_, rtol=1e-8, atol=1e-10)
    gains, others = np.diff(climb.trace)[1:] * 90, np.diff(bounds)[1:]
    np.testing.assert_allclose(gains, others, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_predictive_law_is_a_mixture_of_students(structure):
    x = draws(7, n=50, d=2)
    q = Posterior.of(VariationalBayes().climb(x, start(x, 2, structure), floor=0.0).posterior)
    own, new = q.components, draws(8, n=9, d=2).numpy()
    S, m = own.precisions.scatters.numpy(), own.means.numpy()
    total = np.zeros(9)
    for k in range(2):
        grow = 1.0 + 1.0 / float(own.mean_precisions[k])
        nu = float(own.precisions.degrees.expand(2)[k])
        s = S if structure == "tied" else S[k]
        if structure == "diagonal":
            law = stats.t.pdf(new, nu, m[k], np.sqrt(s / nu * grow)).prod(-1)
        else:
            dof = nu if structure == "spherical" else nu - 1.0
            shape = (s * np.eye(2) if structure == "spherical" else s) / dof * grow
            law = stats.multivariate_t(m[k], shape, df=dof).pdf(new)
        total += float(q.weights[k]) * law
    np.testing.assert_allclose(q.predictive(torch.from_numpy(new)), np.log(total), rtol=1e-10)
