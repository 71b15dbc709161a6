"""Laws of every grid: count, ends, monotony, the final step, errors, names."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from scoresde import config
from scoresde.densities import GaussianMixture
from scoresde.errors import OptionError, UnknownNameError, UsageError
from scoresde.kernels import Noise
from scoresde.processes import CLEAN, EDM, PROCESSES, DiscreteDDPM, RectifiedFlow, VPLinear
from scoresde.samplers import DDIM, GRIDS, Heun, sample, start
from scoresde.samplers.base import check_levels
from scoresde.samplers.grids import (
    FINALS,
    Discrete,
    Explicit,
    FlowShift,
    Grid,
    Karras,
    Quadratic,
    UniformTime,
    levels,
)
from scoresde.score import ExactScore

CONTINUOUS = [name for name in GRIDS.members if name not in ("discrete", "explicit")]
TO_THE_DATA = [name for name in CONTINUOUS if GRIDS[name].before_data]
PAGE = Path(__file__).parents[2] / "docs" / "grids.md"


def make(name: str, **options) -> Grid:
    if name == "explicit":
        count = options.pop("steps") + (options.get("final", "clean") != "clean")
        return Explicit(noise_ratios=tuple(np.geomspace(5.0, 0.1, count)), **options)
    return GRIDS[name](**options)


@pytest.mark.parametrize("grid", GRIDS.members)
@pytest.mark.parametrize("name", PROCESSES.members)
def test_levels_fall_and_are_as_many_as_said(grid: str, name: str) -> None:
    process = PROCESSES[name]()
    if grid == "discrete" and name != "ddpm":
        with pytest.raises(OptionError, match="discrete chain, got"):
            make(grid, steps=5).levels(process)
        return
    for steps in (1, 3) if name == "learned" else (1, 2, 19):  # whose times are solved for
        for final in FINALS:
            made = make(grid, steps=steps, final=final).levels(process)
            check_levels(made)
            assert len(made) - 1 == steps + (final == "denoised")
            assert (made[-1] is CLEAN) == (final != "min")
            assert all(level.sigma > 0.0 for level in made[:-1])
            for level in made:
                assert all(type(getattr(level, f)) is float for f in ("t", "alpha", "sigma"))


@pytest.mark.parametrize("grid", GRIDS.members)
def test_finals_are_as_the_table_says(grid: str) -> None:
    process, n = DiscreteDDPM(), 6
    made = {f: make(grid, steps=n, final=f).levels(process) for f in FINALS}
    recipe = make(grid, steps=n)
    if grid != "explicit":  # which takes its count from its list
        times = recipe.times(process, n).tolist()
        np.testing.assert_allclose([v.t for v in made["clean"][:-1]], times, rtol=1e-13)
    assert made["denoised"] == (*made["min"], CLEAN)
    if recipe.before_data:
        assert made["min"][:-1] == made["clean"][:-1]
        assert made["replaced"] == made["clean"]
    else:
        assert made["replaced"] == (*made["min"][:-1], CLEAN)
    if grid != "explicit":
        assert made["min"][-1].t == pytest.approx(process.t_min, abs=1e-12)


@pytest.mark.parametrize("sampler", [DDIM(), Heun()], ids=["ddim", "heun"])
@pytest.mark.parametrize("process", [VPLinear(), EDM()], ids=["vp-linear", "edm"])
def test_denoised_is_the_posterior_mean_of_what_min_hands_out(sampler, process) -> None:
    model = ExactScore(GaussianMixture(means=[[2.0, 0.0], [-1.0, 1.0]], covariances=[0.3, 0.1]))
    noisy, clean = (levels("karras", process, steps=5, final=f) for f in ("min", "denoised"))
    ids = torch.arange(4)
    x = start(noisy[0], Noise(3), ids, (2,))
    left, made = sample(model, sampler, noisy, x), sample(model, sampler, clean, x)
    expected = model.predict(left.x, noisy[-1], "x0")
    torch.testing.assert_close(made.x, expected, rtol=0.0, atol=1e-10)
    assert (made.nfe == left.nfe + 1).all()


@pytest.mark.parametrize("name", PROCESSES.members)
def test_ends_are_the_processs_own(name: str) -> None:
    process = PROCESSES[name]()
    for grid in CONTINUOUS:
        made = GRIDS[grid](steps=5, final="min").levels(process)
        assert made[-1].t == pytest.approx(process.t_min, abs=1e-12), grid
        from_noise = grid in ("uniform-time", "quadratic", "cosine", "beta", "flow-shift")
        if from_noise or process.at(1.0).alpha > 0:
            assert made[0].t == pytest.approx(1.0, abs=1e-12), grid
        else:
            assert made[0].log_snr == pytest.approx(-10.0, abs=1e-9), grid


@pytest.mark.parametrize("name", PROCESSES.members)
def test_asked_ends_are_kept(name: str) -> None:
    ends = {"log_snr_min": -4.0, "log_snr_max": 5.5}
    for grid in CONTINUOUS:
        final = "min" if grid in TO_THE_DATA else "clean"
        made = GRIDS[grid](steps=5, final=final, **ends).levels(PROCESSES[name]())
        noisy = [level.log_snr for level in made if level.sigma > 0.0]
        assert noisy[0] == pytest.approx(-4.0, abs=1e-9), grid
        assert noisy[-1] == pytest.approx(5.5, abs=1e-9), grid


@pytest.mark.parametrize("final", ["clean", "replaced"])
@pytest.mark.parametrize("grid", TO_THE_DATA)
def test_an_end_that_a_recipe_steps_over_is_refused(grid: str, final: str) -> None:
    with pytest.raises(OptionError, match="has no level there; leave log_snr_max out"):
        GRIDS[grid](log_snr_max=5.5, final=final)


def test_explicit_levels_are_the_given_ones() -> None:
    process = VPLinear()
    ratios = (30.0, 4.0, 0.7, 0.05)
    for given, steps in ((ratios, 3), ((*ratios, 0.0), 4)):
        grid = Explicit(noise_ratios=given, final="min")
        assert grid.steps == steps
        np.testing.assert_allclose(
            [v.noise_ratio for v in grid.levels(process)], given, rtol=1e-11
        )
    times = (1.0, 0.31, 0.02)
    assert [v.t for v in Explicit(given_times=times, final="min").levels(process)] == list(times)
    assert len(Explicit(given_times=times).levels(process)) == 4
    assert len(Explicit(given_times=times, final="denoised").levels(process)) == 4


@pytest.mark.parametrize(("grid", "options", "named"), [
    ("uniform-time", {"steps": 0}, "0"),
    ("uniform-time", {"steps": 2.5}, "2.5"),
    ("uniform-time", {"steps": True}, "True"),
    ("uniform-time", {"final": "cleen"}, "Did you mean 'clean'"),
    ("uniform-time", {"log_snr_min": 2.0, "log_snr_max": 1.0}, "2.0"),
    ("uniform-log-snr", {"log_snr_max": math.inf}, "log_snr_max"),
    ("karras", {"rho": -1.0}, "-1.0"),
    ("karras", {"rho": math.nan}, "nan"),
    ("polyexponential", {"rho": 0.0}, "0.0"),
    ("quadratic", {"power": math.inf}, "inf"),
    ("beta", {"a": 0.0}, "a of the beta grid"),
    ("beta", {"b": math.nan}, "b of the beta grid"),
    ("beta", {"over": "tyme"}, "Did you mean 'time'"),
    ("flow-shift", {"shift": -3.0}, "-3.0"),
    ("discrete", {"spacing": "trailling"}, "Did you mean 'trailing'"),
    ("discrete", {"log_snr_min": -3.0}, "chain"),
    ("discrete", {"offset": -1}, "-1"),
    ("discrete", {"offset": 0.5}, "0.5"),
    ("discrete", {"offset": 1, "spacing": "linspace"}, "leading"),
    ("explicit", {}, "given_times"),
    ("explicit", {"given_times": (0.5,), "noise_ratios": (1.0,)}, "either"),
    ("explicit", {"noise_ratios": (1.0, -2.0)}, "-2.0"),
    ("explicit", {"given_times": (0.9, math.nan)}, "nan"),
    ("explicit", {"given_times": (0.9,), "final": "min"}, "got 0"),
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


def test_an_end_noisier_than_the_stated_start_is_named() -> None:
    with pytest.raises(OptionError, match=r"starts at log SNR -10 .* set log_snr_min"):
        Karras(log_snr_max=-12.0).levels(RectifiedFlow())


def test_levels_beyond_the_processs_last_are_named() -> None:
    with pytest.raises(OptionError, match=r"last of 400 levels .* t = 0.007463.* larger shift"):
        FlowShift(steps=400).levels(RectifiedFlow(t_min=0.01))


def test_explicit_times_that_rise_are_refused_by_every_sampler() -> None:
    made = Explicit(given_times=(0.2, 0.9)).levels(VPLinear())
    with pytest.raises(OptionError, match="noise must fall along a grid: level 0"):
        check_levels(made)


@pytest.mark.parametrize("grid", GRIDS.members)
def test_levels_are_float64_on_the_host(grid: str) -> None:
    process = DiscreteDDPM()
    before = torch.get_default_dtype()
    expected = make(grid, steps=5).levels(process)
    try:
        torch.set_default_dtype(torch.float32 if before == torch.float64 else torch.float64)
        found = make(grid, steps=5).levels(process)
    finally:
        torch.set_default_dtype(before)
    assert found == expected
    for level in found[:-1]:
        assert level.alpha**2 + level.sigma**2 == pytest.approx(1.0, abs=1e-15)


def test_levels_by_name_are_those_of_the_grid() -> None:
    process = DiscreteDDPM()
    assert levels("karras", process, steps=9, rho=5.0) == Karras(steps=9, rho=5.0).levels(process)
    assert levels(Karras(rho=5.0), process, steps=9) == Karras(steps=9, rho=5.0).levels(process)
    assert levels(Quadratic(), process) == Quadratic().levels(process)
    assert levels("trailing", process, steps=7) == Discrete(spacing="trailing", steps=7).levels(
        process
    )
    with pytest.raises(UnknownNameError, match=r"unknown grid 'karass'.*Did you mean 'karras'"):
        levels("karass", process)
    with pytest.raises(OptionError, match=r"option of the grid karras 'rh'; known: .*'rho'"):
        levels("karras", process, rh=7.0)
    with pytest.raises(OptionError, match="option of the grid karras 'sigma_min'"):
        levels(Karras(), process, sigma_min=0.1)


@pytest.mark.parametrize("alias", GRIDS.aliases)
def test_an_alias_is_its_member_with_options_in_a_configuration_too(alias: str) -> None:
    member, options = GRIDS.find(alias)
    assert member is GRIDS[GRIDS.aliases[alias][0]]
    assert alias not in GRIDS.members
    asked = config.from_tables({"grid": {"name": alias, "steps": 7}}).build("grid")
    assert asked == member(steps=7, **options)
    assert levels(alias, DiscreteDDPM(), steps=7) == asked.levels(DiscreteDDPM())


def test_the_page_names_every_grid_alias_and_final() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in (*GRIDS.members, *GRIDS.aliases, *FINALS):
        assert f"`{name}`" in page, name


def test_noise_falls_between_neighbours_of_a_long_grid() -> None:
    """A thousand levels on a chain of a thousand instants, and still none equal to the next."""
    for grid in CONTINUOUS:
        if grid not in TO_THE_DATA:
            made = GRIDS[grid](steps=1000, final="min").levels(DiscreteDDPM())
            assert all(s.noise_ratio < t.noise_ratio for t, s in pairwise(made)), grid
