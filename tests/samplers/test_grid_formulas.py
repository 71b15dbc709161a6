"""Each grid against its definition, written again in numpy in the variables of its source."""

import numpy as np
import pytest
from scipy import stats

from scoresde.processes import EDM, PROCESSES, RectifiedFlow, VPCosine, VPLinear
from scoresde.samplers.grids import levels

ENDS = {"log_snr_min": -6.0, "log_snr_max": 6.0}
LARGE, SMALL = np.exp(3.0), np.exp(-3.0)  # the same ends as sigma/alpha
RAMP = np.linspace(0.0, 1.0, 12)  # of the levels of eleven intervals


def ratios(grid, process, **options) -> np.ndarray:
    options = {"steps": 11, "final": "min", **options}
    return np.array([v.noise_ratio for v in levels(grid, process, **options)])


def times(grid, process, **options) -> np.ndarray:
    options = {"steps": 11, "final": "min", **options}
    return np.array([v.t for v in levels(grid, process, **options)])


NOISE = {  # sigma/alpha of level i, whatever the process
    ("karras", "rho=7"): (LARGE ** (1 / 7) + RAMP * (SMALL ** (1 / 7) - LARGE ** (1 / 7))) ** 7,
    ("karras", "rho=3"): (LARGE ** (1 / 3) + RAMP * (SMALL ** (1 / 3) - LARGE ** (1 / 3))) ** 3,
    ("uniform-log-snr", ""): np.exp(-0.5 * np.linspace(-6.0, 6.0, 12)),
    ("exponential", ""): np.geomspace(LARGE, SMALL, 12),
    ("polyexponential", "rho=1"): np.geomspace(LARGE, SMALL, 12),
    ("polyexponential", "rho=2.5"): np.exp(
        np.linspace(1, 0, 12) ** 2.5 * (np.log(LARGE) - np.log(SMALL)) + np.log(SMALL)
    ),
    ("cosine", ""): np.tan(RAMP * np.arctan(SMALL) + (1 - RAMP) * np.arctan(LARGE)),
    ("beta", "over=noise-ratio"): SMALL + stats.beta.ppf(1 - RAMP, 0.6, 0.6) * (LARGE - SMALL),
}


@pytest.mark.parametrize("name", PROCESSES.members)
def test_grids_in_the_noise_are_their_formulas_on_every_process(name: str) -> None:
    process = PROCESSES[name]()
    for (grid, option), expected in NOISE.items():
        key, _, value = option.partition("=")
        options = {key: value if key == "over" else float(value)} if key else {}
        found = ratios(grid, process, **ENDS, **options)
        np.testing.assert_allclose(found, expected, rtol=3e-10, err_msg=f"{grid} {option}")


@pytest.mark.parametrize("name", PROCESSES.members)
def test_grids_in_time_are_their_formulas_on_every_process(name: str) -> None:
    process = PROCESSES[name]()
    first, last = (process.at_log_snr(end).t for end in ENDS.values())
    quantile = stats.beta.ppf(np.linspace(1, 0, 12), 2.0, 0.7)
    expected = {
        ("uniform-time",): np.linspace(first, last, 12),
        ("quadratic",): np.linspace(first**0.5, last**0.5, 12) ** 2,
        ("quadratic", ("power", 3.0)): np.linspace(first ** (1 / 3), last ** (1 / 3), 12) ** 3,
        ("beta", ("a", 2.0), ("b", 0.7)): last + (first - last) * quantile,
    }
    for (grid, *options), wanted in expected.items():
        found = times(grid, process, **ENDS, **dict(options))
        np.testing.assert_allclose(found, wanted, atol=1e-12, err_msg=grid)


def test_karras_is_equation_5() -> None:
    """sigma_i = (smax^(1/rho) + i/(N-1) (smin^(1/rho) - smax^(1/rho)))^rho, then sigma_N = 0."""
    made = levels("karras", EDM(), steps=18)
    i = np.arange(18)
    big, small = 80 ** (1 / 7), 0.002 ** (1 / 7)
    expected = (big + i / 17 * (small - big)) ** 7
    np.testing.assert_allclose([v.sigma for v in made[:-1]], expected, rtol=1e-11)
    assert made[-1].sigma == 0.0


def test_table_1_of_karras_et_al() -> None:
    """The VP and VE columns of "time steps", in sigma, from their own constants."""
    i = np.arange(18) / 17
    t = 1 + i * (1e-3 - 1)
    vp = np.sqrt(np.exp(0.5 * 19.9 * t**2 + 0.1 * t) - 1)
    start = levels("uniform-time", VPLinear(t_min=1e-3), steps=18)
    np.testing.assert_allclose([v.noise_ratio for v in start[:-1]], vp, rtol=1e-9)
    squares = 100.0**2 * (0.02**2 / 100.0**2) ** i
    ve = levels("uniform-log-snr", PROCESSES["ve"](sigma_min=0.02, sigma_max=100.0), steps=18)
    np.testing.assert_allclose([v.sigma**2 for v in ve[:-1]], squares, rtol=1e-9)


def test_cosine_starts_at_alpha_0_and_is_even_on_the_cosine_schedule() -> None:
    made = levels("cosine", RectifiedFlow(), steps=9, final="min")
    np.testing.assert_allclose(
        [v.phi for v in made], np.linspace(np.pi / 2, np.arctan(1e-3 / 0.999), 10), atol=1e-12
    )
    assert made[0].alpha == 0.0
    np.testing.assert_allclose(np.diff(times("cosine", VPCosine(offset=0.0)), 2), 0.0, atol=1e-12)


def test_beta_reduces_to_uniform_and_to_the_arcsine_law() -> None:
    process = VPLinear()
    flat = times("beta", process, a=1.0, b=1.0)
    np.testing.assert_allclose(flat, times("uniform-time", process), atol=1e-13)
    arcsine = times("beta", process, a=0.5, b=0.5)
    span = 1.0 - process.t_min
    expected = process.t_min + span * np.cos(0.5 * np.pi * RAMP) ** 2
    np.testing.assert_allclose(arcsine, expected, atol=1e-12)


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
def test_flow_shift_is_the_flows_own_on_rectified_flow(shift: float) -> None:
    u = np.linspace(1.0, 0.0, 21)[:-1]
    found = [v.t for v in levels("flow-shift", RectifiedFlow(), steps=20, shift=shift)[:-1]]
    np.testing.assert_allclose(found, shift * u / (1 + (shift - 1) * u), rtol=1e-12)
    mu = np.log(shift)  # Flux
    np.testing.assert_allclose(found, np.exp(mu) / (np.exp(mu) + 1 / u - 1), rtol=1e-12)


@pytest.mark.parametrize("name", PROCESSES.members)
def test_flow_shift_multiplies_every_noise_ratio_between_its_ends(name: str) -> None:
    """w = sigma/(alpha + sigma) from the stated first level to 0, unshifted even, then shifted."""
    process = PROCESSES[name]()
    found = ratios("flow-shift", process, steps=8, shift=4.0, log_snr_min=-5.0)[:-1]
    first = np.exp(2.5) / 4.0  # sigma/alpha of the first level before the shift
    u = first / (1 + first) * (1 - np.arange(8) / 8)
    np.testing.assert_allclose(found, 4.0 * u / (1 - u), rtol=1e-10)


@pytest.mark.parametrize("name", ["vp-linear", "rectified-flow", "ve"])
def test_shift_1_of_a_flow_is_trailing(name: str) -> None:
    process = PROCESSES[name]()
    share = [v.sigma / (v.alpha + v.sigma) for v in levels("flow-shift", process, shift=1.0)]
    assert share[-1] == 0.0
    np.testing.assert_allclose(np.diff(share), -share[0] / 20, rtol=1e-9)


def test_sgm_uniform_and_normal_are_linspaces_of_timesteps() -> None:
    chain = PROCESSES["ddpm"]()
    for alias, expected in {
        "sgm_uniform": np.linspace(999, 0, 11)[:-1],
        "normal": np.linspace(999, 0, 10),
    }.items():
        found = [1000 * v.t - 1 for v in levels(alias, chain, steps=10)[:-1]]
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_linspace_of_score_sde() -> None:
    """timesteps = linspace(T, eps, N), and one update from each of them."""
    made = levels("uniform-time", VPLinear(t_min=1e-3), steps=1000)
    np.testing.assert_allclose([v.t for v in made[:-1]], np.linspace(1, 1e-3, 1000), rtol=1e-12)
    assert len(made) == 1001
