"""LMS and iPNDM against other tools' algorithms, written again in numpy, to 1e-12."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sampling_tools import Recorded, denoiser

from scoresde.errors import OptionError
from scoresde.processes import PROCESSES, NoiseLevel
from scoresde.samplers import DDIM, IPNDM, LMS, RK4, Euler, Heun, sample
from scoresde.samplers.grids import Karras, UniformLogSNR
from scoresde.samplers.multistep.adams_bashforth import adams_weights
from scoresde.verify.exact_flow import flow_of_mixture, relative_error
from scoresde.verify.mixture import MixtureScore
from scoresde.verify.order import COLD_START, error_on_mixture, slope
from scoresde.verify.settings import settings

N = 5
EDM = Karras(steps=11).levels(PROCESSES["edm"]())
ADAMS = ([1.0], [1.5, -0.5], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24])


def begin(level) -> np.ndarray:
    return np.random.default_rng(8).standard_normal((N, 2)) * level.scale


def run(sampler, levels) -> np.ndarray:
    """The trajectory (points, batch, 2)."""
    x = torch.from_numpy(begin(levels[0]))
    result = sample(Recorded(), sampler, levels, x, trajectory=True)
    return result.trajectory.transpose(0, 1).numpy()


def close(got: np.ndarray, expected, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(got, np.array(expected), rtol=tolerance, atol=tolerance)


def slope_in_sigma(y: np.ndarray, r: float) -> np.ndarray:
    return (y - denoiser(y, 1.0, r)) / r


def lagrange_integrals(sigmas, i: int, order: int) -> list[float]:
    """int_{sigma_i}^{sigma_{i+1}} of each Lagrange polynomial through the last sigmas."""
    nodes = [sigmas[i - j] for j in range(order)]
    out = []
    for j, own in enumerate(nodes):
        basis = np.poly1d(np.poly(nodes[:j] + nodes[j + 1 :]))
        integral = (basis / basis(own)).integ()
        out.append(integral(sigmas[i + 1]) - integral(sigmas[i]))
    return out


@pytest.mark.parametrize("end", ["full", "lower", "euler"])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_lms_is_that_of_the_sigma_samplers(order: int, end: str) -> None:
    """k-diffusion's and diffusers' LMS; 11 steps down to sigma = 0."""
    sigmas, x = [level.sigma for level in EDM], begin(EDM[0])
    expected, ds = [x], []
    for i in range(11):
        ds.insert(0, slope_in_sigma(x, sigmas[i]))
        lowered = end == "lower" or (end == "euler" and i == 10)
        now = min(i + 1, order, 11 - i if lowered else order)
        x = x + sum(c * d for c, d in zip(lagrange_integrals(sigmas, i, now), ds, strict=False))
        expected.append(x)
    # np.poly cancels to 1e-10 where the nodes lie close together
    close(run(LMS(solver_order=order, end=end), EDM), expected, 1e-12 if order < 3 else 1e-9)


@pytest.mark.parametrize("points", [1, 2, 3, 4])
def test_the_weights_integrate_polynomials_exactly(points: int) -> None:
    """sum_j b_j p(r_j) = the mean of p over the step, for every p of a degree below `points`."""
    rng = np.random.default_rng(points)
    for _ in range(20):
        r = np.sort(rng.uniform(0.0, 3.0, points + 1))
        levels = [NoiseLevel(t=math.nan, alpha=1.0, sigma=value) for value in r]
        weights = adams_weights(levels[0], levels[1:])
        for degree in range(points):
            h = r[1] - r[0]
            mean = (r[1] ** (degree + 1) - r[0] ** (degree + 1)) / (degree + 1) / h
            size = np.abs(weights) @ r[1:] ** degree
            assert abs(weights @ r[1:] ** degree - mean) < 1e-13 * (size + 1.0 / h)


@pytest.mark.parametrize("name", ["vp-linear", "edm"])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_ipndm_is_ddims_step_with_equal_steps_weights(order: int, name: str) -> None:
    """diffusers' form: x0 from the mixture of eps, then alpha_s x0 + sigma_s eps, to the data."""
    levels = UniformLogSNR(steps=9, log_snr_min=-6.0).levels(PROCESSES[name]())
    x = begin(levels[0])
    expected, ets = [x], []
    for t, s in itertools.pairwise(levels):
        ets.insert(0, (x - t.alpha * denoiser(x, t.alpha, t.sigma)) / t.sigma)
        weights = ADAMS[min(order, len(ets)) - 1]
        eps = sum(w * e for w, e in zip(weights, ets, strict=False))
        x = s.alpha * (x - t.sigma * eps) / t.alpha + s.sigma * eps
        expected.append(x)
    close(run(IPNDM(solver_order=order), levels), expected)


def test_ipndm_v_of_two_steps_is_the_published_one() -> None:
    """x + h [(2 + h/h_1)/2 d - h/(2 h_1) d_1]."""
    sigmas, x = [level.sigma for level in EDM], begin(EDM[0])
    expected, old = [x], None
    for i in range(11):
        d, h = slope_in_sigma(x, sigmas[i]), sigmas[i + 1] - sigmas[i]
        if old is None:
            x = x + h * d
        else:
            ratio = h / (sigmas[i] - sigmas[i - 1])
            x = x + h * ((2 + ratio) / 2 * d - ratio / 2 * old)
        old = d
        expected.append(x)
    close(run(IPNDM(solver_order=2, variable_step=True), EDM), expected)


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("start", ["lower", "single-step"])
def test_on_equal_steps_in_sigma_all_three_are_one(order: int, start: str) -> None:
    levels = Karras(steps=8, rho=1.0, log_snr_min=-3.0).levels(PROCESSES["vp-linear"]())[:-1]
    lms = run(LMS(solver_order=order, start=start), levels)
    close(run(IPNDM(solver_order=order, start=start), levels), lms, 1e-11)
    close(run(IPNDM(solver_order=order, start=start, variable_step=True), levels), lms)
    equal = UniformLogSNR(steps=8, log_snr_min=-3.0, final="min").levels(PROCESSES["vp-linear"]())
    apart = run(LMS(solver_order=order), equal) - run(IPNDM(solver_order=order), equal)
    assert np.abs(apart).max() > 1e-3


@pytest.mark.parametrize("name", PROCESSES.members)
def test_of_one_prediction_both_are_ddim_and_euler(name: str) -> None:
    levels = UniformLogSNR(steps=7, log_snr_min=-6.0).levels(PROCESSES[name]())
    expected = run(DDIM(), levels)
    for sampler in (LMS(solver_order=1), IPNDM(solver_order=1), Euler()):
        close(run(sampler, levels), expected)


@pytest.mark.parametrize(("order", "single"), [
    (2, Heun()), (3, RK4(variable="sigma")), (4, RK4(variable="sigma")),
])  # fmt: skip
def test_a_single_step_start_takes_steps_of_the_full_order(order: int, single) -> None:
    got = run(LMS(solver_order=order, start="single-step"), EDM)
    alone, cold = run(single, EDM), run(LMS(solver_order=order), EDM)
    close(got[:order], alone[:order])
    assert np.abs(got[order] - alone[order]).max() > 1e-6
    assert np.abs(got[1] - cold[1]).max() > 1e-6


@pytest.mark.parametrize("name", ["rectified-flow", "vp-cosine"])
@pytest.mark.parametrize(
    "sampler", [LMS(), LMS(start="single-step"), IPNDM(), IPNDM(variable_step=True)], ids=repr
)
def test_they_start_at_pure_noise(name: str, sampler) -> None:
    process = PROCESSES[name]()
    levels = process.levels([1.0, 0.95, 0.8, 0.5, 0.3, 0.1])
    got = run(sampler, levels)
    close(got[1], run(DDIM(), levels)[1])
    if sampler.start == "lower":
        near = process.levels([1.0 - 1e-8, 0.95, 0.8, 0.5, 0.3, 0.1])
        close(got, run(sampler, near), 1e-5)


@pytest.mark.parametrize("sampler", [LMS(), LMS(start="single-step"), IPNDM(end="lower")])
def test_one_step_to_the_data_is_the_posterior_mean(sampler) -> None:
    levels = UniformLogSNR(steps=1, log_snr_min=-1.0).levels(PROCESSES["ve"]())
    x = begin(levels[0])
    close(run(sampler, levels)[-1], denoiser(x, 1.0, levels[0].sigma))


def test_evaluations_of_a_single_step_start() -> None:
    for sampler, extra in ((LMS(solver_order=2), 1), (LMS(solver_order=3), 6), (LMS(), 9)):
        assert sampler.plan(EDM).nfe == 11
        assert replace(sampler, start="single-step").plan(EDM).nfe == 11 + extra


@pytest.mark.parametrize(("member", "options", "named"), [
    (LMS, {"solver_order": 5}, "got 5"),
    (LMS, {"solver_order": True}, "solver_order of lms"),
    (LMS, {"solver_order": 2.0}, "got 2.0"),
    (IPNDM, {"solver_order": 0}, "solver_order of ipndm"),
    (IPNDM, {"variable_step": "yes"}, "variable_step of ipndm"),
    (IPNDM, {"start": "singlestep"}, "Did you mean 'single-step'"),
    (LMS, {"end": "lowered"}, "end of lms"),
])  # fmt: skip
def test_bad_options_are_named(member, options: dict, named: str) -> None:
    with pytest.raises(OptionError) as caught:
        member(**options)
    assert named in str(caught.value)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_what_ends_or_starts_low_declares_it(order: int) -> None:
    low = min(order, 2)
    assert (LMS(solver_order=order).order, LMS(solver_order=order).order_cold) == (order, low)
    warm = LMS(solver_order=order, start="single-step")
    assert (warm.order, warm.order_cold) == (order, order)
    for end in ("lower", "euler"):
        assert replace(warm, end=end).order_cold == replace(warm, end=end).order == low
    assert IPNDM(solver_order=order, start="single-step").order == low


@pytest.mark.slow
@pytest.mark.parametrize("order", [2, 3, 4])
def test_ipndm_has_its_full_order_on_equal_steps_in_sigma(order: int) -> None:
    setting = replace(settings()[0], log_snr_min=COLD_START)
    x, exact = flow_of_mixture(setting)

    def error(steps: int) -> float:
        grid = Karras(steps=steps, rho=1.0, final="min", log_snr_min=COLD_START, log_snr_max=5.0)
        sampler = IPNDM(solver_order=order, start="single-step")
        return relative_error(
            sample(MixtureScore(), sampler, grid.levels(setting.process), x).x, exact
        )

    errors = [error(steps) for steps in (320, 640, 1280)]
    assert slope(errors) == pytest.approx(order, abs=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", [
    LMS(solver_order=3, start="single-step"), LMS(start="single-step"),
    LMS(end="lower", start="single-step"), LMS(solver_order=3), LMS(), IPNDM(),
], ids=repr)  # fmt: skip
def test_the_order_from_its_own_start(sampler) -> None:
    """On the one process, as the variable is the same under all."""
    setting = replace(settings()[0], log_snr_min=COLD_START)
    errors = [error_on_mixture(sampler, setting, steps) for steps in (320, 640, 1280)]
    assert slope(errors) == pytest.approx(sampler.order_cold, abs=0.15)
