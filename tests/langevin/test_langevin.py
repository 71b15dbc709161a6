"""Laws of Langevin kernels and their chains."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from scoresde.densities import Gaussian, GaussianMixture
from scoresde.errors import CapabilityError, DataError, NonFiniteError, OptionError
from scoresde.kernels import Noise, Purpose
from scoresde.langevin import KERNELS, MALA, ULA, Chain, Target
from scoresde.processes import PROCESSES
from scoresde.samplers import AnnealedLangevin, sample, start
from scoresde.samplers.grids import Karras
from scoresde.score import ExactScore, LogDensity, ScoreModel

EVERY = pytest.mark.parametrize("name", KERNELS.members)
MIXTURE = ExactScore(
    GaussianMixture(means=[[-1.0, 0.0], [1.5, 0.5]], covariances=[0.3, 0.2], weights=[0.4, 0.6])
)


def normal_target(v: float) -> ExactScore:
    return ExactScore(Gaussian(mean=[0.0], covariance=[[v]]))


def last_states(kernel, v: float, n: int, steps: int, seed: int = 0) -> torch.Tensor:
    """Last states of independent chains, begun from N(0, v) itself."""
    x = Noise(99)(0, 0, torch.arange(n), (1,)) * math.sqrt(v)
    return Chain(draws=1, warm_up=steps - 1).run(normal_target(v), kernel, x, Noise(seed)).x[:, 0]


def assert_variance(x: torch.Tensor, expected: float) -> None:
    """Within 4 standard errors of independent normal numbers; and normal."""
    error = expected * math.sqrt(2.0 / len(x))
    assert abs(float(x.square().mean()) - expected) < 4 * error
    assert abs(float(x.mean())) < 4 * math.sqrt(expected / len(x))
    assert stats.kstest(x.numpy() / math.sqrt(expected), "norm").pvalue > 0.01


STEPS = [
    (1.0, 1.5),
    (0.01, 0.012),
    pytest.param(1.0, 0.5, marks=pytest.mark.slow),
    pytest.param(4.0, 1.0, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("v", "delta"), STEPS)
def test_ulas_bias_is_the_known_one(v: float, delta: float) -> None:
    """v/(1 - delta/(2 v)); (1 - delta/v)^60 of the start is left, below 1e-7."""
    x = last_states(ULA(step_size=delta), v, 20_000, 60)
    assert_variance(x, v / (1 - delta / (2 * v)))


@pytest.mark.parametrize(("v", "delta"), STEPS)
def test_mala_has_no_bias(v: float, delta: float) -> None:
    assert_variance(last_states(MALA(step_size=delta), v, 15_000, 60), v)


def test_mala_reaches_the_law_from_a_wrong_start() -> None:
    n = 20_000
    x = Chain(draws=1, warm_up=80).run(
        normal_target(1.0), MALA(step_size=0.8), torch.full((n, 1), 3.0).double()
    ).x[:, 0]  # fmt: skip
    assert_variance(x, 1.0)


def test_mala_is_in_detailed_balance() -> None:
    """Started at the law, (x_0, x_1) and (x_1, x_0) have one joint distribution."""
    n = 100_000
    ids = torch.arange(n)
    x0 = MIXTURE.density.sample(ids, 7)
    kernel, target = MALA(step_size=0.2), Target(MIXTURE, Noise(1), ids)
    state, info = kernel(target, kernel.start(target, x0))
    a, b = x0[:, 0].numpy(), state.x[:, 0].numpy()
    assert 0.3 < float(info.acceptance.mean()) < 0.95
    for antisymmetric in (
        a**2 * b - b**2 * a, a - b, np.sin(2 * a) * b - np.sin(2 * b) * a,
        (a < 0) * (b > 1.0) * 1.0 - (b < 0) * (a > 1.0),
    ):  # fmt: skip
        error = antisymmetric.std() / math.sqrt(n)
        assert abs(antisymmetric.mean()) < 4 * error


def test_malas_acceptance_is_its_formula() -> None:
    """pi(y) q(x|y) / pi(x) q(y|x), from densities of scipy."""
    n, delta = 50, 0.2
    ids, noise = torch.arange(n), Noise(3)
    x = MIXTURE.density.sample(ids, 1)
    kernel, target = MALA(step_size=delta), Target(MIXTURE, noise, ids)
    state, info = kernel(target, kernel.start(target, x))
    z = noise(0, Purpose.PROPOSAL, ids, (2,))
    y = x + delta * MIXTURE.density.score(x) + math.sqrt(2 * delta) * z
    u = stats.norm.cdf(noise(0, Purpose.ACCEPT, ids, (1,))[:, 0])

    def move(frm, to):
        mean = (frm + delta * MIXTURE.density.score(frm)).numpy()
        return stats.norm.logpdf(to.numpy(), mean, math.sqrt(2 * delta)).sum(1)

    log_p = MIXTURE.density.log_prob
    log_a = (log_p(y) - log_p(x)).numpy() + move(y, x) - move(x, y)
    np.testing.assert_allclose(info.acceptance, np.minimum(1.0, np.exp(log_a)), rtol=1e-10)
    accept = u < np.exp(log_a)
    assert 5 < accept.sum() < n - 3
    expected = np.where(accept[:, None], y.numpy(), x.numpy())
    np.testing.assert_allclose(state.x, expected, rtol=1e-14)


@EVERY
def test_a_chain_does_not_depend_on_the_others(name: str) -> None:
    kernel, chain = KERNELS[name](step_size=0.2), Chain(draws=6, warm_up=4, thin=2)
    ids = torch.arange(9) * 2**33 + 1
    x = MIXTURE.density.sample(ids)
    whole = chain.run(MIXTURE, kernel, x, Noise(5), ids=ids)
    for size in (1, 4):
        for some in torch.arange(9).split(size):
            part = chain.run(MIXTURE, kernel, x[some], Noise(5), ids=ids[some])
            torch.testing.assert_close(part.chain, whole.chain[some], rtol=0.0, atol=1e-12)
            torch.testing.assert_close(
                part.facts["acceptance"], whole.facts["acceptance"][some], rtol=0.0, atol=1e-12
            )


@EVERY
def test_warm_up_thinning_and_draws_are_one_walk(name: str) -> None:
    kernel, x = KERNELS[name](step_size=0.1), MIXTURE.density.sample(torch.arange(3))
    every = Chain(draws=20, warm_up=0).run(MIXTURE, kernel, x).chain
    kept = Chain(draws=5, warm_up=5, thin=3).run(MIXTURE, kernel, x)
    assert torch.equal(kept.chain, every[:, 7:20:3])
    assert torch.equal(kept.x, every[:, 19])
    assert kept.nfe.tolist() == [21] * 3


@EVERY
def test_evaluations_are_counted(name: str) -> None:
    count = 0

    def log_prob(x):
        nonlocal count
        count += 1
        return -0.5 * x.square().sum(1)

    chain = Chain(draws=5, warm_up=2, thin=2)
    result = chain.run(LogDensity(log_prob, (2,)), KERNELS[name](step_size=0.1),
                       torch.zeros(3, 2).double())  # fmt: skip
    assert result.nfe.tolist() == [count] * 3


@pytest.mark.slow
def test_mala_samples_a_plain_log_density() -> None:
    """A logistic law: mean 0, variance pi^2/3."""
    model = LogDensity(lambda x: (-x - 2 * torch.nn.functional.softplus(-x))[:, 0], (1,))
    n = 20_000
    x = Chain(draws=1, warm_up=100).run(model, MALA(step_size=2.0), torch.zeros(n, 1).double()).x
    assert stats.kstest(x[:, 0].numpy(), "logistic").pvalue > 0.01


def test_mala_rejects_what_is_not_finite() -> None:
    """An exponential law: the log-density is NaN below 0 and no chain may go there."""
    model = LogDensity(lambda x: torch.where(x > 0, -x, math.nan)[:, 0], (1,))
    n = 4_000
    start_ = torch.ones(n, 1, dtype=torch.float64)
    result = Chain(draws=1, warm_up=400).run(model, MALA(step_size=0.3), start_)
    assert bool((result.x > 0).all())
    assert stats.kstest(result.x[:, 0].numpy(), "expon").pvalue > 0.01
    assert 0.2 < float(result.facts["acceptance"].mean()) < 0.9


@EVERY
def test_a_chain_stays_at_a_mode_without_noise(name: str) -> None:
    class Silent(Noise):
        def __call__(self, step, purpose, ids, shape):
            return torch.zeros(len(ids), *shape, dtype=torch.float64)

    model = ExactScore(Gaussian(mean=[1.0, -2.0], covariance=np.eye(2)))
    x = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    result = Chain(draws=1, warm_up=3).run(model, KERNELS[name](step_size=0.3), x, Silent())
    torch.testing.assert_close(result.x, x, rtol=0.0, atol=1e-15)


def test_an_unstable_step_names_step_chain_and_size() -> None:
    model = LogDensity(lambda x: -(x**4).sum(1), (1,))
    x = torch.tensor([[0.01], [30.0]], dtype=torch.float64)
    chain = Chain(draws=10, warm_up=5)
    with pytest.raises(NonFiniteError, match=r"chains \[41\] .* at step \d+ with step_size 0\.05"):
        chain.run(model, ULA(step_size=0.05), x, ids=torch.tensor([40, 41]))


def test_a_model_that_gives_two_answers_is_found_out() -> None:
    class Fickle(ScoreModel):
        kind, event_shape = "score", (1,)
        count = 0

        def forward(self, x, level):
            self.count += 1
            return x * (math.nan if self.count == 4 else -1.0)

    with pytest.raises(NonFiniteError, match=r"step_size 0\.1.*equal answers"):
        Chain(draws=1, warm_up=10).run(Fickle(), ULA(step_size=0.1), torch.ones(1, 1).double())


def test_a_start_outside_the_support_is_named() -> None:
    model = LogDensity(lambda x: torch.where(x > 0, -x, -math.inf)[:, 0], (1,))
    x = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    with pytest.raises(NonFiniteError, match=r"\[1\] start where"):
        Chain(draws=1).run(model, MALA(step_size=0.1), x)


def test_mala_needs_a_log_density() -> None:
    class ScoreAlone(ScoreModel):
        kind, event_shape = "score", (1,)

        def forward(self, x, level):
            return -x

    with pytest.raises(CapabilityError, match="mala needs value_and_score"):
        Chain(draws=1).run(ScoreAlone(), MALA(step_size=0.1), torch.zeros(1, 1).double())


@pytest.mark.parametrize(("x", "ids"), [
    (torch.zeros(2, 3), None),
    (torch.full((2, 2), math.nan), None),
    (torch.zeros(2, 2), torch.arange(1)),  # one id would give both chains the same noise
    (torch.zeros(2, 2), torch.zeros(2)),
])  # fmt: skip
def test_bad_starts_are_refused(x, ids) -> None:
    with pytest.raises(DataError):
        Chain(draws=1).run(MIXTURE, ULA(step_size=0.1), x, ids=ids)


@pytest.mark.parametrize("step_size", [0.0, -1.0, math.nan, math.inf])
@EVERY
def test_bad_step_sizes_are_named(name: str, step_size: float) -> None:
    with pytest.raises(OptionError, match=f"step_size of {name}.*{step_size}"):
        KERNELS[name](step_size=step_size)


@pytest.mark.parametrize(("option", "value"), [("draws", 0), ("warm_up", -1), ("thin", 0)])
def test_bad_chains_are_named(option: str, value: int) -> None:
    with pytest.raises(OptionError, match=f"{option} of a chain.*{value}"):
        Chain(**{option: value})


@pytest.mark.slow
def test_annealed_langevin_approaches_the_truth() -> None:
    """The share of the modes and the spread, far off with few corrections, right with many."""
    n, ids, process = 2000, torch.arange(2000), PROCESSES["ve"](sigma_min=0.02, sigma_max=10.0)
    exact = MIXTURE.density.sample(torch.arange(100_000), 5)
    truth = torch.tensor([exact.mean(0)[0], *torch.cov(exact.T).ravel()])
    levels = Karras(steps=20).levels(process)
    errors = []
    for corrections, step_size in ((1, 0.02), (40, 0.05)):
        x = sample(MIXTURE, AnnealedLangevin(corrections=corrections, step_size=step_size),
                   levels, start(levels[0], Noise(2), ids, (2,)), Noise(2)).x  # fmt: skip
        got = torch.tensor([x.mean(0)[0], *torch.cov(x.T).ravel()])
        errors.append(float((got - truth).abs().max()))
    # the sd of each entry is below 1.7/sqrt(n) (the spread along x is 1.75)
    assert errors[0] > 0.5
    assert errors[1] < 4 * 1.8 / math.sqrt(n)
