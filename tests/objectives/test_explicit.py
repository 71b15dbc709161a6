"""Explicit = denoising + a constant, step by step = at once, and gradients through samples."""

import math
from itertools import pairwise

import pytest
import torch
from toy_models import At, Formula, within

from scoresde.densities import Gaussian
from scoresde.kernels import Noise, Purpose, normal
from scoresde.nets import MLP
from scoresde.objectives import OBJECTIVES, WEIGHTINGS, Draws
from scoresde.processes import PROCESSES, DiscreteDDPM
from scoresde.processes.level import posterior_variance
from scoresde.score import ExactScore, NetworkScore

COVARIANCE = torch.tensor([[1.5, 0.4], [0.4, 0.5]], dtype=torch.float64)
DENSITY = Gaussian(mean=[0.5, -1.0], covariance=COVARIANCE)


def _network(seed):
    torch.manual_seed(seed)
    net = MLP((2,), width=8, blocks=1).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return NetworkScore(net, (2,), "eps")


MODELS = {
    "linear": Formula("eps", lambda z: 0.7 * z - 0.2),
    "network": _network(0),
    "another": _network(1),
    "exact": ExactScore(DENSITY),
}


@pytest.mark.parametrize("t", [0.2, 0.5])
@pytest.mark.parametrize("name", ["vp-linear", "edm", "rectified-flow"])
def test_denoising_less_explicit_is_one_number_whatever_the_model(name, t):
    """E|s - grad log q(z|x)|^2 - E|s - grad log q(z)|^2 = d/sigma^2 - tr Z^-1, Z = alpha^2 C +
    sigma^2 I, here times sigma^2/d: the weight one on eps. The implicit loss less the explicit
    one is -sigma^2 tr Z^-1/d."""
    process, count = PROCESSES[name](), 4000
    alpha, sigma = process.at(t).alpha, process.at(t).sigma
    covariance = alpha**2 * COVARIANCE + sigma**2 * torch.eye(2, dtype=torch.float64)
    information = 0.5 * sigma**2 * float(torch.linalg.inv(covariance).trace())
    x, draws = DENSITY.sample(torch.arange(count), 3), Draws.whole(Noise(1), 0, count)
    z = alpha * x + sigma * draws.normal(Purpose.TRAIN, (2,))
    target = sigma * torch.linalg.solve(covariance, (z - alpha * DENSITY.mean).T).T
    level = process.level(torch.full((count,), t, dtype=torch.float64), x)
    for objective, constant in (("denoising", 1.0 - information), ("implicit", -information)):
        matching = OBJECTIVES[objective](
            kind="eps", weighting=WEIGHTINGS["simple"](), times=At(t=t), stratified=False
        )
        for model in MODELS.values():
            explicit = (model.predict(z, level, "eps") - target).square().mean(1)
            found = (matching.losses(model, process, x, draws) - explicit).detach()
            assert within(found, constant)
            assert float(found.std()) / math.sqrt(count) < 0.05
    exact = (MODELS["exact"].predict(z, level, "eps") - target).abs().max()
    assert float(exact) < 1e-9


def test_the_chain_s_steps_add_up_to_its_marginals():
    """x_i = sqrt(1 - beta_i) x_{i-1} + sqrt(beta_i) z: mean and variance by recursion."""
    for betas in ("linear", "cosine", (0.1, 0.5, 0.02)):
        chain = DiscreteDDPM(betas=betas)
        mean, variance = 1.0, 0.0
        instants = torch.arange(1, chain.steps + 1, dtype=torch.float64) / chain.steps
        for beta, level in zip(chain.table.tolist(), chain.levels(instants), strict=True):
            mean, variance = math.sqrt(1.0 - beta) * mean, (1.0 - beta) * variance + beta
            assert level.alpha == pytest.approx(mean, rel=1e-11)
            assert level.sigma**2 == pytest.approx(variance, rel=1e-11)


@pytest.mark.parametrize("name", PROCESSES.members)
def test_any_process_s_steps_add_up_to_its_marginals(name):
    """z_t = alpha_{t|s} z_s + sigma_{t|s} eps, over uneven steps from t_min to 1: by recursion,
    and by drawing."""
    process, count = PROCESSES[name](), 20_000
    cuts = torch.rand(12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    times = process.t_min + (1.0 - process.t_min) * torch.cat([torch.zeros(1), cuts.sort()[0]])
    levels = process.levels([*times.tolist(), 1.0])
    mean, variance = levels[0].alpha, levels[0].sigma ** 2
    ids, x = torch.arange(count), 1.3
    z = mean * x + levels[0].sigma * normal(2, Purpose.PATH, 0, ids, (1,))
    for step, (s, t) in enumerate(pairwise(levels), start=1):
        ratio, added = t.alpha / s.alpha, posterior_variance(t, s)[0]
        assert added == pytest.approx(t.sigma**2 - (ratio * s.sigma) ** 2, rel=1e-6, abs=1e-12)
        mean, variance = ratio * mean, ratio**2 * variance + added
        z = ratio * z + math.sqrt(added) * normal(2, Purpose.PATH, step, ids, (1,))
        assert mean == pytest.approx(t.alpha, rel=1e-12, abs=1e-15)
        assert variance == pytest.approx(t.sigma**2, rel=1e-12)
    assert within(z, mean * x)
    assert within((z - mean * x).square(), variance)


def _row_gradients(f, mu, factor, z):
    """Per-draw d f(mu + L z)/d(mu, L), flattened, (batch, d + d d)."""
    mu = mu.expand(len(z), 2).clone().requires_grad_()
    factor = factor.expand(len(z), 2, 2).clone().requires_grad_()
    x = mu + torch.einsum("bij,bj->bi", factor, z)
    slopes = torch.autograd.grad(f(x).sum(), (mu, factor))
    return torch.cat([slope.flatten(1) for slope in slopes], dim=1)


A = torch.tensor([[0.6, -0.3], [0.5, 0.2]], dtype=torch.float64)  # not symmetric
a = torch.tensor([0.7, -0.4], dtype=torch.float64)


@pytest.mark.parametrize("f", ["linear", "quadratic", "exponential", "sine"])
def test_gradients_through_samples_are_those_of_the_expectation(f):
    """E f(mu + L z) in closed form, and its gradients in mu and L by hand."""
    mu = torch.tensor([0.3, -0.8], dtype=torch.float64)
    factor = torch.tensor([[0.9, 0.0], [0.4, 0.5]], dtype=torch.float64)
    z = normal(6, Purpose.DATA, 0, torch.arange(40_000), (2,))
    spread = float((factor.T @ a).square().sum())  # of a . x
    place, outer = float(a @ mu), torch.outer(a, a) @ factor
    functions = {
        "linear": lambda x: x @ a,
        "quadratic": lambda x: ((x @ A) * x).sum(1),
        "exponential": lambda x: torch.exp(x @ a),
        "sine": lambda x: torch.sin(x @ a),
    }
    rise = math.exp(place + 0.5 * spread)
    damp = math.exp(-0.5 * spread)
    expected = {
        "linear": (a, torch.zeros(2, 2)),
        "quadratic": ((A + A.T) @ mu, (A + A.T) @ factor),
        "exponential": (a * rise, outer * rise),
        "sine": (a * damp * math.cos(place), -outer * damp * math.sin(place)),
    }[f]
    found = _row_gradients(functions[f], mu, factor, z)
    right = torch.cat([part.flatten() for part in expected])
    assert within(found, right)
    error = found.std(0) / math.sqrt(len(z))
    assert float(error.max()) < 0.03 * max(1.0, float(right.abs().max()))


def test_samples_of_a_gaussian_can_be_differentiated_in_its_parameters():
    """x = m + C^(1/2) z: E x^T A x = m^T A m + tr(A C), whose gradient in C is A."""
    mean = torch.tensor([0.3, -0.8], dtype=torch.float64, requires_grad=True)
    entries = torch.tensor([1.5, 0.4, 0.5], dtype=torch.float64, requires_grad=True)
    found = []
    for part in torch.arange(40_000).split(400):
        covariance = torch.stack([entries[0], entries[1], entries[1], entries[2]]).reshape(2, 2)
        x = Gaussian(mean=mean, covariance=covariance).sample(part, 5)
        value = ((x @ A) * x).sum(1).mean()
        found.append(torch.cat(torch.autograd.grad(value, (mean, entries))))
    right = torch.cat([(A + A.T) @ mean.detach(), torch.tensor([0.6, 0.5 - 0.3, 0.2])])
    assert within(torch.stack(found), right)
