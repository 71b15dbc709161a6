"""Laws that every forward process obeys, by its family's dict."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from scoresde.errors import OptionError
from scoresde.processes import PROCESSES, DiscreteDDPM

EVERY = pytest.mark.parametrize("name", PROCESSES.members)


def make(name: str):
    return PROCESSES[name]()


def times(process) -> torch.Tensor:
    """Times inside (t_min, 1), between the knots of a chain, where the rates are continuous."""
    t = torch.linspace(process.t_min + 0.002, 0.998, 41, dtype=torch.float64)
    if isinstance(process, DiscreteDDPM):
        t = ((t * process.steps).floor() + 0.37) / process.steps
    return t


def derivative(function, t: torch.Tensor) -> torch.Tensor:
    t = t.clone().requires_grad_()
    value = function(t)
    if not value.requires_grad:  # constant in t
        return torch.zeros_like(t)
    (grad,) = torch.autograd.grad(value.sum(), t)
    return grad


@EVERY
def test_rates_are_derivatives(name: str) -> None:
    process = make(name)
    t = times(process)
    for value, rate in (
        (process.alpha, process.alpha_rate),
        (process.sigma, process.sigma_rate),
    ):
        torch.testing.assert_close(rate(t), derivative(value, t), rtol=1e-11, atol=1e-13)


@EVERY
def test_snr_rate_drift_and_diffusion_are_derivatives(name: str) -> None:
    process = make(name)
    t = times(process)
    level = process.level(t, torch.zeros(1, dtype=torch.float64))
    snr = derivative(lambda t: (process.alpha(t) / process.sigma(t)) ** 2, t)
    torch.testing.assert_close(level.snr_rate, snr, rtol=1e-10, atol=0.0)
    drift = derivative(lambda t: process.alpha(t).log(), t)
    torch.testing.assert_close(level.drift, drift, rtol=1e-11, atol=1e-13)
    variance_rate = derivative(lambda t: process.sigma(t) ** 2, t)
    g2 = variance_rate - 2.0 * drift * process.sigma(t) ** 2
    torch.testing.assert_close(level.diffusion_squared, g2, rtol=1e-10, atol=1e-13)
    assert bool((level.diffusion_squared > 0).all())


@EVERY
def test_log_snr_falls_and_time_inverts_it(name: str) -> None:
    process = make(name)
    t = torch.linspace(process.t_min, 1.0, 500, dtype=torch.float64)
    log_snr = process.log_snr(t)
    assert bool((log_snr[1:] < log_snr[:-1]).all())
    back = process.time(log_snr)
    # the inverse divides by the slope of log SNR; 16 eps is the rounding of log SNR itself
    inside = t[1:-1]
    slope = -derivative(process.log_snr, inside + 1e-9)
    allowed = 1e-15 + 16 * 2.2e-16 * (1.0 + log_snr[1:-1].abs()) / slope
    assert bool(((back[1:-1] - inside).abs() <= allowed + 4e-16 * inside).all())
    assert float(back[-1]) == pytest.approx(1.0, abs=1e-12)
    assert float(back[0]) == pytest.approx(process.t_min, abs=1e-12)


def _moment_equations(process):
    def right_side(t, y):
        level = process.at(float(t))
        return [level.drift * y[0], 2.0 * level.drift * y[1] + level.diffusion_squared]

    return right_side


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n == "learned" else ()) for n in PROCESSES.members],
)
def test_forward_sde_lands_on_the_marginal(name: str) -> None:
    """dm/dt = f m, dv/dt = 2 f v + g^2 from (alpha_s, sigma_s^2) to (alpha_t, sigma_t^2)."""
    if name == "ddpm":  # one smooth piece a beta: a short chain, piece by piece
        process = DiscreteDDPM(steps=25)
        stops = [i / 25 for i in range(3, 26)]
    else:
        process, stops = make(name), [0.05, 0.4, 0.97]
    start = process.at(stops[0])
    y = [start.alpha, start.sigma**2]
    for s, t in itertools.pairwise(stops):
        inner = (s + 1e-8 / 25, t) if name == "ddpm" else (s, t)  # the rate right of the knot
        if name == "ddpm":
            level = process.at(inner[0])
            y = [
                y[0] * level.alpha / process.at(s).alpha,
                y[1] + level.sigma**2 - process.at(s).sigma ** 2,
            ]
        solution = solve_ivp(
            _moment_equations(process), inner, y, method="DOP853", rtol=1e-12, atol=1e-15
        )
        y = solution.y[:, -1]
        end = process.at(t)
        assert y[0] == pytest.approx(end.alpha, rel=1e-10)
        assert math.sqrt(y[1]) == pytest.approx(end.sigma, rel=1e-10)


@EVERY
def test_float_levels_equal_tensor_levels(name: str) -> None:
    process = make(name)
    t = torch.linspace(process.t_min, 1.0, 33, dtype=torch.float64)
    like = torch.zeros(33, 2, 3, dtype=torch.float64)
    tensors = process.level(t, like)
    assert tensors.alpha.shape == (33, 1, 1)
    for i, level in enumerate(process.levels(t)):
        assert level == process.at(float(t[i]))
        for field in ("t", "alpha", "sigma", "alpha_rate", "sigma_rate"):
            assert getattr(level, field) == float(getattr(tensors, field)[i]), field
        if level.alpha > 0:
            for derived in ("log_snr", "scale", "phi", "noise_ratio", "drift"):
                assert getattr(level, derived) == pytest.approx(
                    float(getattr(tensors, derived)[i]), rel=1e-14, abs=1e-14
                )
    single = process.level(t, like.to(torch.float32))
    assert single.sigma.dtype == torch.float32
    assert torch.equal(single.sigma, tensors.sigma.to(torch.float32))


@EVERY
def test_both_ends_are_finite_and_ordered(name: str) -> None:
    process = make(name)
    noisy, clean = process.at(1.0), process.at(process.t_min)
    for level in (noisy, clean):
        for field in ("alpha", "sigma", "alpha_rate", "sigma_rate", "scale", "phi"):
            assert math.isfinite(getattr(level, field)), field
    assert math.isfinite(clean.log_snr)
    assert noisy.phi > clean.phi
    assert clean.sigma < 0.11
    assert clean.alpha > 0.99


@pytest.mark.parametrize("name", ["vp-cosine", "rectified-flow"])
def test_alpha_is_exactly_zero_at_the_end(name: str) -> None:
    level = make(name).at(1.0)
    assert level.alpha == 0.0
    assert level.sigma == pytest.approx(1.0, rel=1e-15)
    assert level.phi == math.pi / 2
    assert level.log_snr == -math.inf
    assert level.noise_ratio == math.inf
    assert level.drift == -math.inf


@pytest.mark.parametrize("name", ["vp-linear", "vp-cosine", "ddpm"])
def test_variance_is_preserved(name: str) -> None:
    for level in make(name).levels(torch.linspace(0.0, 1.0, 101, dtype=torch.float64)[1:]):
        # an ulp each for alpha, sigma, their squares and the sum
        assert level.alpha**2 + level.sigma**2 == pytest.approx(1.0, abs=4 * 2.3e-16)


def test_published_formulas() -> None:
    """Each closed form against numpy, written from the papers."""
    t = np.linspace(0.01, 0.99, 50)
    tensor = torch.from_numpy(t)
    integral = 0.1 * t + 0.5 * 19.9 * t**2
    np.testing.assert_allclose(make("vp-linear").alpha(tensor), np.exp(-integral / 2), rtol=1e-14)
    np.testing.assert_allclose(make("sub-vp").sigma(tensor), 1 - np.exp(-integral), rtol=1e-12)
    cosine = np.cos((t + 0.008) / 1.008 * np.pi / 2) / np.cos(0.008 / 1.008 * np.pi / 2)
    np.testing.assert_allclose(make("vp-cosine").alpha(tensor), cosine, rtol=1e-13)
    np.testing.assert_allclose(make("vp-cosine").sigma(tensor), np.sqrt(1 - cosine**2), rtol=1e-12)
    np.testing.assert_allclose(make("ve").sigma(tensor), 0.01 * 5000.0**t, rtol=1e-13)
    np.testing.assert_allclose(make("edm").sigma(tensor), 0.002 * 40000.0**t, rtol=1e-13)
    assert make("edm").at(1.0).sigma == pytest.approx(80.0, rel=1e-14)


def test_a_level_outside_the_process_is_refused() -> None:
    for name in ("vp-linear", "ve", "edm", "ddpm"):
        with pytest.raises(OptionError, match="0, 1"):
            make(name).at_log_snr(-60.0)
    with pytest.raises(OptionError, match=r"1\.5"):
        make("vp-linear").levels([0.5, 1.5])
    with pytest.raises(OptionError, match="nan"):
        make("vp-linear").at(math.nan)


BAD = [
    ("vp-linear", {"beta_min": -1.0}, "-1"),
    ("vp-linear", {"beta_max": math.inf}, "inf"),
    ("sub-vp", {"beta_min": 30.0}, "30"),
    ("vp-linear", {"t_min": 0.0}, "0"),
    ("vp-cosine", {"offset": math.nan}, "nan"),
    ("vp-cosine", {"t_min": 1.0}, "1"),
    ("ve", {"sigma_min": 0.0}, "0"),
    ("edm", {"sigma_max": 0.001}, "0.001"),
    ("rectified-flow", {"t_min": -0.1}, "-0.1"),
    ("ddpm", {"steps": 3}, "3"),
    ("ddpm", {"betas": "liner"}, "Did you mean 'linear'"),
    ("ddpm", {"betas": (0.1, 1.5)}, "1.5"),
    ("ddpm", {"betas": ()}, "empty"),
]


@pytest.mark.parametrize(("name", "options", "named"), BAD)
def test_bad_options_are_named(name: str, options: dict, named: str) -> None:
    with pytest.raises(OptionError) as caught:
        PROCESSES[name](**options)
    assert named in str(caught.value)
    assert next(iter(options)).split("_")[0].rstrip("s") in str(caught.value)
