"""Laws of the bandwidth of a kernel density estimate."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize, special

from scoresde.data import Digits
from scoresde.errors import DataError, OptionError
from scoresde.estimators import ESTIMATORS, KernelDensity, load, save

RNG = np.random.default_rng(41)
CLOUD = RNG.standard_normal((300, 2)) * [1.0, 2.0] + [5.0, 0.0]
FEW = CLOUD[:80]
PAIRS = np.repeat(RNG.standard_normal((40, 3)), 2, axis=0) + 0.01 * RNG.standard_normal((80, 3))
# most data have another within 0.001, the rest have not: the likelihood has two peaks
DRAWN = np.random.default_rng(24)
TWO_PEAKS = DRAWN.standard_normal((60, 1))
TWO_PEAKS = np.concatenate([TWO_PEAKS, (TWO_PEAKS + 0.001 * DRAWN.standard_normal((60, 1)))[:45]])


def left_out(x: np.ndarray, h: float) -> np.ndarray:
    """log p_{-i}(x_i), by the definition."""
    n, d = x.shape
    square = ((x[:, None] - x) ** 2).sum(-1)
    np.fill_diagonal(square, math.inf)
    logs = special.logsumexp(-square / (2 * h * h), axis=1)
    return logs - math.log(n - 1) - d * math.log(h) - 0.5 * d * math.log(2 * math.pi)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_rules_are_their_formulas(offset: float) -> None:
    s = math.sqrt(np.var(CLOUD, axis=0, ddof=1).mean())
    for rule, h in (("scott", s * 300 ** (-1 / 6)), ("silverman", s * (300 * 4 / 4) ** (-1 / 6))):
        model = KernelDensity(bandwidth=rule).fit(CLOUD + offset)
        assert model.bandwidth == pytest.approx(h, rel=1e-9)
        assert model.rule == rule
    five = KernelDensity(bandwidth="silverman").fit(PAIRS[:, :1] * 2.0).bandwidth
    wanted = 2.0 * PAIRS[:, 0].std(ddof=1) * (4 / (80 * 3)) ** 0.2
    assert five == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("x", [FEW, PAIRS, FEW[:, :1], FEW[:3], 1e-12 * FEW, FEW[:2], TWO_PEAKS])
def test_the_likelihood_is_greatest(x: np.ndarray) -> None:
    """On a dense grid, and by scipy's bounded search about its best point."""
    grid = x.std() * np.exp(np.linspace(-9.0, 3.0, 161))
    values = np.array([left_out(x, h).mean() for h in grid])
    peaks = (values[1:-1] > values[:-2]) & (values[1:-1] > values[2:])
    assert peaks.sum() == (2 if x is TWO_PEAKS else 1)
    best = math.log(grid[values.argmax()])
    found = optimize.minimize_scalar(
        lambda t: -left_out(x, math.exp(t)).mean(),
        bounds=(best - 0.08, best + 0.08), method="bounded", options={"xatol": 1e-9},
    )  # fmt: skip
    model = KernelDensity().fit(x)
    assert math.log(model.bandwidth) == pytest.approx(found.x, abs=2e-6)
    assert model.trace[-1] == pytest.approx(-found.fun, rel=1e-9)
    assert all(a <= b for a, b in zip(model.trace, model.trace[1:], strict=False))


def test_the_likelihood_told_is_that_of_the_density() -> None:
    for option in ("likelihood", "scott", 0.37):
        model = KernelDensity(bandwidth=option).fit(CLOUD)
        each = model.density.leave_one_out()
        np.testing.assert_allclose(each, left_out(CLOUD, model.bandwidth), rtol=1e-10)
        facts = model.facts()
        assert facts["leave_one_out_log_likelihood"] == pytest.approx(float(each.mean()))
        assert facts["standard_error"] == pytest.approx(float(each.std()) / math.sqrt(300))
        assert facts["left_out"] == 300
        assert facts["rule"] == (option if isinstance(option, str) else "given")


def test_digits() -> None:
    """Between neighbours of a grid that is coarser: 0.2512, 0.2818 (best) and 0.3162."""
    x = Digits().load().train
    model = KernelDensity().fit(x)
    assert 0.2661 < model.bandwidth < 0.2985
    assert model.density.event_shape == model.event_shape == (1, 8, 8)
    near = model.bandwidth * torch.tensor([0.98, 1.0, 1.02], dtype=torch.float64)
    values = model.density.leave_one_out(near).mean(1)
    assert values.argmax() == 1
    assert float(values[1]) == pytest.approx(model.log_likelihood, rel=1e-10)


def test_some_data_are_left_out_of_all() -> None:
    whole = KernelDensity(max_data=300).fit(CLOUD, seed=1)
    assert whole.bandwidth == KernelDensity().fit(CLOUD, seed=2).bandwidth
    some = [KernelDensity(max_data=80).fit(CLOUD, seed=seed) for seed in (1, 1, 2)]
    assert [model.left_out for model in some] == [80, 80, 80]
    assert some[0].bandwidth == some[1].bandwidth != some[2].bandwidth
    assert len(some[0].density.points) == 300
    for model in some:  # a mean over 80 of the 300
        assert abs(model.log_likelihood - whole.log_likelihood) < 4 * model.standard_error


def test_copies_are_told_and_refused_where_all_are_copies() -> None:
    twice = np.repeat(CLOUD[:50], 2, axis=0)
    with pytest.raises(DataError, match="each of 100 data left out has an exact copy"):
        KernelDensity().fit(twice)
    assert KernelDensity(bandwidth="scott").fit(twice).copies == 100
    once = np.concatenate([CLOUD, CLOUD[:5]])
    model = KernelDensity().fit(once)
    assert model.copies == 10
    assert model.log_likelihood == pytest.approx(left_out(once, model.bandwidth).mean(), rel=1e-9)


def test_data_without_spread() -> None:
    flat = np.ones((5, 3))
    for rule, text in (("likelihood", "no spread"), ("scott", "no spread"), ("silverman", "no")):
        with pytest.raises(DataError, match=text):
            KernelDensity(bandwidth=rule).fit(flat)
        with pytest.raises(DataError, match="at least 2 data, got 1"):
            KernelDensity(bandwidth=rule).fit(flat[:1])
    one = KernelDensity(bandwidth=0.5).fit(flat[:1])
    assert one.log_likelihood is one.standard_error is None
    assert one.left_out == 0
    column = np.column_stack([CLOUD, np.full(300, 7.0)])  # a column without spread is no harm
    assert KernelDensity().fit(column).bandwidth > 0.0


def test_bandwidth_zero_is_the_empirical_distribution() -> None:
    model = KernelDensity(bandwidth=0).fit(CLOUD)
    assert model.facts()["leave_one_out_log_likelihood"] is None
    x0, _ = model.density.posterior(torch.from_numpy(CLOUD[:9]), 1.0, 1e-4)
    np.testing.assert_allclose(x0, CLOUD[:9], rtol=1e-12)


def test_the_data_may_come_in_any_form() -> None:
    class Lazy:
        shape = (300, 2)

        def __len__(self) -> int:
            return 300

        def __getitem__(self, index):
            return torch.from_numpy(CLOUD).float()[index]

    single = KernelDensity().fit(torch.from_numpy(CLOUD).float())
    lazy = KernelDensity().fit(Lazy())
    assert lazy.bandwidth == single.bandwidth
    assert single.density.points.dtype == torch.float32
    assert single.bandwidth == pytest.approx(KernelDensity().fit(CLOUD).bandwidth, rel=1e-6)
    image = KernelDensity().fit(CLOUD.reshape(300, 1, 1, 2))
    assert image.density.event_shape == (1, 1, 2)


def test_iterations_are_told() -> None:
    told = []
    model = KernelDensity().fit(CLOUD, on_iteration=lambda i, value: told.append((i, value)))
    assert told == list(enumerate(model.trace, 1))
    assert model.iterations == len(told)
    assert KernelDensity(bandwidth=0.4).fit(CLOUD).trace == ()


def test_a_fitted_model_is_read_again(tmp_path) -> None:
    assert ESTIMATORS["kde"] is KernelDensity
    model = KernelDensity(bandwidth="scott").fit(CLOUD)
    save(tmp_path / "kde.safetensors", model)
    again = load(tmp_path / "kde.safetensors")
    x = torch.from_numpy(CLOUD)
    assert torch.equal(again.density.score(x), model.density.score(x))
    assert again.facts() == model.facts()


@pytest.mark.parametrize(("options", "named"), [
    ({"bandwidth": "scot"}, "'scot'"),
    ({"bandwidth": -1.0}, "-1.0"),
    ({"bandwidth": math.inf}, "inf"),
    ({"bandwidth": True}, "True"),
    ({"bandwidth": None}, "None"),
    ({"max_data": 1}, "1"),
    ({"max_data": 2.5}, "2.5"),
])  # fmt: skip
def test_slips_are_named(options: dict, named: str) -> None:
    with pytest.raises(OptionError, match=r"bandwidth is|max_data is") as caught:
        KernelDensity(**options)
    assert named in str(caught.value)
