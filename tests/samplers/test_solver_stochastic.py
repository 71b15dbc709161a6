"""Solvers of the reverse SDE against other tools' forms, written again in numpy, to 1e-12."""

import itertools
import math

import numpy as np
import pytest
from k_diffusion_forms import (
    EVERY,
    FORMS,
    STEPS,
    begin,
    close,
    d_of,
    dpmpp_sde,
    draw,
    in_sigma,
    levels_of,
    multistep_sde,
    run,
)
from sampling_tools import denoiser

from scoresde.samplers import (
    DDIM,
    Ancestral,
    DPM2Ancestral,
    DPMSolverPP2M,
    DPMSolverPP2MSDE,
    DPMSolverPP2SAncestral,
    DPMSolverPP3MSDE,
    DPMSolverPPSDE,
    EulerAncestral,
)

ETAS = pytest.mark.parametrize(("eta", "s_noise"), [(1.0, 1.0), (0.6, 1.02), (1.4, 1.0)])
NAMES = pytest.mark.parametrize("name", ["edm", "vp-linear", "rectified-flow"])


@NAMES
@ETAS
@pytest.mark.parametrize("member", EVERY)
def test_trajectories_are_k_diffusions(member, name: str, eta: float, s_noise: float) -> None:
    for final in ("clean", "min"):
        levels = levels_of(name, final)
        expected = in_sigma(FORMS[member](eta, s_noise), levels)
        close(run(member(eta=eta, s_noise=s_noise), levels), expected)


@pytest.mark.parametrize("r", [0.3, 1.0])
def test_dpmpp_sde_at_another_middle(r: float) -> None:
    levels = levels_of("vp-linear")
    close(run(DPMSolverPPSDE(r=r), levels), in_sigma(dpmpp_sde(1.0, 1.0, r), levels))


@pytest.mark.parametrize("clock", ["sigma", "independent"])
@pytest.mark.parametrize(("eta", "r"), [(1.0, 0.5), (0.6, 0.3), (1.0, 1.0)])
def test_dpmpp_sde_with_its_noises_joined_otherwise(clock: str, eta: float, r: float) -> None:
    for name in ("edm", "rectified-flow"):
        levels = levels_of(name)
        expected = in_sigma(dpmpp_sde(eta, 1.0, r, clock), levels)
        close(run(DPMSolverPPSDE(eta=eta, r=r, clock=clock), levels), expected)
    assert DPMSolverPPSDE(eta=eta, clock=clock).weak_order == (2 if clock == "sigma" else 1)
    assert DPMSolverPPSDE(s_noise=1.01, clock=clock).weak_order is None


@pytest.mark.parametrize("end", ["full", "lower", "euler"])
def test_other_forms_of_the_multistep_sde(end: str) -> None:
    levels = levels_of("rectified-flow", "min")
    heun = DPMSolverPP2MSDE(solver_type="heun", end=end)
    close(run(heun, levels), in_sigma(multistep_sde(1.0, 1.0, 2, "heun", end), levels))
    close(
        run(DPMSolverPP2MSDE(end=end), levels),
        in_sigma(multistep_sde(1.0, 1.0, end=end), levels),
    )
    close(
        run(DPMSolverPP3MSDE(end=end), levels),
        in_sigma(multistep_sde(1.0, 1.0, 3, end=end), levels),
    )


@pytest.mark.parametrize(
    ("order", "solver_type"), [(1, "midpoint"), (2, "midpoint"), (2, "heun"), (3, "heun")]
)
def test_sde_dpmsolver_pp_of_diffusers(order: int, solver_type: str) -> None:
    """In alpha, sigma and lambda, eta = 1; lower orders at the end, as below 15 steps.

    Its order 3 subtracts 1/2 in the last coefficient where + 1/2 belongs, as (1 - e^-k - k)/k^2
    tends to -1/2 for small k; the right sign is written here. With solver_type midpoint its second
    step is the midpoint's, ours always heun's.
    """
    levels = levels_of("vp-linear")
    x, outputs, lambdas = begin(levels[0]), [], []
    expected = [x]
    for i, (s0, t) in enumerate(itertools.pairwise(levels)):
        outputs.append(denoiser(x, s0.alpha, s0.sigma))
        lambdas.append(math.log(s0.alpha) - math.log(s0.sigma))
        use = min(order, i + 1, STEPS - i)
        if t.sigma == 0:
            expected.append(t.alpha * outputs[-1])
            continue
        h = math.log(t.alpha) - math.log(t.sigma) - lambdas[-1]
        decay = math.exp(-2 * h)
        m = outputs[::-1]
        x = t.sigma / s0.sigma * math.exp(-h) * x + t.alpha * (1 - decay) * m[0]
        d_1 = 0.0
        if use > 1:
            r0 = (lambdas[-1] - lambdas[-2]) / h
            d_1 = (m[0] - m[1]) / r0
        if use > 2:
            r1 = (lambdas[-2] - lambdas[-3]) / h
            rise = d_1 - (m[1] - m[2]) / r1
            d_1 = d_1 + r0 / (r0 + r1) * rise
            d_2 = rise / (r0 + r1)
            x = x + t.alpha * ((1 - decay - 2 * h) / (2 * h) ** 2 + 0.5) * d_2
        middle = use == 2 and solver_type == "midpoint"
        slope = 0.5 * (1 - decay) if middle else (1 - decay) / (-2 * h) + 1
        x = x + t.alpha * slope * d_1 + t.sigma * math.sqrt(1 - decay) * draw(i)
        expected.append(x)
    sampler = {
        1: Ancestral(),
        2: DPMSolverPP2MSDE(solver_type=solver_type, end="lower"),
        3: DPMSolverPP3MSDE(end="lower"),
    }[order]
    close(run(sampler, levels), np.array(expected))


@NAMES
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_euler_ancestral_is_ddim_with_eta(name: str, eta: float) -> None:
    levels = levels_of(name)
    got = run(EulerAncestral(eta=eta), levels)
    close(got, run(DDIM(eta=eta), levels))
    if eta == 1.0:
        close(got, run(Ancestral(), levels))


@NAMES
def test_without_noise_they_are_solvers_of_the_flow(name: str) -> None:
    levels = levels_of(name)
    close(run(DPMSolverPP2MSDE(eta=0.0), levels), run(DPMSolverPP2M(), levels))
    single = run(DPMSolverPP2SAncestral(eta=0.0), levels)
    close(run(DPMSolverPPSDE(eta=0.0), levels), single)

    def algorithm_1(i, y, sigmas):
        """DPM-Solver++(2S) with r = 1/2, of Lu et al. 2022 b."""
        if sigmas[i + 1] == 0:
            return d_of(y, sigmas[i])
        h = math.log(sigmas[i] / sigmas[i + 1])
        u = math.exp(-0.5 * h) * y - math.expm1(-0.5 * h) * d_of(y, sigmas[i])
        middle = math.sqrt(sigmas[i] * sigmas[i + 1])
        return math.exp(-h) * y - math.expm1(-h) * d_of(u, middle)

    close(single, in_sigma(algorithm_1, levels))

    def midpoint(i, y, sigmas):
        """DPM-Solver-2 of Lu et al. 2022 a: u and the next state from one eps each."""

        def eps(y, sigma):
            return (y - d_of(y, sigma)) / sigma

        sigma, to = sigmas[i], sigmas[i + 1]
        middle = math.sqrt(sigma * to)
        at = y + (middle - sigma) * eps(y, sigma)
        return y + (to - sigma) * (eps(at, middle) if to > 0 else eps(y, sigma))

    close(run(DPM2Ancestral(eta=0.0), levels), in_sigma(midpoint, levels))
