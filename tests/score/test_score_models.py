"""Laws of score models: exact, log-density, and a network carried between processes."""

import itertools
import math
from functools import cache

import pytest
import torch
from perfect_network import PerfectNetwork
from torch import nn

from scoresde.densities import GaussianMixture
from scoresde.errors import CapabilityError, OptionError, UsageError
from scoresde.processes import CLEAN, PROCESSES, NoiseLevel
from scoresde.score import KINDS, ExactScore, LogDensity, NetworkScore, ask, convert

DENSITY = GaussianMixture(
    means=[[-1.0, 0.5], [1.0, 1.0], [0.2, -1.3]], covariances=[0.1, 0.05, 0.2]
)
EXACT = ExactScore(DENSITY)


def states(level: NoiseLevel, n: int = 8) -> torch.Tensor:
    eps = torch.randn(n, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return level.alpha * DENSITY.sample(torch.arange(n)) + level.sigma * eps


def levels_of(name: str, bound: float = 18.0) -> list[NoiseLevel]:
    process = PROCESSES[name]()
    times = torch.linspace(process.t_min, 1.0, 6, dtype=torch.float64)
    return [level for level in process.levels(times) if abs(level.log_snr) < bound]


@pytest.mark.parametrize("name", PROCESSES.members)
def test_kinds_of_the_exact_score_are_one_score(name: str) -> None:
    for level in levels_of(name):
        z = states(level)
        eps = EXACT.predict(z, level, "eps")
        torch.testing.assert_close(
            EXACT.predict(z, level, "score"), -eps / level.sigma, rtol=1e-10, atol=1e-10
        )
        for kind in KINDS:
            got = EXACT.predict(z, level, kind)
            from_v = convert(EXACT.forward(z, level), z, level, EXACT.kind, kind)
            worst = max(1.0, level.noise_ratio, 1.0 / level.noise_ratio)
            size = float(got.abs().max()) + 1.0
            assert float((got - from_v).abs().max()) < 1e-13 * worst * size


def trained(kind: str, home: str, sigma_data: float) -> tuple[NetworkScore, PerfectNetwork]:
    process = PROCESSES[home]()
    net = PerfectNetwork(DENSITY, process, kind, sigma_data)
    needs = process if kind in ("score", "velocity") else None
    return NetworkScore(net, (2,), kind, sigma_data, needs), net


TRIPLES = [  # every pair of processes with two kinds (one of a learned one), all six when slow
    pytest.param(
        *triple, marks=pytest.mark.slow if sum(places) % (6 if "learned" in triple else 3) else ()
    )
    for places, triple in zip(
        itertools.product(range(len(PROCESSES.members)), range(len(PROCESSES.members)), range(6)),
        itertools.product(PROCESSES.members, PROCESSES.members, KINDS),
        strict=True,
    )
]


@cache
def shared(home: str, away: str) -> list[NoiseLevel]:
    """Levels of one process whose log SNR another one has too."""
    process = PROCESSES[home]()
    ends = process.at(1.0).log_snr, process.at(process.t_min).log_snr
    return [level for level in levels_of(away) if ends[0] <= level.log_snr <= ends[1]]


@pytest.mark.parametrize(("home", "away", "kind"), TRIPLES)
def test_a_network_serves_every_process(home: str, away: str, kind: str) -> None:
    model, net = trained(kind, home, 0.7)
    levels = shared(home, away)
    assert len(levels) > 1
    for level in levels:
        z = states(level, 3)
        for asked in ("v", "velocity", "score"):
            got, exact = model.predict(z, level, asked), EXACT_07.predict(z, level, asked)
            torch.testing.assert_close(got, exact, rtol=1e-9, atol=1e-9 * condition(level))
    assert max(map(abs, net.asked)) <= 3.0


EXACT_07 = ExactScore(DENSITY)
EXACT_07.sigma_data = 0.7


def condition(level: NoiseLevel) -> float:
    """x0 -> eps multiplies an error by 1/r, eps -> x0 by r, a score by 1/sigma once more."""
    ratio = level.noise_ratio
    return max(1.0, 1e-3 * ratio, 1e-3 / ratio, 1e-3 / (ratio * level.sigma))


@pytest.mark.parametrize("home", PROCESSES.members)
@pytest.mark.parametrize("kind", KINDS)
def test_tensor_levels_are_the_float_levels(home: str, kind: str) -> None:
    model, _ = trained(kind, home, 1.0)
    process = PROCESSES["rectified-flow"]()
    times = [level.t for level in shared(home, "rectified-flow")]
    rows = process.levels(times)
    z = torch.cat([states(level, 1) for level in rows])
    together = process.level(torch.tensor(times, dtype=torch.float64), z)
    for target in ("v", "velocity", "score"):
        got = model.predict(z, together, target)
        for i, level in enumerate(rows):
            one = model.predict(z[i : i + 1], level, target)
            torch.testing.assert_close(got[i : i + 1], one, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("kind", ["velocity", "score"])
def test_a_level_without_rates_serves_a_network_that_has_them(kind: str) -> None:
    """The probability flow asks for v at levels of no process; so does Heun above its grid."""
    model, _ = trained(kind, "rectified-flow", 1.0)
    for phi in (1e-3, 0.4, 1.2, 1.5):
        level = NoiseLevel.at_phi(phi)
        z = states(level)
        torch.testing.assert_close(
            model.predict(z, level, "v"), EXACT.predict(z, level, "v"), rtol=1e-9, atol=1e-9
        )


def test_a_velocity_network_begins_at_pure_noise() -> None:
    model, _ = trained("velocity", "rectified-flow", 1.0)
    for away in ("rectified-flow", "vp-cosine"):
        level = PROCESSES[away]().at(1.0)
        z = states(level)
        x0 = EXACT.predict(z, level, "x0")
        # log SNR = -inf reaches the network as its condition's bound, a log SNR of -24
        torch.testing.assert_close(model.predict(z, level, "x0"), x0, rtol=0.0, atol=1e-4)


def test_the_condition_is_bounded() -> None:
    model, net = trained("v", "edm", 1.0)
    x = torch.zeros(3, 2, dtype=torch.float64)
    for level in (CLEAN, PROCESSES["vp-cosine"]().at(1.0)):
        model.forward(x, level)
    assert net.asked == [-3.0] * 3 + [3.0] * 3


class _Identity(nn.Module):
    def forward(self, x, condition):
        return x


def test_the_input_has_unit_variance() -> None:
    model = NetworkScore(_Identity(), (2,), "F", 0.5)
    for name in PROCESSES.members:
        for level in levels_of(name):
            std = math.sqrt(level.alpha**2 * 0.25 + level.sigma**2)
            z = torch.ones(4, 2, dtype=torch.float64) * std
            torch.testing.assert_close(model.forward(z, level), torch.ones(4, 2).double())


@pytest.mark.parametrize(("options", "named"), [
    ({"kind": "velocity"}, "process it was trained under"),
    ({"kind": "score"}, "process it was trained under"),
    ({"kind": "noise"}, "kind of prediction"),
    ({"sigma_data": 0.0}, "sigma_data"),
    ({"sigma_data": math.nan}, "nan"),
])  # fmt: skip
def test_bad_networks_are_named(options: dict, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        NetworkScore(_Identity(), (2,), **options)


def test_exact_log_density_and_score() -> None:
    x = states(CLEAN)
    value, score = EXACT.value_and_score(x)
    torch.testing.assert_close(value, DENSITY.log_prob(x))
    torch.testing.assert_close(score, DENSITY.score(x))
    level = PROCESSES["ve"]().at(0.3)
    torch.testing.assert_close(
        EXACT.log_density(x, level), DENSITY.log_prob(x, level.alpha, level.sigma)
    )


def quartic(x: torch.Tensor) -> torch.Tensor:
    return -(x**4).sum(dim=(1, 2)) + x[:, 0, 0] * x[:, 1, 1]


def test_a_log_density_is_its_own_gradient() -> None:
    model = LogDensity(quartic, (2, 2))
    x = torch.randn(5, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        value, score = model.value_and_score(x)
    expected = -4 * x**3
    expected[:, 0, 0] += x[:, 1, 1]
    expected[:, 1, 1] += x[:, 0, 0]
    torch.testing.assert_close(score, expected, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(value, quartic(x), rtol=0.0, atol=0.0)
    assert not score.requires_grad
    assert not value.requires_grad
    assert not x.requires_grad
    assert torch.equal(model.predict(x, CLEAN, "score"), score)


def test_a_log_density_has_no_noise_level() -> None:
    with pytest.raises(CapabilityError, match=r"alpha = 0\.6.*Langevin"):
        LogDensity(quartic, (2, 2)).predict(torch.zeros(1, 2, 2), NoiseLevel(0.5, 0.6, 0.8),
                                            "score")  # fmt: skip


def test_a_log_density_of_the_wrong_shape_is_named() -> None:
    with pytest.raises(OptionError, match=r"\(3,\), got \(3, 2\)"):
        LogDensity(lambda x: -x.square(), (2,)).value_and_score(torch.zeros(3, 2))


def test_a_missing_capability_names_who_asked() -> None:
    model = NetworkScore(_Identity(), (2,))
    with pytest.raises(CapabilityError, match=r"mala needs value_and_score.*NetworkScore"):
        ask(model, "value_and_score", "mala")
    assert ask(EXACT, "log_density", "mala")(states(CLEAN)).shape == (8,)
