"""Noise of the stochastic solvers: which normals, of which path; ends of a process; options."""

import itertools
import math

import numpy as np
import pytest
import torch
from k_diffusion_forms import (
    EVERY,
    FORMS,
    ONE_DRAW,
    STEPS,
    N,
    begin,
    close,
    d_of,
    draw,
    in_sigma,
    levels_of,
    run,
)
from sampling_tools import Written, denoiser

from scoresde.errors import OptionError
from scoresde.kernels import Purpose
from scoresde.processes import CLEAN, PROCESSES
from scoresde.samplers import (
    Ancestral,
    DPM2Ancestral,
    DPMSolverPP2MSDE,
    DPMSolverPP2SAncestral,
    DPMSolverPP3MSDE,
    DPMSolverPPSDE,
    EulerAncestral,
)


@pytest.mark.parametrize("member", EVERY)
def test_which_normals_a_solver_asks_for(member) -> None:
    """One a step with the step's own key, none on the step to the data, none for eta = 0."""
    levels, drawn, none = levels_of("vp-linear"), Written(), Written()
    run(member(), levels, drawn)
    run(member(eta=0.0), levels, none)
    steps = range(STEPS - 1)
    keys = [(i, int(Purpose.STEP)) for i in steps]
    if member is DPMSolverPPSDE:
        keys = [(i + (k << 20), int(Purpose.STEP)) for i in steps for k in (0, 1)]
    assert drawn.calls == keys
    assert none.calls == []


class Paths(Written):
    """A source that knows paths: keeps the intervals, and gives the increments of one B."""

    def __init__(self, levels):
        super().__init__()
        self.intervals = []
        rng = np.random.default_rng(4)
        self.knots = np.linspace(levels[0].log_snr, levels[-1].log_snr, 2 * STEPS + 1)
        gaps = np.diff(np.exp(self.knots))[:, None, None]
        rises = rng.standard_normal((2 * STEPS, N, 2)) * np.sqrt(gaps)
        self.path = np.concatenate([np.zeros((1, N, 2)), rises.cumsum(0)])

    def increment(self, start, end, ids, shape):
        self.intervals.append((start, end))
        i, j = (int(np.abs(self.knots - value).argmin()) for value in (start, end))
        rise = (self.path[j] - self.path[i]) / math.sqrt(math.exp(end) - math.exp(start))
        return torch.from_numpy(rise)[ids]


def test_both_noises_of_a_step_are_of_one_path() -> None:
    """At eta = 1, against the SDE of alpha x/sigma^2: its rise is x0 dSNR + dB(SNR)."""
    levels = levels_of("vp-linear", "min")
    paths = Paths(levels)
    got = run(DPMSolverPPSDE(), levels, paths)
    np.testing.assert_allclose(paths.intervals, list(itertools.pairwise(paths.knots)), atol=1e-12)

    def step(i, y, sigmas):
        sigma, to = sigmas[i], sigmas[i + 1]
        mid, b = math.sqrt(sigma * to), paths.path[2 * i : 2 * i + 3]

        def move(target, denoised, rise):  # y = SNR^-1 (SNR_t y_t + x0 dSNR + dB)
            snr, gain = sigma**-2, target**-2 - sigma**-2
            return target**2 * (snr * y + gain * denoised + rise)

        denoised = d_of(y, sigma)
        middle = move(mid, denoised, b[1] - b[0])
        return move(to, d_of(middle, mid), b[2] - b[0])

    close(got, in_sigma(step, levels))


@pytest.mark.parametrize("member", ONE_DRAW)
def test_the_noise_of_a_step_is_the_paths_increment_over_it(member) -> None:
    levels = levels_of("vp-linear", "min")
    paths = Paths(levels)
    run(member(), levels, paths)
    whole = [(t.log_snr, s.log_snr) for t, s in itertools.pairwise(levels)]
    assert paths.intervals == whole


@pytest.mark.parametrize("member", [EulerAncestral, DPMSolverPP2MSDE, DPMSolverPP3MSDE])
@pytest.mark.parametrize("name", ["rectified-flow", "vp-cosine"])
def test_a_start_at_alpha_zero_is_an_ancestral_step(member, name: str) -> None:
    """From pure noise x_s = alpha_s x0 + sigma_s z, and the steps after it look back at it."""
    levels = PROCESSES[name]().levels([1.0, 0.8, 0.6, 0.5])
    assert levels[0].alpha < 1e-15
    got = run(member(), levels)
    close(got[:2], run(Ancestral(), levels)[:2])
    assert np.isfinite(got).all()


@pytest.mark.parametrize("member", [DPM2Ancestral, DPMSolverPP2SAncestral, DPMSolverPPSDE])
def test_a_level_half_way_from_pure_noise_does_not_exist(member) -> None:
    levels = PROCESSES["rectified-flow"]().levels([1.0, 0.5])
    with pytest.raises(OptionError, match=r"cannot start at alpha = 0; set log_snr_min"):
        run(member(), levels)


@pytest.mark.parametrize("member", EVERY)
def test_one_step_to_the_data_is_the_posterior_mean(member) -> None:
    levels = (PROCESSES["vp-linear"]().at(0.6), CLEAN)
    x0 = denoiser(begin(levels[0]), levels[0].alpha, levels[0].sigma)
    close(run(member(), levels)[1:], x0[None])


@pytest.mark.parametrize("member", [EulerAncestral, DPM2Ancestral, DPMSolverPP2SAncestral])
def test_all_noise_is_fresh_where_eta_takes_it_all(member) -> None:
    """eta so large that sigma_down = 0: x_s = alpha_s x0 + sigma_s z, from one evaluation."""
    t, s = PROCESSES["vp-linear"]().levels([0.6, 0.4])
    x0 = denoiser(begin(t), t.alpha, t.sigma)
    close(run(member(eta=50.0), (t, s))[1:], (s.alpha * x0 + s.sigma * draw(0))[None])


@pytest.mark.parametrize("member", [DPM2Ancestral, DPMSolverPP2SAncestral])
def test_eta_above_one_may_look_below_the_processs_last_level(member) -> None:
    levels = PROCESSES["ve"]().levels([0.2, 0.0])
    close(run(member(eta=1.05), levels), in_sigma(FORMS[member](1.05, 1.0), levels))


@pytest.mark.parametrize("member", EVERY)
def test_scaled_noise_has_another_law_and_declares_no_order(member) -> None:
    sampler = member(s_noise=1.01)
    assert sampler.stochastic
    assert (sampler.weak_order, sampler.strong_order, sampler.order) == (None, None, None)
    assert member().weak_order == (1 if member is EulerAncestral else 2)
    assert member().strong_order == 1.0
    assert not member(eta=0.0).stochastic
    assert member(eta=0.0).order == (1 if member is EulerAncestral else 2)


@pytest.mark.parametrize(("member", "options", "named"), [
    *((member, {"eta": -0.1}, "-0.1") for member in EVERY),
    *((member, {"eta": math.nan}, "nan") for member in EVERY),
    *((member, {"s_noise": 0.0}, "eta = 0") for member in EVERY),
    *((member, {"s_noise": math.nan}, "nan") for member in EVERY),
    (DPMSolverPPSDE, {"r": 0.0}, "r of dpmpp-sde"),
    (DPMSolverPPSDE, {"r": math.nan}, "nan"),
    (DPMSolverPPSDE, {"clock": "sigmas"}, "Did you mean 'sigma'"),
    (DPMSolverPP2MSDE, {"solver_type": "hun"}, "heun"),
    (DPMSolverPP2MSDE, {"end": "low"}, "lower"),
    (DPMSolverPP3MSDE, {"end": "low"}, "lower"),
])  # fmt: skip
def test_bad_options_are_named(member, options: dict, named: str) -> None:
    with pytest.raises(OptionError, match=named):
        member(**options)
