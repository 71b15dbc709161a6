"""SA-Solver, ER-SDE, SEEDS and Platen's scheme against their papers' algorithms in numpy."""

import itertools
import math

import numpy as np
import pytest
from sampling_tools import Written, denoiser
from scipy.integrate import quad
from sde_forms import begin, close, draw, er_sde, levels_of, run, sa_solver, seeds

from scoresde.errors import OptionError
from scoresde.kernels import Purpose
from scoresde.processes import CLEAN, PROCESSES, NoiseLevel
from scoresde.samplers import (
    DDIM,
    ERSDE,
    SEEDS,
    Ancestral,
    DPMSolverPP2MSDE,
    SASolver,
    StochasticRungeKutta,
)
from scoresde.samplers.stochastic.adams import adams_weights, lambda_step
from scoresde.samplers.stochastic.er_sde import NOISE_SCALES

NAMES = pytest.mark.parametrize("name", ["vp-linear", "rectified-flow", "ve"])


@NAMES
@pytest.mark.parametrize("options", [
    {}, {"tau": 0.0}, {"tau": 0.7, "end": "lower"}, {"tau": 0.7, "end": "euler"},
    {"predictor_order": 4, "corrector_order": 0},
    {"predictor_order": 2, "corrector_order": 1}, {"ratio_min": 0.2, "ratio_max": 3.0},
    {"predictor_order": 2, "corrector_order": 2, "few_steps": True, "end": "lower"},
])  # fmt: skip
def test_sa_solver_is_its_program(name: str, options: dict) -> None:
    sampler = SASolver(**options)
    for final in ("clean", "min"):
        levels = levels_of(name, final)
        close(run(sampler, levels), sa_solver(sampler, levels))


@NAMES
def test_sa_solver_of_one_point_is_ddim(name: str) -> None:
    for eta in (0.0, 1.0):
        one = SASolver(predictor_order=1, corrector_order=0, tau=eta)
        close(run(one, levels_of(name)), run(DDIM(eta=eta), levels_of(name)))


@pytest.mark.parametrize("tau", [0.0, 0.6, 1.0])
def test_sa_solver_of_two_points_is_2m_sde_with_exact_weights(tau: float) -> None:
    """DPM-Solver++(2M) SDE writes tau^2 as eta, and its heun form integrates the line exactly."""
    levels = levels_of("vp-linear")
    two = SASolver(predictor_order=2, corrector_order=0, tau=tau)
    close(run(two, levels), run(DPMSolverPP2MSDE(eta=tau**2, solver_type="heun"), levels), 1e-11)


def test_noise_of_sa_solver_keeps_to_its_interval() -> None:
    levels, noise = levels_of("vp-linear", "min"), Written()
    run(SASolver(ratio_min=0.5, ratio_max=2.0), levels, noise)
    inside = [i for i, level in enumerate(levels[:-1]) if 0.5 <= level.noise_ratio <= 2.0]
    assert noise.calls == [(i, int(Purpose.STEP)) for i in inside]
    assert 0 < len(inside) < len(levels) - 1


@pytest.mark.parametrize("h", [1e-7, 0.01, 1.0, 30.0])
@pytest.mark.parametrize("rate", [1.0, 1.25, 5.0])
def test_adams_weights_integrate_polynomials(rate: float, h: float) -> None:
    nodes = [h, 1.7 * h, 3.1 * h, 0.0]
    weights = adams_weights(rate, h, nodes)
    assert sum(weights) == pytest.approx(-math.expm1(-rate * h), rel=1e-13)
    size = sum(map(abs, weights))
    for k in range(4):
        got = sum(w * (u / h) ** k for w, u in zip(weights, nodes, strict=True))
        want = quad(lambda v, k=k: rate * h * math.exp(-rate * h * v) * v**k, 0, 1,
                    epsabs=0.0, epsrel=1e-13, limit=200)[0]  # fmt: skip
        assert abs(got - want) < 1e-13 * size * 3.1**k


def test_lambda_steps_do_not_cancel() -> None:
    for name in ("vp-linear", "rectified-flow"):
        process = PROCESSES[name]()
        for u in (-8.0, 0.0, 6.0):
            t, s = process.at_log_snr(u), process.at_log_snr(u + 2e-9)
            exact = math.log1p((s.alpha - t.alpha) / t.alpha) - math.log1p(
                (s.sigma - t.sigma) / t.sigma
            )
            assert lambda_step(t, s) == pytest.approx(exact, rel=1e-13)
    assert lambda_step(PROCESSES["rectified-flow"]().at(1.0), t) == math.inf
    assert lambda_step(t, CLEAN) == math.inf


@pytest.mark.parametrize("stages", [1, 2, 3])
@pytest.mark.parametrize("scale", NOISE_SCALES)
def test_er_sde_is_its_taylor_algorithms(scale: str, stages: int) -> None:
    levels = levels_of("rectified-flow")
    close(run(ERSDE(stages=stages, noise_scale=scale), levels), er_sde(levels, scale, stages))


@NAMES
def test_er_sde_of_one_stage_is_ddim_and_ancestral(name: str) -> None:
    levels = levels_of(name)
    close(run(ERSDE(stages=1, noise_scale="ode"), levels), run(DDIM(), levels))
    close(run(ERSDE(stages=1, noise_scale="sde"), levels), run(Ancestral(), levels))


@NAMES
@pytest.mark.parametrize("stages", [1, 2, 3])
def test_seeds_is_its_algorithm(name: str, stages: int) -> None:
    for final in ("clean", "min"):
        levels = levels_of(name, final)
        close(run(SEEDS(stages=stages), levels), seeds(levels, stages), 1e-11)


@NAMES
def test_stochastic_runge_kutta_is_platens_scheme_on_the_snr(name: str) -> None:
    """y + (a(y) + a(y + a(y) D + W)) D/2 + W with y = alpha x/sigma^2, a = x0, W ~ N(0, D)."""
    levels = levels_of(name)
    y = levels[0].alpha / levels[0].sigma ** 2 * begin(levels[0])
    expected = [begin(levels[0])]

    def drift(y, level):
        return denoiser(level.sigma**2 / level.alpha * y, level.alpha, level.sigma)

    for i, (t, s) in enumerate(itertools.pairwise(levels)):
        if s.sigma == 0.0:
            expected.append(drift(y, t))
            break
        step = (s.alpha / s.sigma) ** 2 - (t.alpha / t.sigma) ** 2
        a, w = drift(y, t), math.sqrt(step) * draw(i)
        y = y + (a + drift(y + a * step + w, s)) * step / 2 + w
        expected.append(s.sigma**2 / s.alpha * y)
    close(run(StochasticRungeKutta(), levels), expected)


@pytest.mark.parametrize("sampler", [
    SASolver(), SASolver(tau=0.0), StochasticRungeKutta(),
    *(ERSDE(noise_scale=scale) for scale in NOISE_SCALES if scale != "sde-4"),
])  # fmt: skip
def test_they_start_at_pure_noise(sampler) -> None:
    """What lies infinitely far back has no weight; at alpha = 1e-300 it has 1/log(1/alpha)."""
    first, *rest = PROCESSES["rectified-flow"]().levels([1.0, 0.9, 0.5, 0.3, 0.1])
    near = NoiseLevel(t=first.t, alpha=1e-300, sigma=1.0)
    assert first.alpha == 0.0
    got, limit = run(sampler, (first, *rest)), run(sampler, (near, *rest))
    exact = not isinstance(sampler, SASolver)
    np.testing.assert_allclose(got, limit, rtol=0.0, atol=1e-12 if exact else 1e-2)


@pytest.mark.parametrize("sampler", [SEEDS(stages=1), SEEDS(), ERSDE(noise_scale="sde-4")])
def test_those_that_cannot_start_at_pure_noise_say_so(sampler) -> None:
    levels = PROCESSES["rectified-flow"]().levels([1.0, 0.5, 0.1])
    with pytest.raises(OptionError, match="log_snr_min"):
        sampler.plan(levels)


@pytest.mark.parametrize(("member", "options"), [
    (SASolver, {"predictor_order": 0}), (SASolver, {"predictor_order": 5}),
    (SASolver, {"predictor_order": 2.0}), (SASolver, {"corrector_order": -1}),
    (SASolver, {"tau": -0.1}), (SASolver, {"tau": math.nan}), (SASolver, {"tau": math.inf}),
    (SASolver, {"ratio_min": 2.0, "ratio_max": 1.0}), (SASolver, {"ratio_max": math.nan}),
    (SASolver, {"end": "lowre"}), (ERSDE, {"stages": 4}), (ERSDE, {"noise_scale": "sde5"}),
    (SEEDS, {"stages": 0}),
])  # fmt: skip
def test_bad_options_are_named(member, options: dict) -> None:
    with pytest.raises(OptionError, match=f"{next(iter(options))}|stages|ratio_min"):
        member(**options)


@pytest.mark.parametrize("sampler", [SASolver(), ERSDE(), SEEDS(), StochasticRungeKutta()])
def test_one_step_to_the_data_is_the_posterior_mean(sampler) -> None:
    levels = levels_of("vp-linear")[-2:]
    x, noise = begin(levels[0]), Written()
    assert sampler.plan(levels).nfe == 1
    close(run(sampler, levels, noise), [x, denoiser(x, levels[0].alpha, levels[0].sigma)])
    assert noise.calls == []
