"""Laws of the variational bound: each term against its closed form on a Gaussian."""

import math

import numpy as np
import pytest
import torch
from toy_models import ExactKind

from scoresde.densities import Gaussian
from scoresde.errors import DataError, OptionError
from scoresde.kernels import Noise
from scoresde.objectives import Bound, Draws
from scoresde.processes import PROCESSES, LearnedVP, VPCosine
from scoresde.score import KINDS

MEAN, VARIANCE = 0.4, 0.6
DENSITY = Gaussian(mean=[MEAN, MEAN], covariance=[[VARIANCE, 0.0], [0.0, VARIANCE]])
LEARNED = LearnedVP(gamma_min=-6.0, gamma_max=4.0)


def drawn(objective, process, count, kind="v", density=DENSITY, seed=3, x=None):
    x = density.sample(torch.arange(count), seed) if x is None else x
    model = ExactKind(density, kind)
    with torch.no_grad():
        return objective.terms(model, process, x, Draws.whole(Noise(seed), 0, count))


def closes_in(values: torch.Tensor, exact: float, spread: float) -> None:
    """The mean lies within 4 standard errors, which are small beside the exact value."""
    error = float(values.std()) / math.sqrt(len(values))
    assert error < spread * (abs(exact) + 1e-3)  # else the test could not fail
    assert abs(float(values.mean()) - exact) < 4.0 * error + 1e-9


def prior_of(process) -> float:
    """E KL(N(alpha x, sigma^2)|N(0, alpha^2 + sigma^2)) with E x^2 = m^2 + v."""
    end = process.at(1.0)
    total = end.alpha**2 + end.sigma**2
    mean_square = end.alpha**2 * (MEAN**2 + VARIANCE)
    return 0.5 * ((end.sigma**2 + mean_square) / total - 1.0 + math.log(total / end.sigma**2))


def diffusion_of(process, steps: int) -> float:
    """E|x0_hat - x|^2 = v/(1 + v SNR) a dimension: its sum over intervals, or its integral."""
    times = process.t_min + (1.0 - process.t_min) * np.arange(steps + 1) / max(steps, 1)
    times = times if steps else np.array([process.t_min, 1.0])
    snr = np.array([(level.alpha / level.sigma) ** 2 for level in process.levels(times)])
    if not steps:
        return 0.5 * (math.log1p(VARIANCE * snr[0]) - math.log1p(VARIANCE * snr[1]))
    return float((0.5 * (snr[:-1] - snr[1:]) * VARIANCE / (1.0 + VARIANCE * snr[1:])).sum())


@pytest.mark.parametrize("steps", [0, 1, 20])
@pytest.mark.parametrize("name", PROCESSES.members)
def test_each_term_of_a_gaussian_is_its_closed_form(name, steps) -> None:
    process = PROCESSES[name]()
    objective = Bound(kind="v", steps=steps, stratified=False)
    terms = drawn(objective, process, 6000)
    closes_in(terms["diffusion"], diffusion_of(process, steps), 0.3)
    closes_in(terms["prior"], prior_of(process), 0.1)
    # |x - z_0/alpha_0|^2 = r^2 |eps|^2 under N(z_0/alpha_0, r^2)
    exact = 0.5 * math.log(2.0 * math.pi * math.e) + math.log(
        process.at(process.t_min).noise_ratio
    )
    torch.testing.assert_close(
        terms["reconstruction"], torch.full((6000,), exact, dtype=torch.float64)
    )


@pytest.mark.parametrize("steps", [0, 7])
def test_the_bound_is_the_same_in_every_kind(steps) -> None:
    found = [drawn(Bound(kind=kind, steps=steps), LEARNED, 64, kind) for kind in KINDS]
    for terms in found[1:]:
        for name in terms:
            torch.testing.assert_close(terms[name], found[0][name], rtol=1e-9, atol=1e-12)


def test_more_steps_tighten_it_towards_continuous_time() -> None:
    exact = {steps: diffusion_of(LEARNED, steps) for steps in (0, 1, 2, 4, 12, 120)}
    assert exact[1] > exact[2] > exact[4] > exact[12] > exact[120] > exact[0]
    found = {}
    for steps in exact:
        terms = drawn(Bound(kind="v", steps=steps), LEARNED, 8400)
        found[steps] = float(terms["diffusion"].mean())
        error = float(terms["diffusion"].std()) / math.sqrt(8400)
        assert abs(found[steps] - exact[steps]) < 4.0 * error
    assert found[1] > found[2] > found[4] > found[12]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_schedule_inside_does_not_move_the_continuous_term(seed) -> None:
    process = LearnedVP(gamma_min=-6.0, gamma_max=4.0)
    torch.manual_seed(seed)
    with torch.no_grad():
        process.log_height += torch.randn(32)
        process.place.copy_(torch.rand(32))
    t = torch.tensor([0.5], dtype=torch.float64)
    assert abs(float(process.gamma(t) - LEARNED.gamma(t))) > 0.2
    closes_in(drawn(Bound(kind="v"), process, 8000)["diffusion"], diffusion_of(LEARNED, 0), 0.05)
    assert diffusion_of(process, 3) != pytest.approx(diffusion_of(LEARNED, 3), rel=0.05)


@pytest.mark.parametrize("value", [0.0, 1.7])
def test_on_a_standard_normal_it_is_tight_at_every_x(value) -> None:
    """-log p(x) and a gap, ((1 - alpha_0^2)(1 - x^2) - log alpha_0^2)/2, that goes with SNR(0)."""
    standard = Gaussian(mean=[0.0] * 32, covariance=np.eye(32))
    count = 10_000
    x = torch.full((count, 32), value, dtype=torch.float64)
    terms = drawn(Bound(), LEARNED, count, "eps", standard, x=x)
    alpha_0 = LEARNED.at(0.0).alpha
    gap = 0.5 * ((1.0 - alpha_0**2) * (1.0 - value**2) - 2.0 * math.log(alpha_0))
    assert abs(gap) < 3e-3
    exact = 0.5 * (math.log(2.0 * math.pi) + value**2) + gap
    total = sum(terms.values())
    # neighbours have nearly one time, so their differences hold the noise of eps alone
    error = math.sqrt(float((total[::2] - total[1::2]).square().mean()) / 2.0 / count)
    assert error < 0.01
    assert abs(float(total.mean()) - exact) < 4.0 * error


@pytest.mark.parametrize("gamma_min", [-8.0, -4.0, 0.0])
def test_reconstruction_on_a_lattice_is_the_mean_of_its_log_probability(gamma_min) -> None:
    values, low, high = 6, -0.5, 2.0
    process = LearnedVP(gamma_min=gamma_min)
    lattice = np.linspace(low, high, values)
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    ratio = math.exp(0.5 * gamma_min)
    objective = Bound(values=values, low=low, high=high, kind="v")
    for index in (0, 3):
        logits = -0.5 * ((lattice[index] + ratio * nodes[:, None] - lattice) / ratio) ** 2
        nats = np.log(np.exp(logits).sum(1)) - logits[:, index]
        exact = float(nats @ weights / weights.sum())
        x = torch.full((4000, 1, 2), lattice[index], dtype=torch.float64)
        model = Gaussian(mean=[[0.0, 0.0]], covariance=[[1.0, 0.0], [0.0, 1.0]])
        terms = drawn(objective, process, 4000, density=model, x=x)
        closes_in(terms["reconstruction"], exact, 0.1 if gamma_min > -8.0 else math.inf)


def test_data_off_the_lattice_are_refused_and_float32_data_on_it_are_not() -> None:
    objective = Bound(values=256, kind="v")
    on = (torch.arange(256) / 127.5 - 1.0).reshape(-1, 2)
    terms = drawn(objective, LEARNED, 128, x=on)
    assert terms["reconstruction"].dtype == torch.float32
    for wrong in (on * 1.01, on + 0.004, on * torch.nan):
        with pytest.raises(DataError, match="none of 256 even values from -1 to 1"):
            drawn(objective, LEARNED, 128, x=wrong)


@pytest.mark.parametrize("options", [{}, {"steps": 9}, {"values": 8, "kind": "v"}])
def test_parts_of_a_batch_have_the_losses_of_the_whole(options) -> None:
    x = torch.linspace(-1.0, 1.0, 8, dtype=torch.float64).repeat(4).reshape(16, 2)
    objective, model = Bound(**options), ExactKind(DENSITY, Bound(**options).kind)
    ids = torch.arange(16)

    def losses(rows) -> torch.Tensor:
        return objective.losses(model, LEARNED, x[rows], Draws(Noise(1), 5, ids[rows], 16))

    parts = [losses(rows) for rows in (slice(0, 7), slice(7, 8), slice(8, 16))]
    torch.testing.assert_close(torch.cat(parts), losses(slice(None)), rtol=1e-12, atol=0.0)


def test_a_kind_that_says_nothing_at_alpha_zero_is_refused() -> None:
    with pytest.raises(OptionError, match="'eps' does not determine x0 at t = 1 of VPCosine"):
        drawn(Bound(steps=2), VPCosine(), 16, "eps")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"kind": "epsilon"}, "Did you mean 'eps'"),
        ({"steps": -1}, "steps .* -1"),
        ({"steps": True}, "steps .* True"),
        ({"values": 1}, "values .* 1"),
        ({"low": 1.0}, "low .* 1.0"),
        ({"high": math.inf}, "high .* inf"),
    ],
)
def test_bad_options_of_the_bound_are_named(options, named) -> None:
    with pytest.raises(OptionError, match=named):
        Bound(**options)
