"""Variances that a model offers: their formula, and what the ancestral sampler makes of them."""

import itertools
import math

import numpy as np
import pytest
import torch

from scoresde.densities import GaussianMixture
from scoresde.errors import CapabilityError
from scoresde.kernels import Noise, Purpose
from scoresde.processes import CLEAN, PROCESSES, DiscreteDDPM
from scoresde.samplers import Ancestral, sample
from scoresde.samplers.grids import Discrete
from scoresde.score import DiscreteNetwork, ExactScore, LearnedVarianceNetwork, ScoreModel

DENSITY = GaussianMixture(
    means=[[-1.0, 0.5], [1.0, 1.0], [0.2, -1.3]], covariances=[0.1, 0.05, 0.2]
)
CHAIN = DiscreteDDPM(steps=40)
LEARNED = Ancestral(variance="learned")


class Network:
    """The mixture's eps beside u = tanh(z)/2, a fraction that differs from state to state."""

    def __init__(self):
        self.calls = 0

    def __call__(self, z, index):
        self.calls += 1
        level = CHAIN.at(float(index[0] + 1) / 40)
        eps = ExactScore(DENSITY).predict(z.double(), level, "eps").to(z.dtype)
        return torch.cat([eps, 0.5 * torch.tanh(z)], dim=1)


def begin(level, dtype=torch.float64):
    x = torch.from_numpy(np.random.default_rng(8).standard_normal((5, 2)))
    return (x * level.scale).to(dtype)


@pytest.mark.parametrize("away", ["edm", "rectified-flow", "ddpm"])
def test_a_learned_range_lies_between_beta_and_beta_tilde(away: str) -> None:
    """u = 1 is beta, u = -1 beta-tilde, 0 their geometric mean, of the chain's own alpha-bars."""
    u = torch.tensor([1.0, -1.0, 0.0, 0.5]).double()[:, None].expand(4, 2)
    model = LearnedVarianceNetwork(lambda z, i: torch.cat([0.1 * z, u], 1), (2,), CHAIN)
    plain = DiscreteNetwork(lambda z, i: 0.1 * z, (2,), CHAIN)
    process = PROCESSES[away]()
    t, s = process.at_log_snr(0.3), process.at_log_snr(1.7)
    z = begin(t)[:4]
    x0, variance = model.predict_with_variance(z, t, s, "x0")
    assert torch.equal(x0, plain.predict(z, t, "x0"))
    assert torch.equal(x0, model.predict(z, t, "x0"))
    bar_t, bar_s = 1 / (1 + math.exp(-0.3)), 1 / (1 + math.exp(-1.7))
    beta = 1 - bar_t / bar_s
    tilde = beta * (1 - bar_s) / (1 - bar_t)
    expected = torch.tensor([beta, tilde, math.sqrt(beta * tilde), beta**0.75 * tilde**0.25])
    expected = (expected * (s.alpha**2 + s.sigma**2)).double()[:, None].expand(4, 2)
    torch.testing.assert_close(variance, expected, rtol=1e-6, atol=0.0)
    assert float(model.predict_with_variance(z, t, CLEAN, "x0")[1].abs().max()) == 0.0
    assert not hasattr(plain, "predict_with_variance")


@pytest.mark.parametrize("spacing", [1, 4])
def test_the_sampler_is_that_of_improved_ddpm(spacing: int) -> None:
    """p_sample of Nichol & Dhariwal with their respaced betas; no noise at the last step."""
    full = np.concatenate([[1.0], np.cumprod(1 - CHAIN.table.numpy())])
    bar = full[::spacing]
    levels = (*CHAIN.levels([i / 40 for i in range(40, 0, -spacing)]), CLEAN)
    network, noise = Network(), Noise(3)
    x = begin(levels[0])
    result = sample(LearnedVarianceNetwork(network, (2,), CHAIN), LEARNED, levels, x, noise)
    for k, i in enumerate(range(len(bar) - 1, 0, -1)):
        beta = 1 - bar[i] / bar[i - 1]
        out = network(x, torch.tensor([i * spacing - 1.0])).numpy()
        eps, u = out[:, :2], out[:, 2:]
        x0 = (x.numpy() - math.sqrt(1 - bar[i]) * eps) / math.sqrt(bar[i])
        mean = math.sqrt(bar[i - 1]) * beta / (1 - bar[i]) * x0
        mean += math.sqrt(1 - beta) * (1 - bar[i - 1]) / (1 - bar[i]) * x.numpy()
        if i > 1:
            tilde = beta * (1 - bar[i - 1]) / (1 - bar[i])
            frac = (u + 1) / 2
            log_variance = frac * math.log(beta) + (1 - frac) * math.log(tilde)
            z = noise(k, Purpose.STEP, torch.arange(5), (2,)).numpy()
            mean = mean + np.exp(0.5 * log_variance) * z
        x = torch.from_numpy(mean)
    np.testing.assert_allclose(result.x, x, rtol=1e-11, atol=1e-11)
    assert network.calls == 2 * (len(levels) - 1) == 2 * int(result.nfe[0])


@pytest.mark.parametrize("away", ["ve", "rectified-flow"])
def test_samples_do_not_depend_on_the_process_that_carries_them(away: str) -> None:
    at_home = [CHAIN.at(i / 40) for i in (27, 20, 12, 3)]
    abroad = [PROCESSES[away]().at_log_snr(level.log_snr) for level in at_home]
    model = LearnedVarianceNetwork(Network(), (2,), CHAIN)
    ends = [sample(model, LEARNED, levels, begin(levels[0])).x for levels in (at_home, abroad)]
    ends = [x / levels[-1].scale for x, levels in zip(ends, (at_home, abroad), strict=True)]
    torch.testing.assert_close(*ends, rtol=1e-9, atol=1e-9)


class BestVariance(ScoreModel):
    """N(m, v) with E[x0 | z_t] and the variance of q(z_s | z_t): sigma_Q^2 + c^2 Var[x0 | z_t].

    c = alpha_s sigma^2_{t|s}/sigma_t^2. (Bao et al. 2022, Analytic-DPM, theorem 1.)
    """

    kind, event_shape = "x0", (3,)
    mean = torch.tensor([0.5, -1.0, 2.0]).double()

    def __init__(self, variance):
        self.variance = torch.tensor(variance).double()

    def forward(self, x, level):
        a, s, v = level.alpha, level.sigma, self.variance
        return self.mean + a * v / (a * a * v + s * s) * (x - a * self.mean)

    def predict_with_variance(self, x, level, to, kind):
        a, s, v = level.alpha, level.sigma, self.variance
        forward = s * s - (a / to.alpha) ** 2 * to.sigma**2
        c = to.alpha * forward / s**2
        best = forward * to.sigma**2 / s**2 + c * c * v * s * s / (a * a * v + s * s)
        return self.predict(x, level, kind), best.expand(len(x), -1)


class Impulse:
    """1 for row 2 + step, 0 for the others."""

    def __call__(self, step, purpose, ids, shape):
        return (ids == 2 + step).double()[:, None].expand(-1, *shape)


def law_of(sampler, model, levels) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance at the end from the exact start, by the answers to impulses."""
    x = torch.zeros(len(levels) + 1, 3).double()
    x[1] = 1.0
    out = sample(model, sampler, levels, x, Impulse()).x
    answers = out[1:] - out[0]
    first = levels[0]
    start = first.alpha**2 * model.variance + first.sigma**2
    mean = out[0] + answers[0] * first.alpha * model.mean
    return mean, answers[0] ** 2 * start + (answers[1:] ** 2).sum(0)


@pytest.mark.parametrize("name", ["vp-linear", "ve", "rectified-flow", "sub-vp"])
@pytest.mark.parametrize("variance", [[1.0, 0.0625, 4.0], [0.3]])
def test_a_gaussian_is_exact_in_few_steps_with_the_best_variance(name, variance) -> None:
    """One number a row, too. With beta-tilde the same two steps miss the spread by far."""
    process, model = PROCESSES[name](), BestVariance(variance)
    for times in ([1.0, 0.2], [1.0, 0.6, 0.3], [1.0, 0.9, 0.5, 0.2, 0.1]):
        levels = process.levels(times)
        mean, spread = law_of(LEARNED, model, levels)
        last = levels[-1]
        exact = last.alpha**2 * model.variance + last.sigma**2
        torch.testing.assert_close(spread, exact.expand(3), rtol=1e-12, atol=0.0)
        # VE starts at sigma = 50, so a mean carries the rounding of 50
        torch.testing.assert_close(mean, last.alpha * model.mean, rtol=1e-12, atol=1e-12)
    _, spread = law_of(Ancestral(), model, process.levels([1.0, 0.6, 0.3]))
    level = process.at(0.3)
    assert float((spread / (level.alpha**2 * model.variance + level.sigma**2) - 1).min()) < -0.03


def test_float32_states_keep_their_dtype() -> None:
    levels = Discrete(steps=8).levels(CHAIN)
    model = LearnedVarianceNetwork(Network(), (2,), CHAIN)
    x = sample(model, LEARNED, levels, begin(levels[0], torch.float32)).x
    exact = sample(model, LEARNED, levels, begin(levels[0])).x
    assert x.dtype is torch.float32
    torch.testing.assert_close(x.double(), exact, rtol=1e-4, atol=1e-4)


def test_a_model_without_a_variance_is_told_the_way_out() -> None:
    levels = Discrete(steps=4).levels(CHAIN)
    for model in (ExactScore(DENSITY), DiscreteNetwork(lambda z, i: z, (2,), CHAIN)):
        with pytest.raises(CapabilityError, match=r"predict_with_variance.*variance='posterior'"):
            sample(model, LEARNED, levels, begin(levels[0]))


def test_no_variance_is_asked_for_on_the_step_to_the_data() -> None:
    drawn = []

    def noise(step, purpose, ids, shape):
        drawn.append(step)
        return Noise(0)(step, purpose, ids, shape)

    levels = Discrete(steps=4).levels(CHAIN)
    model = LearnedVarianceNetwork(Network(), (2,), CHAIN)
    sample(model, LEARNED, levels, begin(levels[0]), noise)
    assert drawn == [0, 1, 2]
    last = (levels[-2], CLEAN)
    x = begin(last[0])
    x0 = ExactScore(DENSITY).predict(x, last[0], "x0")
    torch.testing.assert_close(sample(model, LEARNED, last, x).x, x0, rtol=1e-10, atol=1e-10)
    assert all(t.sigma > s.sigma for t, s in itertools.pairwise(levels))
