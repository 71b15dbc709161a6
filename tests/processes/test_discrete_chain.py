"""Laws of the discrete chain, and of the variances of one step."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from scoresde.processes import CLEAN, PROCESSES, DiscreteDDPM
from scoresde.processes.level import posterior_variance

STEPS = 1000


def published_betas(table: str) -> np.ndarray:
    if table == "linear":
        return np.linspace(1e-4, 0.02, STEPS)
    if table == "scaled-linear":
        return np.linspace(0.00085**0.5, 0.012**0.5, STEPS) ** 2

    def bar(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    return np.array([min(1 - bar((i + 1) / STEPS) / bar(i / STEPS), 0.999) for i in range(STEPS)])


@pytest.mark.parametrize("table", ["linear", "cosine", "scaled-linear"])
def test_alpha_is_the_cumulative_product(table: str) -> None:
    chain = DiscreteDDPM(betas=table)
    bar = np.cumprod(1.0 - published_betas(table))
    levels = chain.levels(torch.arange(1, STEPS + 1, dtype=torch.float64) / STEPS)
    np.testing.assert_allclose([level.alpha**2 for level in levels], bar, rtol=2e-12)
    np.testing.assert_allclose([level.sigma**2 for level in levels], 1 - bar, rtol=1e-11)


def test_a_given_table_sets_the_length() -> None:
    betas = (0.1, 0.3, 0.2)
    chain = DiscreteDDPM(betas=betas)
    assert chain.steps == 3
    assert chain.t_min == pytest.approx(1 / 3)
    alphas = [level.alpha**2 for level in chain.levels([0.0, 1 / 3, 2 / 3, 1.0])]
    np.testing.assert_allclose(alphas, [1.0, 0.9, 0.63, 0.504], rtol=1e-14)


@pytest.mark.parametrize("steps", [21, 100, 1000])
def test_rates_at_a_knot_belong_to_the_beta_before_it(steps: int) -> None:
    chain = DiscreteDDPM(steps=steps)
    knots = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    drifts = [level.drift for level in chain.levels(knots)]
    expected = 0.5 * steps * np.log1p(-chain.table.numpy())
    np.testing.assert_allclose(drifts, expected, rtol=1e-12)


def test_knots_round_trip() -> None:
    chain = DiscreteDDPM()
    knots = torch.arange(1, STEPS + 1, dtype=torch.float64) / STEPS
    torch.testing.assert_close(chain.time(chain.log_snr(knots)), knots, rtol=0.0, atol=1e-12)


def exact_variances(t, s) -> tuple[Fraction, Fraction]:
    """sigma^2_{t|s} and sigma^2_Q of these very floats, in rational arithmetic."""
    alpha_t, sigma_t, alpha_s, sigma_s = map(Fraction, (t.alpha, t.sigma, s.alpha, s.sigma))
    forward = sigma_t**2 - (alpha_t / alpha_s) ** 2 * sigma_s**2
    return forward, forward * (sigma_s / sigma_t) ** 2


@pytest.mark.parametrize("name", PROCESSES.members)
@pytest.mark.parametrize("gap", [0.3, 1e-3, 1e-6, 1e-9, 1e-12])
def test_posterior_variance_does_not_cancel(name: str, gap: float) -> None:
    process = PROCESSES[name]()
    # off the knots of the chain, which takes a time within 1e-12 of a knot for the knot
    for time in (0.3104, 0.5003, 0.9307, 0.9996):
        t, s = process.at(time), process.at(time - gap)
        forward, posterior = exact_variances(t, s)
        got = posterior_variance(t, s)
        assert abs(Fraction(got[0]) / forward - 1) < 4e-15
        assert abs(Fraction(got[1]) / posterior - 1) < 4e-15


@pytest.mark.parametrize("name", PROCESSES.members)
def test_posterior_variance_at_the_ends(name: str) -> None:
    process = PROCESSES[name]()
    t = process.at(1.0)
    assert posterior_variance(t, CLEAN) == pytest.approx((t.sigma**2, 0.0), rel=1e-15)
    forward, posterior = posterior_variance(t, process.at(0.5))
    assert 0.0 < posterior <= forward <= t.sigma**2 * (1 + 1e-15)
