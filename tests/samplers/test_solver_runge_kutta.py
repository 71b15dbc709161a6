"""Runge-Kutta solvers against their papers' algorithms, written again in numpy, to 1e-12."""

import itertools
import math

import numpy as np
import pytest
import torch
from sampling_tools import Recorded, Written, denoiser

from scoresde.errors import OptionError
from scoresde.kernels import Purpose
from scoresde.processes import PROCESSES, NoiseLevel
from scoresde.samplers import DDIM, DPM2, RK4, Euler, Heun, Midpoint, sample
from scoresde.samplers.grids import Karras, UniformLogSNR, UniformTime
from scoresde.samplers.runge_kutta.variables import VARIABLES
from scoresde.verify.order import error_on_mixture, slope
from scoresde.verify.settings import settings

N = 5
EDM = Karras(steps=12).levels(PROCESSES["edm"]())
CHURN = {"churn": 8.0, "churn_min": 0.05, "churn_max": 50.0, "churn_noise": 1.003}
EVERY_VARIABLE = pytest.mark.parametrize("variable", VARIABLES)


def begin(level) -> np.ndarray:
    return np.random.default_rng(8).standard_normal((N, 2)) * level.scale


def run(sampler, levels, noise=None, model=None) -> np.ndarray:
    """The trajectory (points, batch, 2)."""
    x = torch.from_numpy(begin(levels[0]))
    result = sample(model or Recorded(), sampler, levels, x, noise or Written(), trajectory=True)
    return result.trajectory.transpose(0, 1).numpy()


def close(got: np.ndarray, expected, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(got, np.array(expected), rtol=tolerance, atol=tolerance)


def slope_in_sigma(y: np.ndarray, r: float) -> np.ndarray:
    return (y - denoiser(y, 1.0, r)) / r


def euler_step(x, sigma, sigma_next):
    return x + (sigma_next - sigma) * slope_in_sigma(x, sigma)


def heun_step(x, sigma, sigma_next):
    d, x_2 = slope_in_sigma(x, sigma), euler_step(x, sigma, sigma_next)
    return x + (sigma_next - sigma) * 0.5 * (d + slope_in_sigma(x_2, sigma_next))


def dpm_2_step(x, sigma, sigma_next):
    sigma_mid = math.exp(0.5 * (math.log(sigma) + math.log(sigma_next)))
    x_2 = euler_step(x, sigma, sigma_mid)
    return x + (sigma_next - sigma) * slope_in_sigma(x_2, sigma_mid)


@pytest.mark.parametrize("churned", [False, True])
@pytest.mark.parametrize(
    ("member", "step"), [(Euler, euler_step), (Heun, heun_step), (DPM2, dpm_2_step)]
)
def test_the_sigma_samplers_with_churn(member, step, churned: bool) -> None:
    """Karras et al. 2022, algorithm 2, as k-diffusion has it for its three methods."""
    sigmas = [level.sigma for level in EDM]
    written, x = Written(), begin(EDM[0])
    expected, calls = [x], 0
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(sigmas)):
        gamma = min(8.0 / 12, math.sqrt(2) - 1) if churned and 0.05 <= sigma <= 50.0 else 0.0
        hat = sigma * (gamma + 1)
        if gamma > 0:
            x = x + math.sqrt(hat**2 - sigma**2) * 1.003 * written.number(i, Purpose.CHURN, N)
            calls += 1
        x = (step if sigma_next > 0 else euler_step)(x, hat, sigma_next)
        expected.append(x)
    noise = Written()
    close(run(member(**(CHURN if churned else {})), EDM, noise), expected)
    assert len(noise.calls) == calls
    assert (calls > 0) == churned


@pytest.mark.parametrize(("member", "step"), [(Heun, heun_step), (DPM2, dpm_2_step)])
def test_under_any_process_they_step_in_x_over_alpha(member, step) -> None:
    for name in ("vp-linear", "rectified-flow"):
        levels = UniformLogSNR(steps=9, log_snr_min=-7.0).levels(PROCESSES[name]())
        x = begin(levels[0])
        expected = [x]
        for t, s in itertools.pairwise(levels):
            move = step if s.sigma > 0 else euler_step
            x = s.alpha * move(x / t.alpha, t.sigma / t.alpha, s.sigma / s.alpha)
            expected.append(x)
        close(run(member(), levels), expected)


@pytest.mark.parametrize("alpha", [0.5, 2 / 3, 1.0])
@pytest.mark.parametrize("name", ["vp-linear", "ve"])
def test_heun_in_time_is_edms_algorithm_3(name: str, alpha: float) -> None:
    """dx/dt = (sigma'/sigma + s'/s) x - sigma' s/sigma D(x/s; sigma), sigma and s by hand."""
    a, b = 19.9, 0.1

    def at(t):
        if name == "ve":
            sigma = 0.01 * 5000.0**t
            return sigma, math.log(5000.0) * sigma, 1.0, 0.0
        grown = math.exp(0.5 * a * t**2 + b * t)
        rate, s = (a * t + b) * grown, 1.0 / math.sqrt(grown)
        sigma = math.sqrt(grown - 1.0)
        return sigma, 0.5 * rate / sigma, s, -0.5 * (a * t + b) * s

    def velocity(x, t):
        sigma, sigma_rate, s, s_rate = at(t)
        pull = (sigma_rate / sigma + s_rate / s) * x
        return pull - sigma_rate * s / sigma * denoiser(x / s, 1.0, sigma)

    times = np.linspace(0.9, 0.1, 9)
    levels = PROCESSES[name]().levels(times)
    assert levels[0].sigma / levels[0].alpha == pytest.approx(at(0.9)[0])
    x = begin(levels[0])
    expected = [x]
    for t, t_next in itertools.pairwise(times):
        h, d = t_next - t, velocity(x, t)
        d_prime = velocity(x + alpha * h * d, t + alpha * h)
        x = x + h * ((1 - 1 / (2 * alpha)) * d + 1 / (2 * alpha) * d_prime)
        expected.append(x)
    close(run(Heun(variable="time", alpha=alpha), levels), expected, 1e-11)


def flow_in(variable: str):
    """(w of sigma/alpha = r, y of (x, r) for a VP process, its inverse, dy/dw), all by r alone."""

    def in_sigma(r, y):
        return slope_in_sigma(y, r)

    def in_phi(phi, u):
        x0 = denoiser(u, math.cos(phi), math.sin(phi))
        return (math.cos(phi) * u - x0) / math.sin(phi)

    def in_log_snr(w, u):
        phi = math.atan(math.exp(w))
        return math.sin(phi) * math.cos(phi) * in_phi(phi, u)

    def in_time(t, x):
        bar = math.exp(-0.5 * 19.9 * t**2 - 0.1 * t)
        beta, sigma = 0.1 + 19.9 * t, math.sqrt(1 - bar)
        score = (math.sqrt(bar) * denoiser(x, math.sqrt(bar), sigma) - x) / sigma**2
        return -0.5 * beta * (x + score)

    def root(r):  # of 19.9/2 t^2 + 0.1 t = log(1 + r^2)
        return (math.sqrt(0.01 + 2 * 19.9 * math.log1p(r * r)) - 0.1) / 19.9

    rate, clock = {
        "sigma": (in_sigma, lambda r: r),
        "phi": (in_phi, math.atan),
        "log-snr": (in_log_snr, math.log),
        "time": (in_time, root),
    }[variable]
    return rate, clock, lambda r: 1 / math.sqrt(1 + r * r) if variable == "sigma" else 1.0


@EVERY_VARIABLE
def test_rk4_is_the_classical_method_in_each_variable(variable: str) -> None:
    levels = UniformLogSNR(steps=6, log_snr_min=-6.0).levels(PROCESSES["vp-linear"]())
    f, clock, scale = flow_in(variable)
    x = begin(levels[0])
    expected = [x]
    for t, s in itertools.pairwise(level.noise_ratio for level in levels):
        if s == 0:
            alpha = 1 / math.sqrt(1 + t * t)
            expected.append(denoiser(x, alpha, alpha * t))
            continue
        w, h, y = clock(t), clock(s) - clock(t), x / scale(t)
        k1 = f(w, y)
        k2 = f(w + h / 2, y + h / 2 * k1)
        k3 = f(w + h / 2, y + h / 2 * k2)
        k4 = f(w + h, y + h * k3)
        x = scale(s) * (y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
        expected.append(x)
    close(run(RK4(variable=variable), levels), expected, 1e-11)


def test_euler_in_time_samples_a_rectified_flow_as_flow_matching_does() -> None:
    """x + (s - t) (eps - x0), from noise itself to the data."""
    levels = UniformTime(steps=7).levels(PROCESSES["rectified-flow"]())
    assert levels[0].alpha == levels[-1].sigma == 0.0
    x = begin(levels[0])
    expected = [x]
    for t, s in itertools.pairwise(level.t for level in levels):
        x0 = denoiser(x, 1 - t, t)
        x = x + (s - t) * ((x - (1 - t) * x0) / t - x0)
        expected.append(x)
    close(run(Euler(variable="time"), levels), expected)


@pytest.mark.parametrize("member", [Euler, Heun, Midpoint, RK4])
def test_their_last_step_in_time_may_be_eulers(member) -> None:
    """EDM's ablation_sampler: x + (0 - t) dx/dt from its last level, VP by hand."""
    levels, model = UniformTime(steps=6).levels(PROCESSES["vp-linear"]()), Recorded()
    got = run(member(variable="time", last="step"), levels, model=model)
    usual, x, t = run(member(variable="time"), levels), got[-2], levels[-2].t
    close(got[:-1], usual[:-1], 0.0)
    close(got[-1], x - t * flow_in("time")[0](t, x), 1e-11)
    assert np.abs(got[-1] - usual[-1]).max() > 1e-4
    assert len(model.levels) == 5 * member().evaluations + 1


@pytest.mark.parametrize("name", PROCESSES.members)
def test_euler_in_sigma_is_ddim(name: str) -> None:
    levels = UniformLogSNR(steps=7, log_snr_min=-6.0).levels(PROCESSES[name]())
    close(run(Euler(), levels), run(DDIM(), levels))


@EVERY_VARIABLE
def test_heun_with_alpha_one_half_is_the_midpoint_rule(variable: str) -> None:
    levels = UniformLogSNR(steps=5, log_snr_min=-6.0).levels(PROCESSES["vp-linear"]())
    got = run(Midpoint(variable=variable), levels)
    assert np.array_equal(got, run(Heun(variable=variable, alpha=0.5), levels))
    assert np.abs(got - run(Heun(variable=variable), levels)).max() > 1e-3


@pytest.mark.parametrize("member", [Euler, Heun, Midpoint, RK4])
@EVERY_VARIABLE
def test_a_step_to_the_data_takes_the_posterior_mean(member, variable: str) -> None:
    levels = UniformLogSNR(steps=1, log_snr_min=-1.0).levels(PROCESSES["ve"]())
    x, model = begin(levels[0]), Recorded()
    got = run(member(variable=variable), levels, model=model)
    close(got[-1], denoiser(x, levels[0].alpha, levels[0].sigma))
    assert len(model.levels) == 1


@pytest.mark.parametrize("variable", ["phi", "time"])
@pytest.mark.parametrize("name", ["rectified-flow", "vp-cosine"])
def test_phi_and_time_start_at_pure_noise(name: str, variable: str) -> None:
    process = PROCESSES[name]()
    levels = process.levels([1.0, 0.9, 0.5, 0.1])
    near = process.levels([1.0 - 1e-9, 0.9, 0.5, 0.1])
    sampler = Heun(variable=variable)
    close(run(sampler, levels), run(sampler, near), 1e-6)
    churned = Heun(variable="phi", churn=1.0)  # infinite noise has no more
    assert [move.kind for move in churned.moves(levels)][:2] == ["denoise", "noise"]


@pytest.mark.parametrize("sampler", [Euler(), DPM2(), Midpoint(variable="log-snr")])
def test_the_others_say_that_they_cannot(sampler) -> None:
    levels = PROCESSES["rectified-flow"]().levels([1.0, 0.5, 0.1])
    with pytest.raises(OptionError, match=r"log_snr_min.*variable='phi'"):
        run(sampler, levels)


def test_time_needs_levels_of_a_process() -> None:
    levels = [NoiseLevel(t=math.nan, alpha=1.0, sigma=sigma) for sigma in (3.0, 1.0)]
    with pytest.raises(OptionError, match=r"sigma = 3 is of none.*'phi'"):
        run(Heun(variable="time"), levels)
    assert np.isfinite(run(RK4(), levels)).all()


@pytest.mark.parametrize(("member", "options", "named"), [
    (Euler, {"variable": "sigm"}, "Did you mean 'sigma'"),
    (Euler, {"churn": math.nan}, "churn of euler"),
    (DPM2, {"churn_min": 2.0, "churn_max": 1.0}, "churn_max of dpm-2"),
    (Heun, {"churn": 1.0, "variable": "time"}, "variable='sigma'"),
    (Heun, {"last": "step"}, "variable='time'"),
    (RK4, {"last": "euler", "variable": "time"}, "last of rk4"),
    (Heun, {"alpha": 0.0}, "alpha of heun"),
    (Heun, {"alpha": math.nan}, "nan"),
    (Heun, {"alpha": 1.5}, "1.5"),
])  # fmt: skip
def test_bad_options_are_named(member, options: dict, named: str) -> None:
    with pytest.raises(OptionError) as caught:
        member(**options)
    assert named in str(caught.value)


@pytest.mark.slow
@EVERY_VARIABLE
@pytest.mark.parametrize(
    "sampler", [Euler(), Heun(), Heun(alpha=2 / 3), Midpoint(), RK4()], ids=repr
)
def test_the_order_is_the_same_in_every_variable(sampler, variable: str) -> None:
    options = {"alpha": sampler.alpha} if isinstance(sampler, Heun) else {}
    sampler = type(sampler)(variable=variable, **options)
    for setting in settings()[::2]:  # VE, which is slow to settle in time, is left to the court
        errors = [error_on_mixture(sampler, setting, steps) for steps in (40, 80, 160)]
        assert slope(errors) == pytest.approx(sampler.order, abs=0.15)
