"""DDPM in beta, Euler-Maruyama with f and g^2 by hand, k-diffusion's solvers in its sigma."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from scoresde import samplers
from scoresde.verify.gaussian import Normals
from scoresde.verify.references.variables import eps_gain, in_sigma, normalised, rates


def ddpm(sampler, process, levels, law, first):
    """z <- (z - beta/sqrt(1 - abar_t) eps)/sqrt(1 - beta) + d xi. (Ho et al. 2020, alg. 2.)"""
    posterior = sampler.variance == "posterior"
    if not posterior and any(abs(level.scale - 1.0) > 1e-9 for level in levels):
        return None  # beta as a variance has a meaning under a VP process alone
    bars, mean, variance = normalised(levels, first)
    for t, s in pairwise(bars):
        beta = 1.0 - t / s
        pull = beta / math.sqrt(1.0 - t) * eps_gain(t, law)
        shrink = 1.0 / math.sqrt(1.0 - beta)
        noise = beta * (1.0 - s) / (1.0 - t) if posterior else beta
        mean = shrink * (mean - pull * (mean - math.sqrt(t) * law.mean))
        variance = (shrink * (1.0 - pull)) ** 2 * variance + (noise if s < 1.0 else 0.0)
    scale = levels[-1].scale
    return Normals(mean * scale, variance * scale**2)


def euler_maruyama(sampler, process, levels, law, first):
    """z - [f z - (1 + eta^2)/2 g^2 score] h + eta g sqrt(h) xi; at the end the mean or D."""
    if rates(process, 0.5) is None:
        return None
    mean, variance = first.mean, first.variance
    for t, s in pairwise(levels):
        spread = t.alpha**2 * law.variance + t.sigma**2
        off = mean - t.alpha * law.mean
        if s.sigma == 0.0 and sampler.last == "posterior-mean":
            keep = t.alpha * law.variance / spread
            mean, variance = law.mean + keep * off, keep**2 * variance
            continue
        f, g2 = rates(process, t.t)
        h = t.t - s.t
        pull = 0.5 * (1.0 + sampler.eta**2) * g2 / spread
        mean = mean - h * (f * mean + pull * off)
        variance = (1.0 - h * (f + pull)) ** 2 * variance
        variance = variance + (sampler.eta**2 * g2 * h if s.sigma > 0.0 else 0.0)
    return Normals(mean, variance)


def ancestral_step(sigma, to, eta):
    """(sigma_down, sigma_up) of k-diffusion."""
    up = min(to, eta * to * math.sqrt((sigma - to) * (sigma + to)) / sigma)
    return math.sqrt((to - up) * (to + up)), up


def by_responses(step):
    """The reference of y <- step(sampler, sigma, to, y, D, z, past), y <- D at the end.

    y (1 + normals, laws) is how far the state is from the data mean, as answers to the start and
    to each normal z[k] of a step; D(y, sigma) = v/(v + sigma^2) y; past is a step's own list, of
    which the last steps find less with end = "lower", and the last nothing with "euler".
    """

    def reference(sampler, process, levels, law, first):
        sigmas, off, variance = in_sigma(levels, law, first)
        units = np.eye(2 * len(sigmas) + 1)[:, :, None]
        y, past = units[0] * np.ones_like(law.mean), []  # (denoised, log sigma), oldest first

        def denoised(y, sigma):
            return law.variance / (law.variance + sigma**2) * y

        for i in range(len(sigmas) - 1):
            draws = units[2 * i + 1 : 2 * i + 3]
            if sigmas[i + 1] == 0.0:
                y = denoised(y, sigmas[i])
            else:
                end = getattr(sampler, "end", "full")
                if end == "lower" or (end == "euler" and i == len(sigmas) - 2):
                    del past[: max(len(past) - (len(sigmas) - 2 - i), 0)]
                y = step(sampler, sigmas[i], sigmas[i + 1], y, denoised, draws, past)
        alpha = levels[-1].alpha
        spread = y[0] ** 2 * variance + (y[1:] ** 2).sum(0)
        return Normals(alpha * (law.mean + y[0] * off), alpha**2 * spread)

    return reference


def euler_ancestral(sampler, sigma, to, y, denoised, z, past):
    down, up = ancestral_step(sigma, to, sampler.eta)
    d = (y - denoised(y, sigma)) / sigma
    return y + d * (down - sigma) + sampler.s_noise * up * z[0]


def dpm_2_ancestral(sampler, sigma, to, y, denoised, z, past):
    down, up = ancestral_step(sigma, to, sampler.eta)
    if down == 0.0:
        return denoised(y, sigma) + sampler.s_noise * up * z[0]
    middle = math.exp(0.5 * (math.log(sigma) + math.log(down)))
    halfway = y + (y - denoised(y, sigma)) / sigma * (middle - sigma)
    d = (halfway - denoised(halfway, middle)) / middle
    return y + d * (down - sigma) + sampler.s_noise * up * z[0]


def dpmpp_2s_ancestral(sampler, sigma, to, y, denoised, z, past):
    down, up = ancestral_step(sigma, to, sampler.eta)
    if down == 0.0:
        return denoised(y, sigma) + sampler.s_noise * up * z[0]
    h = math.log(sigma) - math.log(down)
    halfway = math.exp(-0.5 * h) * y - math.expm1(-0.5 * h) * denoised(y, sigma)
    there = denoised(halfway, sigma * math.exp(-0.5 * h))
    return math.exp(-h) * y - math.expm1(-h) * there + sampler.s_noise * up * z[0]


def dpmpp_sde(sampler, sigma, to, y, denoised, z, past):
    """Both noises from B on the clock 1/sigma^2 or -sigma, or of two of them."""
    middle = sigma ** (1.0 - sampler.r) * to**sampler.r
    early, late = middle**-2 - sigma**-2, to**-2 - middle**-2
    if sampler.clock != "snr":
        early, late = sigma - middle, middle - to
    if sampler.clock == "independent":
        early, late = 0.0, 1.0

    def move(target, x0, noise):
        down, up = ancestral_step(sigma, target, sampler.eta)
        return down / sigma * y + (1.0 - down / sigma) * x0 + sampler.s_noise * up * noise

    x0 = denoised(y, sigma)
    x0_middle = denoised(move(middle, x0, z[0]), middle)
    rise = math.sqrt(early) * z[0] + math.sqrt(late) * z[1]
    mixed = x0 + (x0_middle - x0) / (2.0 * sampler.r)
    return move(to, mixed, rise / math.sqrt(early + late))


def multistep_sde(sampler, sigma, to, y, denoised, z, past):
    """The integral of e^{u - h'} against Newton's polynomial, of its midpoint form for 2M."""
    x0, h, share = denoised(y, sigma), math.log(sigma / to), 1.0 + sampler.eta
    past.append((x0, math.log(sigma)))
    weights = [-math.expm1(-share * h)]  # int_0^h share e^{-share (h - u)} u^n du
    weights += [h - weights[0] / share]
    weights += [h**2 - 2.0 * weights[1] / share]
    moved = math.exp(-share * h) * y + weights[0] * x0
    order = 3 if isinstance(sampler, samplers.DPMSolverPP3MSDE) else 2
    halved = order == 2 and sampler.solver_type == "midpoint"
    if len(past) > 1:
        (b, at_b), (_, at) = past[-2:]
        slope = (x0 - b) / (at_b - at)
        if len(past) > 2 and order == 3:
            c, at_c = past[-3]
            bend = (slope - (b - c) / (at_c - at_b)) / (at_c - at)
            # half of the second derivative's term, as published
            slope, moved = slope + bend * (at_b - at), moved + 0.5 * weights[2] * bend
        moved = moved + (0.5 * h * weights[0] if halved else weights[1]) * slope
    noise = to * math.sqrt(-math.expm1(-2.0 * sampler.eta * h))
    return moved + sampler.s_noise * noise * z[0]


REFERENCES = {
    samplers.Ancestral: ddpm,
    samplers.EulerMaruyama: euler_maruyama,
    samplers.EulerAncestral: by_responses(euler_ancestral),
    samplers.DPM2Ancestral: by_responses(dpm_2_ancestral),
    samplers.DPMSolverPP2SAncestral: by_responses(dpmpp_2s_ancestral),
    samplers.DPMSolverPPSDE: by_responses(dpmpp_sde),
    samplers.DPMSolverPP2MSDE: by_responses(multistep_sde),
    samplers.DPMSolverPP3MSDE: by_responses(multistep_sde),
}
