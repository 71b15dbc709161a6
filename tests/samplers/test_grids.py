"""Laws of grids: ends, monotony, spacing, count."""

import math

import numpy as np
import pytest
import torch

from scoresde.errors import OptionError, UsageError
from scoresde.processes import CLEAN, PROCESSES, DiscreteDDPM
from scoresde.samplers import GRIDS
from scoresde.samplers.base import check_levels
from scoresde.samplers.grids import Discrete, Explicit, Karras, UniformLogSNR, UniformTime

CONTINUOUS = ["uniform-time", "uniform-log-snr", "karras"]


def make(name: str, **options):
    if name == "explicit":
        ratios = np.geomspace(5.0, 0.1, options.pop("steps") + (options.get("final") == "min"))
        return Explicit(noise_ratios=tuple(ratios), **options)
    return GRIDS[name](**options)


@pytest.mark.parametrize("grid", GRIDS.members)
@pytest.mark.parametrize("name", PROCESSES.members)
@pytest.mark.parametrize("steps", [1, 2, 19])
@pytest.mark.parametrize("final", ["clean", "min"])
def test_levels_fall_and_are_as_many_as_said(grid, name, steps, final) -> None:
    if grid == "discrete" and name != "ddpm":
        with pytest.raises(OptionError, match="discrete chain, got"):
            make(grid, steps=steps).levels(PROCESSES[name]())
        return
    levels = make(grid, steps=steps, final=final).levels(PROCESSES[name]())
    assert len(levels) == steps + 1
    check_levels(levels)
    if final == "clean":
        assert levels[-1] is CLEAN
    else:
        assert levels[-1].sigma > 0.0
    assert all(type(getattr(level, f)) is float for level in levels for f in ("t", "alpha"))


@pytest.mark.parametrize("grid", CONTINUOUS)
@pytest.mark.parametrize("name", PROCESSES.members)
def test_ends_are_the_processs_own(grid: str, name: str) -> None:
    process = PROCESSES[name]()
    levels = GRIDS[grid](steps=10, final="min").levels(process)
    assert levels[-1].t == pytest.approx(process.t_min, abs=1e-12)
    if grid == "uniform-time" or process.at(1.0).alpha > 0:
        assert levels[0].t == pytest.approx(1.0, abs=1e-12)
    else:
        assert levels[0].log_snr == pytest.approx(-10.0, abs=1e-9)


@pytest.mark.parametrize("grid", CONTINUOUS)
@pytest.mark.parametrize("name", PROCESSES.members)
def test_asked_ends_are_kept(grid: str, name: str) -> None:
    levels = GRIDS[grid](steps=7, final="min", log_snr_min=-4.0, log_snr_max=5.5).levels(
        PROCESSES[name]()
    )
    assert levels[0].log_snr == pytest.approx(-4.0, abs=1e-9)
    assert levels[-1].log_snr == pytest.approx(5.5, abs=1e-9)


@pytest.mark.parametrize("name", PROCESSES.members)
def test_spacings(name: str) -> None:
    process, ends = PROCESSES[name](), {"log_snr_min": -6.0, "log_snr_max": 6.0}
    time = [v.t for v in UniformTime(steps=9, final="min", **ends).levels(process)]
    np.testing.assert_allclose(np.diff(time, 2), 0.0, atol=1e-13)
    snr = [v.log_snr for v in UniformLogSNR(steps=9, final="min", **ends).levels(process)]
    np.testing.assert_allclose(np.diff(snr), 12 / 9, rtol=1e-9)


def test_karras_is_equation_5() -> None:
    """sigma_i = (smax^(1/rho) + i/(N-1) (smin^(1/rho) - smax^(1/rho)))^rho, then sigma_N = 0."""
    for rho in (7.0, 3.0):
        levels = Karras(steps=18, rho=rho).levels(PROCESSES["edm"]())
        i = np.arange(18)
        big, small = 80 ** (1 / rho), 0.002 ** (1 / rho)
        expected = (big + i / 17 * (small - big)) ** rho
        np.testing.assert_allclose([v.sigma for v in levels[:-1]], expected, rtol=1e-11)
        assert levels[-1].sigma == 0.0


TIMESTEPS = {  # of a chain of 1000, as other libraries number them: 0..999
    ("leading", 10): [900, 800, 700, 600, 500, 400, 300, 200, 100, 0],
    ("trailing", 10): [999, 899, 799, 699, 599, 499, 399, 299, 199, 99],
    ("linspace", 10): [999, 888, 777, 666, 555, 444, 333, 222, 111, 0],
    ("leading", 7): [852, 710, 568, 426, 284, 142, 0],
    ("trailing", 7): [999, 856, 713, 570, 428, 285, 142],
    ("linspace", 7): [999, 832, 666, 500, 333, 166, 0],
    ("leading", 1): [0],
    ("trailing", 1): [999],
}


@pytest.mark.parametrize(("spacing", "n"), TIMESTEPS)
def test_discrete_spacings_by_their_numbers(spacing: str, n: int) -> None:
    chain = DiscreteDDPM()
    levels = Discrete(steps=n, spacing=spacing).levels(chain)
    got = [round(level.t * 1000) - 1 for level in levels[:-1]]
    assert got == TIMESTEPS[spacing, n]
    bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    np.testing.assert_allclose([v.alpha**2 for v in levels[:-1]], bar[got], rtol=2e-12)


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("n", [1, 3, 19, 50, 333, 999, 1000])
def test_discrete_spacings_are_numpys(spacing: str, n: int) -> None:
    """np.arange(0, n) (T // n); np.linspace(0, T - 1, n); np.arange(T, 0, -T/n) - 1."""
    expected = {
        "leading": (np.arange(0, n) * (1000 // n)).round()[::-1],
        "linspace": np.linspace(0, 999, n).round()[::-1],
        "trailing": np.round(np.arange(1000, 0, -1000 / n))[:n] - 1,
    }[spacing]
    levels = Discrete(steps=n, spacing=spacing).levels(DiscreteDDPM())
    assert [round(v.t * 1000) - 1 for v in levels[:-1]] == expected.astype(int).tolist()


def test_explicit_levels_are_the_given_ones() -> None:
    process = PROCESSES["vp-linear"]()
    ratios = (30.0, 4.0, 0.7, 0.05)
    for given, steps in ((ratios, 3), ((*ratios, 0.0), 4)):
        grid = Explicit(noise_ratios=given, final="min")
        levels = grid.levels(process)
        assert grid.steps == steps
        np.testing.assert_allclose([v.noise_ratio for v in levels], given, rtol=1e-11)
    times = (1.0, 0.31, 0.02)
    levels = Explicit(given_times=times, final="min").levels(process)
    assert [v.t for v in levels] == list(times)
    assert len(Explicit(given_times=times).levels(process)) == 4


@pytest.mark.parametrize(("grid", "options", "named"), [
    ("uniform-time", {"steps": 0}, "0"),
    ("uniform-time", {"final": "cleen"}, "Did you mean 'clean'"),
    ("uniform-time", {"log_snr_min": 2.0, "log_snr_max": 1.0}, "2.0"),
    ("uniform-log-snr", {"log_snr_max": math.inf}, "log_snr_max"),
    ("karras", {"rho": -1.0}, "-1.0"),
    ("discrete", {"spacing": "trailling"}, "Did you mean 'trailing'"),
    ("discrete", {"log_snr_min": -3.0}, "chain"),
    ("explicit", {}, "given_times"),
    ("explicit", {"given_times": (0.5,), "noise_ratios": (1.0,)}, "either"),
    ("explicit", {"noise_ratios": (1.0, -2.0)}, "-2.0"),
    ("explicit", {"given_times": (0.9, math.nan)}, "nan"),
    ("explicit", {"given_times": (0.9, 0.1), "log_snr_min": -3.0}, "log_snr"),
])  # fmt: skip
def test_bad_options_are_named(grid: str, options: dict, named: str) -> None:
    with pytest.raises(UsageError) as caught:
        GRIDS[grid](**options)
    assert named in str(caught.value)


@pytest.mark.parametrize("name", ["vp-linear", "ddpm", "ve", "edm"])
def test_an_end_outside_the_process_is_named(name: str) -> None:
    with pytest.raises(OptionError, match=r"log_snr_min = -90.0 lies outside .* runs from"):
        UniformTime(log_snr_min=-90.0).levels(PROCESSES[name]())


def test_more_levels_than_instants_is_named() -> None:
    with pytest.raises(OptionError, match="21 instants has no grid of 22"):
        Discrete(steps=22).levels(DiscreteDDPM(steps=21))


def test_explicit_times_that_rise_are_refused_by_every_sampler() -> None:
    levels = Explicit(given_times=(0.2, 0.9)).levels(PROCESSES["vp-linear"]())
    with pytest.raises(OptionError, match="noise must fall along a grid: level 0"):
        check_levels(levels)


def test_levels_are_float64_on_the_host() -> None:
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float32)
        levels = Karras(steps=5).levels(PROCESSES["vp-linear"]())
    finally:
        torch.set_default_dtype(before)
    for level in levels[:-1]:
        assert level.alpha**2 + level.sigma**2 == pytest.approx(1.0, abs=1e-15)
