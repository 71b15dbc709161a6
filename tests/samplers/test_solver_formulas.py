"""Every solver against its paper's own algorithm, written again in numpy, to 1e-12."""

import itertools
import math

import numpy as np
import pytest
import torch
from sampling_tools import Recorded, Written, denoiser

from scoresde.errors import OptionError
from scoresde.kernels import Purpose
from scoresde.processes import CLEAN, PROCESSES, DiscreteDDPM, NoiseLevel
from scoresde.samplers import (
    DDIM,
    Ancestral,
    AnnealedLangevin,
    DPMSolverPP2M,
    Euler,
    EulerMaruyama,
    sample,
)
from scoresde.samplers.grids import Discrete, Explicit, Karras, UniformLogSNR

N = 6


def begin(level) -> np.ndarray:
    return np.random.default_rng(8).standard_normal((N, 2)) * level.scale


def run(sampler, levels, noise=None) -> np.ndarray:
    """The trajectory (points, batch, 2)."""
    x = torch.from_numpy(begin(levels[0]))
    result = sample(Recorded(), sampler, levels, x, noise or Written(), trajectory=True)
    assert torch.equal(result.trajectory[:, 0], x)
    assert torch.equal(result.trajectory[:, -1], result.x)
    assert result.trajectory.shape == (N, len(levels), 2)
    return result.trajectory.transpose(0, 1).numpy()


def close(got: np.ndarray, expected: list) -> None:
    np.testing.assert_allclose(got, np.array(expected), rtol=1e-12, atol=1e-12)


CHAIN = DiscreteDDPM(steps=40)
EVERY_INSTANT = Discrete(steps=40).levels(CHAIN)


@pytest.mark.parametrize("variance", ["posterior", "forward"])
def test_ancestral_is_ddpms_beta_form(variance: str) -> None:
    """Ho et al. 2020, algorithm 2, with beta tilde or beta, from alpha bar = 1 - beta cumprod."""
    betas = np.linspace(1e-4 * 25, 0.02 * 25, 40)
    bar = np.concatenate([[1.0], np.cumprod(1 - betas)])
    noise = Written()
    x = begin(EVERY_INSTANT[0])
    expected = [x]
    for k, i in enumerate(range(40, 0, -1)):
        beta, alpha, sigma = betas[i - 1], math.sqrt(bar[i]), math.sqrt(1 - bar[i])
        eps = (x - alpha * denoiser(x, alpha, sigma)) / sigma
        spread = beta if variance == "forward" else (1 - bar[i - 1]) / (1 - bar[i]) * beta
        z = noise.number(k, Purpose.STEP, N) if i > 1 else 0.0
        x = (x - beta / sigma * eps) / math.sqrt(1 - beta) + math.sqrt(spread) * z
        expected.append(x)
    close(run(Ancestral(variance=variance), EVERY_INSTANT), expected)


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
def test_ddim_eta_one_is_ancestral(spacing: str) -> None:
    levels = Discrete(steps=13, spacing=spacing).levels(CHAIN)
    close(run(DDIM(eta=1.0), levels), run(Ancestral(), levels))


@pytest.mark.parametrize("name", PROCESSES.members)
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_is_equation_12(name: str, eta: float) -> None:
    """x_s = alpha_s x0 + sqrt(sigma_s^2 - d^2) eps + d z, from alpha = 0 or the process's end."""
    process = PROCESSES[name]()
    levels = (*process.levels([1.0, 0.8, 0.5, 0.3, 0.1]), CLEAN)
    noise, x = Written(), begin(levels[0])
    expected = [x]
    for i, (t, s) in enumerate(itertools.pairwise(levels)):
        x0 = denoiser(x, t.alpha, t.sigma)
        eps = (x - t.alpha * x0) / t.sigma
        forward = t.sigma**2 - (t.alpha / s.alpha) ** 2 * s.sigma**2
        d = eta * math.sqrt(forward) * s.sigma / t.sigma
        z = noise.number(i, Purpose.STEP, N) if d > 0 else 0.0
        x = s.alpha * x0 + math.sqrt(max(s.sigma**2 - d**2, 0.0)) * eps + d * z
        expected.append(x)
    got = run(DDIM(eta=eta), levels)
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


def test_2m_in_the_sigma_form_of_a_variance_exploding_process() -> None:
    """t = -log sigma; the multistep form that samplers of sigma use (Lu et al. 2022 b)."""
    levels = Karras(steps=11).levels(PROCESSES["edm"]())
    sigmas = [level.sigma for level in levels]
    x, old = begin(levels[0]), None
    expected = [x]
    for i, (sigma, sigma_next) in enumerate(itertools.pairwise(sigmas)):
        d = denoiser(x, 1.0, sigma)
        if sigma_next == 0:
            x = d
        else:
            h = math.log(sigma) - math.log(sigma_next)
            mix = d
            if old is not None:
                r = (math.log(sigmas[i - 1]) - math.log(sigma)) / h
                mix = (1 + 1 / (2 * r)) * d - 1 / (2 * r) * old
            x = sigma_next / sigma * x - math.expm1(-h) * mix
        old = d
        expected.append(x)
    close(run(DPMSolverPP2M(), levels), expected)


@pytest.mark.parametrize("name", ["vp-linear", "vp-cosine", "rectified-flow", "sub-vp"])
def test_2m_in_the_lambda_form(name: str) -> None:
    """Algorithm 2 of DPM-Solver++, lambda = log(alpha/sigma)."""
    levels = UniformLogSNR(steps=8, final="min").levels(PROCESSES[name]())
    lam = [math.log(level.alpha) - math.log(level.sigma) for level in levels]
    x = begin(levels[0])
    expected, outputs = [x], []
    for i in range(1, len(levels)):
        t, s = levels[i - 1], levels[i]
        outputs.append(denoiser(x, t.alpha, t.sigma))
        h = lam[i] - lam[i - 1]
        mix = outputs[-1]
        if i > 1:
            r = (lam[i - 1] - lam[i - 2]) / h
            mix = (1 + 1 / (2 * r)) * outputs[-1] - 1 / (2 * r) * outputs[-2]
        x = s.sigma / t.sigma * x - s.alpha * (math.exp(-h) - 1) * mix
        expected.append(x)
    close(run(DPMSolverPP2M(), levels), expected)


@pytest.mark.parametrize("name", PROCESSES.members)
def test_first_step_of_2m_is_ddim(name: str) -> None:
    levels = PROCESSES[name]().levels([1.0, 0.4])
    close(run(DPMSolverPP2M(), levels), run(DDIM(), levels))


@pytest.mark.parametrize("name", ["vp-linear", "sub-vp", "ve", "rectified-flow", "ddpm"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_euler_maruyama_in_the_processs_own_time(name: str, eta: float) -> None:
    """x - h [f x - (1 + eta^2)/2 g^2 s] + eta g sqrt(h) z with f, g of the paper's tables."""
    times = [0.9, 0.7, 0.4, 0.2]
    process = PROCESSES[name]()
    noise, x = Written(), begin(process.at(0.9))
    expected = [x]
    for i, (t, s) in enumerate(itertools.pairwise(times)):
        level, h = process.at(t), t - s
        a, v = level.alpha, level.sigma**2
        beta = 0.1 + 19.9 * t
        bar = math.exp(-(0.1 * t + 0.5 * 19.9 * t * t))
        table = 1e-4 + (0.02 - 1e-4) * (round(1000 * t) - 1) / 999
        f, g2 = {
            "vp-linear": (-beta / 2, beta),
            "sub-vp": (-beta / 2, beta * (1 - bar**2)),
            "ve": (0.0, 2 * v * math.log(5000.0)),
            "rectified-flow": (-1 / (1 - t), 2 * t / (1 - t)),
            "ddpm": (500 * math.log1p(-table), -1000 * math.log1p(-table)),
        }[name]
        score = (a * denoiser(x, a, level.sigma) - x) / v
        drift = f * x - 0.5 * (1 + eta**2) * g2 * score
        x = x - h * drift + eta * math.sqrt(g2 * h) * noise.number(i, Purpose.STEP, N)
        expected.append(x)
    got = run(EulerMaruyama(eta=eta), process.levels(times))
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("end", [CLEAN, NoiseLevel(t=math.nan, alpha=1.0, sigma=0.0)])
def test_a_last_step_in_time_needs_time(end: NoiseLevel) -> None:
    """VE has noise at t = 0, from which no time is left; a bare level has no t."""
    levels = (*PROCESSES["ve"]().levels([0.5, 0.0]), end)
    for sampler in (EulerMaruyama(last="step"), Euler(variable="time", last="step")):
        with pytest.raises(OptionError, match="leaves no time"):
            sampler.plan(levels)
        assert np.isfinite(run(type(sampler)(), levels)).all()


def test_annealed_langevin_is_its_update() -> None:
    levels = Explicit(noise_ratios=(3.0, 1.0, 0.3, 0.0)).levels(PROCESSES["ve"]())
    noise, x = Written(), begin(levels[0])
    expected = [x]
    for i, sigma in enumerate((3.0, 1.0, 0.3)):
        d = 0.2 * sigma**2
        for k in range(4):
            score = (denoiser(x, 1.0, sigma) - x) / sigma**2
            z = noise.number(i + (k << 20), Purpose.STEP, N)
            x = x + d * score + math.sqrt(2 * d) * z
        if sigma == 0.3:
            x = denoiser(x, 1.0, sigma)
        expected.append(x)
    close(run(AnnealedLangevin(step_size=0.2, corrections=4), levels), expected)
