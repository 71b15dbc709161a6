"""k-diffusion's stochastic solvers in its own variables, y = x/alpha and sigma/alpha, in numpy."""

import math

import numpy as np
import torch
from sampling_tools import Recorded, Written, denoiser

from scoresde.kernels import Purpose
from scoresde.processes import PROCESSES
from scoresde.samplers import (
    DPM2Ancestral,
    DPMSolverPP2MSDE,
    DPMSolverPP2SAncestral,
    DPMSolverPP3MSDE,
    DPMSolverPPSDE,
    EulerAncestral,
    sample,
)
from scoresde.samplers.grids import Karras, UniformLogSNR

N = 6
STEPS = 7
ONE_DRAW = (
    EulerAncestral,
    DPM2Ancestral,
    DPMSolverPP2SAncestral,
    DPMSolverPP2MSDE,
    DPMSolverPP3MSDE,
)
EVERY = (*ONE_DRAW, DPMSolverPPSDE)


def levels_of(name: str, final: str = "clean"):
    if name == "edm":
        return Karras(steps=STEPS, final=final).levels(PROCESSES[name]())
    return UniformLogSNR(steps=STEPS, final=final, log_snr_min=-7.0).levels(PROCESSES[name]())


def begin(level) -> np.ndarray:
    return np.random.default_rng(8).standard_normal((N, 2)) * level.scale


def run(sampler, levels, noise=None) -> np.ndarray:
    """The trajectory (points, batch, 2)."""
    x = torch.from_numpy(begin(levels[0]))
    result = sample(Recorded(), sampler, levels, x, noise or Written(), trajectory=True)
    return result.trajectory.transpose(0, 1).numpy()


def close(got: np.ndarray, expected) -> None:
    size = np.abs(expected).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(got / size, expected / size, rtol=0.0, atol=1e-12)


def draw(i: int, k: int = 0) -> np.ndarray:
    """Draw k of step i."""
    return Written().number(i + (k << 20), Purpose.STEP, N)


def in_sigma(step, levels) -> np.ndarray:
    """States along a grid by a step in y = x/alpha and sigma/alpha: y <- step(i, y, sigmas)."""
    sigmas = [level.sigma / level.alpha for level in levels]
    y = begin(levels[0]) / levels[0].alpha
    states = [y * levels[0].alpha]
    for i in range(len(sigmas) - 1):
        y = step(i, y, sigmas)
        states.append(y * levels[i + 1].alpha)
    return np.array(states)


def d_of(y, sigma):
    return denoiser(y, 1.0, sigma)


def up_and_down(sigma, to, eta):
    up = min(to, eta * math.sqrt(to**2 * (sigma**2 - to**2) / sigma**2))
    return math.sqrt(max(to**2 - up**2, 0.0)) if up < to else 0.0, up


def euler_ancestral(eta, s_noise):
    def step(i, y, sigmas):
        sigma, to = sigmas[i], sigmas[i + 1]
        down, up = up_and_down(sigma, to, eta)
        y = y + (y - d_of(y, sigma)) / sigma * (down - sigma)
        return y + draw(i) * s_noise * up if to > 0 else y

    return step


def dpm_2_ancestral(eta, s_noise):
    def step(i, y, sigmas):
        sigma, to = sigmas[i], sigmas[i + 1]
        down, up = up_and_down(sigma, to, eta)
        d = (y - d_of(y, sigma)) / sigma
        if down > 0:
            mid = math.exp(0.5 * (math.log(sigma) + math.log(down)))
            y_2 = y + d * (mid - sigma)
            d = (y_2 - d_of(y_2, mid)) / mid
        return y + d * (down - sigma) + draw(i) * s_noise * up

    return step


def dpmpp_2s_ancestral(eta, s_noise):
    def step(i, y, sigmas):
        sigma, to = sigmas[i], sigmas[i + 1]
        down, up = up_and_down(sigma, to, eta)
        denoised = d_of(y, sigma)
        if down > 0:
            t, t_next = -math.log(sigma), -math.log(down)
            h = t_next - t
            y_2 = math.exp(-0.5 * h) * y - math.expm1(-0.5 * h) * denoised
            denoised = d_of(y_2, math.exp(-(t + 0.5 * h)))
            return math.exp(-h) * y - math.expm1(-h) * denoised + draw(i) * s_noise * up
        return denoised + draw(i) * s_noise * up

    return step


def dpmpp_sde(eta, s_noise, r=0.5, clock="snr"):
    """Noises of one path on the clock of the SNR or of sigma (its Brownian tree), or of none."""

    def step(i, y, sigmas):
        sigma, to = sigmas[i], sigmas[i + 1]
        denoised = d_of(y, sigma)
        if to == 0:
            return denoised
        mid = to if r == 1 else math.exp((1 - r) * math.log(sigma) + r * math.log(to))
        whole, early = to**-2 - sigma**-2, mid**-2 - sigma**-2
        if clock != "snr":
            whole, early = (sigma - to, sigma - mid) if clock == "sigma" else (1.0, 0.0)
        z_mid = draw(i)
        z = (math.sqrt(early) * z_mid + math.sqrt(whole - early) * draw(i, 1)) / math.sqrt(whole)

        def move(target, denoised, noise):
            down, up = up_and_down(sigma, target, eta)
            return down / sigma * y + (1 - down / sigma) * denoised + noise * s_noise * up

        fac = 1 / (2 * r)
        denoised_2 = d_of(move(mid, denoised, z_mid), mid)
        return move(to, (1 - fac) * denoised + fac * denoised_2, z)

    return step


def multistep_sde(eta, s_noise, order=2, solver_type="midpoint", end="full"):
    """k-diffusion's 2M and 3M SDE steps; lower_order_final, euler_at_final of diffusers."""
    past = []

    def step(i, y, sigmas):
        sigma, to = sigmas[i], sigmas[i + 1]
        denoised = d_of(y, sigma)
        if to == 0:
            return denoised
        h = math.log(sigma) - math.log(to)
        k = (1 + eta) * h
        phi_1 = 1 - math.exp(-k)
        phi_2 = 1 - phi_1 / k
        usable = min(len(past), order - 1)
        after = len(sigmas) - 2 - i
        if end == "lower" or (end == "euler" and after == 0):
            usable = min(usable, after)
        y = math.exp(-k) * y + phi_1 * denoised
        if usable == 1:
            (d_1, h_1) = past[-1]
            c = 0.5 * phi_1 if order == 2 and solver_type == "midpoint" else phi_2
            y = y + c * (denoised - d_1) / (h_1 / h)
        elif usable == 2:
            (d_2, h_2), (d_1, h_1) = past[-2:]
            r0, r1 = h_1 / h, h_2 / h
            d1_0, d1_1 = (denoised - d_1) / r0, (d_1 - d_2) / r1
            d1 = d1_0 + (d1_0 - d1_1) * r0 / (r0 + r1)
            d2 = (d1_0 - d1_1) / (r0 + r1)
            y = y + phi_2 * d1 - (phi_2 / k - 0.5) * d2
        past.append((denoised, h))
        return y + draw(i) * s_noise * to * math.sqrt(1 - math.exp(-2 * eta * h))

    return step


FORMS = {
    EulerAncestral: euler_ancestral,
    DPM2Ancestral: dpm_2_ancestral,
    DPMSolverPP2SAncestral: dpmpp_2s_ancestral,
    DPMSolverPPSDE: dpmpp_sde,
    DPMSolverPP2MSDE: multistep_sde,
    DPMSolverPP3MSDE: lambda eta, s_noise: multistep_sde(eta, s_noise, order=3),
}
