r"""Each member's moments on Gaussian targets, from its paper and in its paper's variables.

None of it is shared with the samplers: DDPM in beta with eps, DDIM in alpha-bar with eps,
Euler-Maruyama with f and g^2 by hand, Heun and annealed Langevin in EDM's sigma, DPM-Solver++ in
exp(lambda), Runge-Kutta by Butcher's tables. A reference maps (sampler, process, levels, targets,
law of the start) to the law of the output, or to None where its paper's form does not reach.
For a VP process alpha-bar = alpha^2; any other is divided by sqrt(alpha^2 + sigma^2) first.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from scoresde import processes, samplers
from scoresde.verify.gaussian import Normals


def _normalised(levels, first):
    """alpha-bars, and the start in units of the first level's scale."""
    bars = [level.alpha**2 / level.scale**2 for level in levels]
    scale = levels[0].scale
    return bars, first.mean / scale, first.variance / scale**2


def _eps_gain(bar, law):
    """k in eps = k (z - sqrt(bar) m)."""
    return math.sqrt(1.0 - bar) / (bar * law.variance + 1.0 - bar)


def ddpm(sampler, process, levels, law, first):
    """z <- (z - beta/sqrt(1 - abar_t) eps)/sqrt(1 - beta) + d xi. (Ho et al. 2020, alg. 2.)"""
    posterior = sampler.variance == "posterior"
    if not posterior and any(abs(level.scale - 1.0) > 1e-9 for level in levels):
        return None  # beta as a variance has a meaning under a VP process alone
    bars, mean, variance = _normalised(levels, first)
    for t, s in pairwise(bars):
        beta = 1.0 - t / s
        pull = beta / math.sqrt(1.0 - t) * _eps_gain(t, law)
        shrink = 1.0 / math.sqrt(1.0 - beta)
        noise = beta * (1.0 - s) / (1.0 - t) if posterior else beta
        mean = shrink * (mean - pull * (mean - math.sqrt(t) * law.mean))
        variance = (shrink * (1.0 - pull)) ** 2 * variance + (noise if s < 1.0 else 0.0)
    scale = levels[-1].scale
    return Normals(mean * scale, variance * scale**2)


def ddim(sampler, process, levels, law, first):
    """sqrt(abar_s) [(z - sqrt(1 - abar_t) eps)/sqrt(abar_t)] + sqrt(1 - abar_s - d^2) eps + d xi.

    Song, Meng & Ermon 2021, eq. 12, d from eq. 16.
    """
    bars, mean, variance = _normalised(levels, first)
    for t, s in pairwise(bars):
        d2 = sampler.eta**2 * (1.0 - s) / (1.0 - t) * (1.0 - t / s)
        on_eps = math.sqrt(1.0 - s - d2) - math.sqrt(s / t * (1.0 - t))
        gain = on_eps * _eps_gain(t, law)
        mean = math.sqrt(s / t) * mean + gain * (mean - math.sqrt(t) * law.mean)
        variance = (math.sqrt(s / t) + gain) ** 2 * variance + d2
    scale = levels[-1].scale
    return Normals(mean * scale, variance * scale**2)


def _rates(process, t):
    """(f, g^2) of dz = f z dt + g dw by hand. (Song et al. 2021, eq. 9, 11; RF: 2t/(1 - t).)"""
    if type(process) is processes.VPLinear:
        beta = process.beta_min + t * (process.beta_max - process.beta_min)
        return -0.5 * beta, beta
    if type(process) is processes.VarianceExploding:
        ratio = process.sigma_max / process.sigma_min
        return 0.0, 2.0 * math.log(ratio) * (process.sigma_min * ratio**t) ** 2
    if type(process) is processes.RectifiedFlow:
        return -1.0 / (1.0 - t), 2.0 * t / (1.0 - t)
    return None


def euler_maruyama(sampler, process, levels, law, first):
    """z - [f z - (1 + eta^2)/2 g^2 score] h + eta g sqrt(h) xi; the posterior mean at the end."""
    if _rates(process, 0.5) is None:
        return None
    mean, variance = first.mean, first.variance
    for t, s in pairwise(levels):
        spread = t.alpha**2 * law.variance + t.sigma**2
        off = mean - t.alpha * law.mean
        if s.sigma == 0.0:
            keep = t.alpha * law.variance / spread
            mean, variance = law.mean + keep * off, keep**2 * variance
            continue
        f, g2 = _rates(process, t.t)
        h = t.t - s.t
        pull = 0.5 * (1.0 + sampler.eta**2) * g2 / spread
        mean = mean - h * (f * mean + pull * off)
        variance = (1.0 - h * (f + pull)) ** 2 * variance + sampler.eta**2 * g2 * h
    return Normals(mean, variance)


def _in_sigma(levels, law, first):
    """EDM's sigmas and the start there: offset from the data mean, and variance, of x/alpha."""
    alpha = levels[0].alpha
    sigmas = [level.sigma / level.alpha for level in levels]
    return sigmas, first.mean / alpha - law.mean, first.variance / alpha**2


def edm(sampler, process, levels, law, first):
    """Karras et al. 2022, algorithm 2 (algorithm 1 without churn), D(x; s) the exact denoiser."""
    sigmas, off, variance = _in_sigma(levels, law, first)
    for t, s in pairwise(sigmas):
        churned = sampler.churn_min <= t <= sampler.churn_max
        gamma = min(sampler.churn / (len(sigmas) - 1), math.sqrt(2.0) - 1.0) if churned else 0.0
        hat = t + gamma * t
        variance = variance + sampler.churn_noise**2 * (hat**2 - t**2)
        d = (1.0 - law.variance / (law.variance + hat**2)) / hat  # (x - D(x; hat))/hat, per offset
        factor = 1.0 + (s - hat) * d
        if s != 0.0:
            d_next = factor * (1.0 - law.variance / (law.variance + s**2)) / s
            factor = 1.0 + (s - hat) * (0.5 * d + 0.5 * d_next)
        off, variance = factor * off, factor**2 * variance
    alpha = levels[-1].alpha
    return Normals(alpha * (law.mean + off), alpha**2 * variance)


def ncsn(sampler, process, levels, law, first):
    """x <- x + (a_i/2) score + sqrt(a_i) xi, a_i = epsilon sigma_i^2/sigma_L^2, T times a level.

    Song & Ermon 2019, algorithm 1; the posterior mean where the grid ends on the data.
    """
    sigmas, off, variance = _in_sigma(levels, law, first)
    visited = [sigma for sigma in sigmas if sigma > 0.0]
    epsilon = 2.0 * sampler.step_size * visited[-1] ** 2
    for sigma in visited:
        a = epsilon * sigma**2 / visited[-1] ** 2
        keep = 1.0 - 0.5 * a / (law.variance + sigma**2)
        for _ in range(sampler.corrections):
            off, variance = keep * off, keep**2 * variance + a
    if sigmas[-1] == 0.0:
        keep = law.variance / (law.variance + visited[-1] ** 2)
        off, variance = keep * off, keep**2 * variance
    alpha = levels[-1].alpha
    return Normals(alpha * (law.mean + off), alpha**2 * variance)


def dpm_solver_pp_2m(sampler, process, levels, law, first):
    """x/sigma <- x/sigma + (e^lambda_s - e^lambda_t) D. (Lu et al. 2022, algorithm 2, line 9.)"""
    slope, rest = np.ones_like(law.mean), np.zeros_like(law.mean)  # of x in the start
    older = None
    for t, s in pairwise(levels):
        gain = t.alpha * law.variance / (t.alpha**2 * law.variance + t.sigma**2)
        x0 = gain * slope, gain * rest + (1.0 - gain * t.alpha) * law.mean
        if s.sigma == 0.0:
            slope, rest = x0
            continue
        lambda_t, lambda_s = math.log(t.alpha / t.sigma), math.log(s.alpha / s.sigma)
        d = x0
        if older is not None:
            r = (lambda_t - older[1]) / (lambda_s - lambda_t)
            d = [
                (1.0 + 0.5 / r) * new - 0.5 / r * old
                for new, old in zip(x0, older[0], strict=True)
            ]
        grown = math.exp(lambda_s) - math.exp(lambda_t)
        slope, rest = (
            s.sigma * (c / t.sigma + grown * p) for c, p in zip((slope, rest), d, strict=True)
        )
        older = x0, lambda_t
    return Normals(rest + slope * first.mean, slope**2 * first.variance)


BUTCHER = {  # (c, rows of A, b); rk4 is Kutta's 3/8 rule, as in torchdiffeq
    "euler": ((0.0,), ((),), (1.0,)),
    "midpoint": ((0.0, 0.5), ((), (0.5,)), (0.0, 1.0)),
    "heun2": ((0.0, 1.0), ((), (1.0,)), (0.5, 0.5)),
    "heun3": ((0.0, 1 / 3, 2 / 3), ((), (1 / 3,), (0.0, 2 / 3)), (0.25, 0.0, 0.75)),
    "rk4": (
        (0.0, 1 / 3, 2 / 3, 1.0),
        ((), (1 / 3,), (-1 / 3, 1.0), (1.0, -1.0, 1.0)),
        (0.125, 0.375, 0.375, 0.125),
    ),
}


def runge_kutta(sampler, process, levels, law, first):
    """du/dphi = p (u - m cos phi) - m sin phi, p = sin cos (1 - v)/(v cos^2 + sin^2)."""
    if sampler.method not in BUTCHER:
        return None
    nodes, rows, weights = BUTCHER[sampler.method]

    def rate(phi, u, constant):
        c, s = math.cos(phi), math.sin(phi)
        p = s * c * (1.0 - law.variance) / (law.variance * c**2 + s**2)
        return p * u - constant * (p * c + s) * law.mean

    lines = [(np.ones_like(law.mean), 0.0), (np.zeros_like(law.mean), 1.0)]
    answers = []
    for u, constant in lines:  # the part that multiplies the start, and the rest
        for t, s in pairwise(level.phi for level in levels):
            k = []
            for node, a in zip(nodes, rows, strict=True):
                inner = u + (s - t) * sum(w * old for w, old in zip(a, k, strict=True))
                k.append(rate(t + node * (s - t), inner, constant))
            u = u + (s - t) * sum(w * old for w, old in zip(weights, k, strict=True))
        answers.append(u)
    slope, rest = answers[0] / levels[0].scale, answers[1]
    scale = levels[-1].scale
    return Normals(scale * (rest + slope * first.mean), (scale * slope) ** 2 * first.variance)


REFERENCES = {
    samplers.Ancestral: ddpm,
    samplers.DDIM: ddim,
    samplers.EulerMaruyama: euler_maruyama,
    samplers.Heun: edm,
    samplers.DPMSolverPP2M: dpm_solver_pp_2m,
    samplers.ProbabilityFlow: runge_kutta,
    samplers.AnnealedLangevin: ncsn,
}
"""By the very class: a subclass is a sampler of its own, and is judged by its limit."""
