"""Restart against its authors' code, written again in numpy."""

import itertools
import math

import numpy as np
import pytest
import torch
from sampling_tools import Recorded, Written, denoiser

from scoresde.config import Config
from scoresde.errors import OptionError
from scoresde.kernels import Purpose
from scoresde.processes import PROCESSES
from scoresde.samplers import DDIM, Heun, Restart, sample
from scoresde.samplers.grids import Karras, UniformLogSNR


def begin(level) -> np.ndarray:
    return np.random.default_rng(8).standard_normal((1, 2)) * level.scale


def run(sampler, levels) -> np.ndarray:
    """The trajectory (points, 1, 2)."""
    x = torch.from_numpy(begin(levels[0]))
    result = sample(Recorded(), sampler, levels, x, Written(), trajectory=True)
    return result.trajectory.transpose(0, 1).numpy()


def restart_sampler(t_steps, restarts, rho, s_noise, noise, x, heun=True):
    """The code of Xu et al. (no churn): main steps, and K times up and back at some of them."""

    def descend(x, times):
        for t, t_next in itertools.pairwise(times):
            d = (x - denoiser(x, 1.0, t)) / t
            x_next = x + (t_next - t) * d
            if t_next != 0 and heun:
                d_next = (x_next - denoiser(x_next, 1.0, t_next)) / t_next
                x_next = x + (t_next - t) * (0.5 * d + 0.5 * d_next)
            x = x_next
        return x

    t_steps = np.array(t_steps)
    by_index = {int(np.argmin(abs(t_steps - v[2]))): v for v in restarts}
    states = [x]
    for i in range(len(t_steps) - 1):
        x = descend(x, t_steps[i : i + 2])
        if i + 1 in by_index:
            n, repeats, _, t_max = by_index[i + 1]
            low, high = t_steps[i + 1] ** (1 / rho), t_max ** (1 / rho)
            times = (high + np.arange(n) / (n - 1) * (low - high)) ** rho
            for k in range(repeats):
                z = noise.number(i + (k << 20), Purpose.RESTART, 1)
                x = x + math.sqrt(times[0] ** 2 - times[-1] ** 2) * s_noise * z
                x = descend(x, times)
        states.append(x)
    return states


@pytest.mark.parametrize("solver", ["heun", "ddim"])
def test_restart_is_the_papers_code(solver: str) -> None:
    intervals = ((3, 2, 0.06, 0.3), (4, 3, 1.09, 1.92), (5, 1, 19.35, 40.79))
    levels = Karras(steps=18).levels(PROCESSES["edm"]())
    noise = Written()
    expected = restart_sampler(
        [level.sigma for level in levels],
        intervals, 7.0, 1.003, noise, begin(levels[0]), solver == "heun",
    )  # fmt: skip
    sampler = Restart(intervals=intervals, solver=solver, noise=1.003)
    got = run(sampler, levels)
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-11)
    assert sampler.plan(levels).draws == 6


def test_restart_counts_evaluations_as_its_paper() -> None:
    """Table 5 for ImageNet 64: 36 steps and five intervals are 203 evaluations."""
    intervals = (
        (4, 1, 19.35, 40.79), (4, 1, 1.09, 1.92), (4, 5, 0.59, 1.09),
        (4, 5, 0.30, 0.59), (6, 6, 0.06, 0.30),
    )  # fmt: skip
    levels = Karras(steps=36).levels(PROCESSES["edm"]())
    assert Restart(intervals=intervals).plan(levels).nfe == 203


def test_a_restart_of_no_height_is_all_that_parts_it_from_its_solver() -> None:
    """With next to no noise and a hair's height the flow goes on as if nothing had been."""
    levels = UniformLogSNR(steps=8, final="min", log_snr_min=-6.0).levels(PROCESSES["vp-linear"]())
    low = levels[5].noise_ratio
    for solver, alone in (("heun", Heun()), ("ddim", DDIM())):
        near = Restart(solver=solver, intervals=((2, 1, low, low * (1 + 1e-12)),), noise=1e-9)
        np.testing.assert_allclose(run(near, levels), run(alone, levels), rtol=1e-9, atol=1e-9)


def test_a_restart_begins_at_pure_noise_with_a_solver_that_can() -> None:
    levels = PROCESSES["rectified-flow"]().levels([1.0, 0.6, 0.2, 0.1])
    assert np.isfinite(run(Restart(solver="ddim"), levels)).all()
    with pytest.raises(OptionError, match="log_snr_min"):
        run(Restart(), levels)


@pytest.mark.parametrize(("steps", "options", "named"), [
    (1, {}, "one step"),
    (6, {"intervals": ((3, 1, 900.0, 1000.0),)}, "log SNR"),
    (3, {"intervals": ((3, 1, 0.01, 0.02),), }, "finer grid"),
])  # fmt: skip
def test_a_grid_that_leaves_no_room_to_restart_is_named(steps, options, named: str) -> None:
    final = "clean" if steps != 3 else "min"
    grid = UniformLogSNR(steps=steps, log_snr_min=-8.0, log_snr_max=4.0, final=final)
    with pytest.raises(OptionError, match=named):
        Restart(**options).plan(grid.levels(PROCESSES["vp-linear"]()))


@pytest.mark.parametrize(("options", "named"), [
    ({"solver": "huen"}, "Did you mean 'heun'"),
    ({"intervals": ((3, 1, 0.5, 0.2),)}, "r_min < r_max"),
    ({"intervals": ((1, 1, 0.1, 0.2),)}, "points"),
    ({"intervals": ((3, 0, 0.1, 0.2),)}, "repeats"),
    ({"intervals": ((3.5, 1, 0.1, 0.2),)}, "3.5"),
    ({"intervals": ((3, 1, math.nan, 0.2),)}, "nan"),
    ({"intervals": (3, 1, 0.1, 0.2)}, "is \\(points"),
    ({"intervals": 3}, "a list"),
    ({"rho": 0.0}, "rho"),
    ({"noise": math.inf}, "inf"),
])  # fmt: skip
def test_bad_options_are_named(options: dict, named: str) -> None:
    with pytest.raises(OptionError, match=named):
        Restart(**options)


def test_intervals_come_from_a_table() -> None:
    tables = {"sampler": {"name": "restart", "intervals": [[3, 2, 0.06, 0.3], [4, 1, 1, 2]]}}
    sampler = Config(tables).build("sampler")
    assert sampler == Restart(intervals=((3, 2, 0.06, 0.3), (4, 1, 1.0, 2.0)))
    hash(sampler)
