"""Laws of foreign models: a mixture's exact answer, disguised in each convention, is unchanged."""

import math

import pytest
import torch

from scoresde.densities import GaussianMixture
from scoresde.processes import CLEAN, PROCESSES, DiscreteDDPM, NoiseLevel, RectifiedFlow, VPLinear
from scoresde.samplers.grids import Discrete
from scoresde.score import (
    KINDS,
    Denoiser,
    DiscreteNetwork,
    ExactScore,
    Preconditioned,
    VelocityField,
)

DENSITY = GaussianMixture(
    means=[[-1.0, 0.5], [1.0, 1.0], [0.2, -1.3]], covariances=[0.1, 0.05, 0.2]
)
SIGMA_DATA = 0.7
EXACT = ExactScore(DENSITY)
EXACT.sigma_data = SIGMA_DATA
CHAIN = DiscreteDDPM()
TABLE = DiscreteDDPM(betas=tuple(0.01 * (1 + i % 7) for i in range(60)))  # no sinusoid of i


def column(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return values.reshape(-1, *[1] * (like.ndim - 1))


def denoiser(y, sigma):
    return DENSITY.posterior(y, 1.0, column(sigma, y))[0]


def network_of_edm(u, c_noise):
    """F of Karras et al. 2022, table 1, from its denoiser."""
    s, d = torch.exp(4.0 * column(c_noise, u)), SIGMA_DATA
    y = u * (s * s + d * d).sqrt()
    c_skip, c_out = d * d / (s * s + d * d), s * d / (s * s + d * d).sqrt()
    return (denoiser(y, s.flatten()) - c_skip * y) / c_out


def indexed(kind: str, chain: DiscreteDDPM, first: int):
    """The chain's own products, by an index that starts at `first`; between them, log-linear."""
    products = torch.cat([torch.zeros(1).double(), torch.log1p(-chain.table).cumsum(0)])

    def function(z, index):
        i = index.double() + 1 - first
        low = i.floor().clamp(0, chain.steps - 1).long()
        log_abar = products[low] + (i - low) * (products[low + 1] - products[low])
        a, s = column((0.5 * log_abar).exp(), z), column((-log_abar.expm1()).sqrt(), z)
        x0, eps = DENSITY.posterior(z, a, s)
        return {"x0": x0, "eps": eps, "v": a * eps - s * x0}[kind]

    return function


def flow(data_at: int, sign: float):
    def function(z, tau):
        t = column(1.0 - tau if data_at == 1 else tau, z)
        x0, eps = DENSITY.posterior(z, 1.0 - t, t)
        return sign * (eps - x0)

    return function


def velocity_of_vp(z, t):
    """alpha' x0 + sigma' eps of VP linear, by autodiff of its formulas."""
    t = t.detach().double().requires_grad_()
    with torch.enable_grad():
        a = torch.exp(-t * t * (20.0 - 0.1) / 4.0 - t * 0.1 / 2.0)
        s = (1.0 - a * a).sqrt()
        (a_rate,) = torch.autograd.grad(a.sum(), t, retain_graph=True)
        (s_rate,) = torch.autograd.grad(s.sum(), t)
    a, s = column(a.detach(), z), column(s.detach(), z)
    x0, eps = DENSITY.posterior(z, a, s)
    return column(a_rate, z) * x0 + column(s_rate, z) * eps


def wrapped() -> dict:
    models = {
        "denoiser": Denoiser(denoiser, (2,), sigma_data=SIGMA_DATA),
        "EDM network": Preconditioned(network_of_edm, (2,), sigma_data=SIGMA_DATA),
        "flow, data at 0": VelocityField(flow(0, 1.0), (2,), data_at=0),
        "flow, data at 1": VelocityField(flow(1, -1.0), (2,), data_at=1),
        "flow, at 0 to data": VelocityField(flow(0, -1.0), (2,), data_at=0, towards="data"),
        "flow, at 1 to noise": VelocityField(flow(1, 1.0), (2,), data_at=1, towards="noise"),
        "velocity of VP": VelocityField(velocity_of_vp, (2,), VPLinear(), data_at=0),
    }
    for kind, name, chain, first in (
        ("eps", "0", CHAIN, 0),
        ("v", "0", CHAIN, 0),
        ("x0", "0", CHAIN, 0),
        ("v", "1", CHAIN, 1),
        ("eps", "0, table", TABLE, 0),
    ):
        function = indexed(kind, chain, first)
        models[f"{kind} from {name}"] = DiscreteNetwork(
            function, (2,), chain, kind=kind, first_index=first
        )
    for model in models.values():
        model.sigma_data = SIGMA_DATA
    return models


MODELS = wrapped()


def range_of(model) -> tuple[float, float]:
    """The log SNRs that the disguised function itself reaches."""
    process = getattr(model, "process", None)
    if isinstance(process, DiscreteDDPM):
        return process.at(1.0).log_snr, process.at(process.t_min).log_snr
    if isinstance(process, VPLinear):
        return process.at(1.0).log_snr, 16.0  # 1 - a^2 of the test's own formula cancels beyond
    return -20.0, 20.0


def levels_of(name: str, model) -> list[NoiseLevel]:
    """Three levels of a process, evenly over the log SNRs that it shares with the function."""
    process, (low, high) = PROCESSES[name](), range_of(model)
    low = max(low, process.at(1.0).log_snr)
    high = min(high, process.at(process.t_min).log_snr)
    between = (low + 1e-9, 0.5 * (low + high), high - 1e-9)
    return [process.at_log_snr(value) for value in between]


def states(level: NoiseLevel, n: int = 5) -> torch.Tensor:
    eps = torch.randn(n, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return level.alpha * DENSITY.sample(torch.arange(n)) + level.sigma * eps


def condition(level: NoiseLevel) -> float:
    """What rounding of one kind is multiplied by in another: 1/r, r, 1/sigma (and the rates)."""
    ratio = level.noise_ratio
    return max(1.0, ratio, 1.0 / ratio, 1.0 / (ratio * level.sigma))


@pytest.mark.parametrize("away", PROCESSES.members)
@pytest.mark.parametrize("name", MODELS)
def test_a_disguised_score_is_the_exact_one_under_every_process(name, away) -> None:
    model = MODELS[name]
    for level in levels_of(away, model):
        z = states(level)
        for kind in ("x0", "velocity", "score"):
            got, exact = model.predict(z, level, kind), EXACT.predict(z, level, kind)
            size = 1.0 + float(exact.abs().max())
            assert float((got - exact).abs().max()) < 1e-11 * condition(level) * size


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_of_levels_is_its_levels(name) -> None:
    model, process = MODELS[name], PROCESSES["vp-cosine"]()
    levels = levels_of("vp-cosine", model)
    z = torch.cat([states(level, 1) for level in levels])
    together = process.level(torch.tensor([level.t for level in levels], dtype=torch.float64), z)
    for kind in ("v", "score"):
        got = model.predict(z, together, kind)
        for i, level in enumerate(levels):
            one = model.predict(z[i : i + 1], level, kind)
            torch.testing.assert_close(got[i : i + 1], one, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", [n for n in MODELS if n != "velocity of VP"])
def test_pure_noise_and_data_are_served(name) -> None:
    """At alpha = 0 the state is eps and x0 the mean; at sigma = 0 it is x0."""
    model = MODELS[name]
    first = RectifiedFlow().at(1.0)
    z = states(first)
    # an end of the chain stands for the end of the process: off by alpha there, 0.006 and more
    near = 0.25 if "from" in name else 1e-4
    torch.testing.assert_close(
        model.predict(z, first, "x0"), EXACT.predict(z, first, "x0"), rtol=0.0, atol=near
    )
    z = states(CLEAN)
    assert float((model.predict(z, CLEAN, "x0") - z).abs().max()) < 1e-12


@pytest.mark.parametrize("kind", ["eps", "v", "x0"])
@pytest.mark.parametrize("ratio", [200.0, 1e-3])
def test_beyond_the_chain_its_end_is_asked_and_v_carried(kind, ratio) -> None:
    """Closed form: v of the chain's end at the rescaled state, put at the level's own angle."""
    model = MODELS[f"{kind} from 0"]
    end = CHAIN.at(1.0) if ratio > 1.0 else CHAIN.at(1.0 / CHAIN.steps)
    level = NoiseLevel(t=0.5, alpha=2.0, sigma=2.0 * ratio)
    z = states(level)
    unit = z / math.hypot(level.alpha, level.sigma)
    v = EXACT.predict(unit, end, "v")
    phi = math.atan2(level.sigma, level.alpha)
    expected = math.cos(phi) * unit - math.sin(phi) * v
    got = model.predict(z, level, "x0")
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_indices_are_those_that_were_told() -> None:
    seen = []

    def function(z, index):
        seen.append(index)
        return z

    levels = Discrete(steps=4).levels(CHAIN)[:-1]
    for first, expected in ((0, [750, 500, 250, 0]), (1, [751, 501, 251, 1])):
        for whole in (False, True):
            model = DiscreteNetwork(function, (2,), CHAIN, first_index=first, whole=whole)
            for level in levels:
                model.predict(torch.zeros(3, 2), level, "x0")
            assert [index.tolist() for index in seen] == [[i] * 3 for i in expected]
            assert {index.dtype for index in seen} == {torch.int64 if whole else torch.float32}
            seen.clear()


def test_whole_indices_are_exact_on_the_chain_and_half_a_step_off_between() -> None:
    """Midway between instants the angle phi is off by half a step, and so, about, is x0."""
    model = DiscreteNetwork(indexed("eps", CHAIN, 0), (2,), CHAIN, whole=True)
    for i in (1, 10, 400, 1000):
        level = CHAIN.at(i / 1000)
        z = states(level)
        size = condition(level)
        for kind in KINDS:
            exact = ExactScore(DENSITY).predict(z, level, kind)
            torch.testing.assert_close(model.predict(z, level, kind), exact, rtol=1e-10,
                                       atol=1e-12 * size)  # fmt: skip
    for i in (10, 400):
        level, asked = CHAIN.at((i + 0.4) / 1000), CHAIN.at(i / 1000)
        z = states(level)
        unit = z / level.scale
        v = ExactScore(DENSITY).predict(unit, asked, "v")
        expected = level.alpha * unit - level.sigma * v
        got = model.predict(z, level, "x0")
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
        exact = EXACT.predict(z, level, "x0")
        off = float((got - exact).abs().max())
        assert 0.0 < off < 20.0 * (level.phi - asked.phi)
