"""Annealed Langevin dynamics and Restart in sigma, predictor-corrector in beta, sigma or t."""

from __future__ import annotations

import math
from itertools import pairwise

from scoresde import processes, samplers
from scoresde.verify.gaussian import Normals
from scoresde.verify.references.variables import in_sigma, rates


def ncsn(sampler, process, levels, law, first):
    """x <- x + (a_i/2) score + sqrt(a_i) xi, a_i = epsilon sigma_i^2/sigma_L^2, T times a level.

    Song & Ermon 2019, algorithm 1; the posterior mean where the grid ends on the data.
    """
    sigmas, off, variance = in_sigma(levels, law, first)
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


def score_sde(sampler, process, levels, law, first):
    """Algorithms 2-5 of Song et al. 2021, on N(m, v): score = (alpha m - x)/(alpha^2 v + sigma^2).

    Corrector epsilon = 2 a (r sigma)^2, x + epsilon g + sqrt(2 epsilon) xi, a = 1 - beta (VP) or 1
    (VE); predictors with beta (VP), sigma (VE), or the kernel of x_t = (1 - t) x_0 + t eps.
    """
    if sampler.corrector == "langevin":
        return None  # its step depends on the state: no recursion for the moments
    mean, variance = first.mean, first.variance

    def langevin(mean, variance, t, a):
        epsilon = 2.0 * a * (sampler.snr * t.sigma) ** 2
        pull = epsilon / (t.alpha**2 * law.variance + t.sigma**2)
        mean = mean - pull * (mean - t.alpha * law.mean)
        return mean, (1.0 - pull) ** 2 * variance + 2.0 * epsilon

    for t, s in pairwise(levels):
        kept, spread = _forward_kernel(process, t, s)  # x_t = kept x_s + sqrt(spread) xi
        if sampler.corrector != "none":
            for _ in range(sampler.corrections):
                mean, variance = langevin(mean, variance, t, kept**2)
        if sampler.predictor == "none" and s.sigma > 0.0:
            continue
        total = t.alpha**2 * law.variance + t.sigma**2
        if sampler.predictor == "reverse-diffusion":
            on_x, on_score, noise = 2.0 - kept, spread, spread
        elif sampler.predictor == "ancestral":
            on_x, on_score, noise = 1.0 / kept, spread / kept, spread
            if not isinstance(process, processes.VPLinear):
                noise = spread * s.sigma**2 / t.sigma**2
        elif sampler.predictor == "euler-maruyama" and (s.sigma > 0.0 or sampler.last == "step"):
            f, g2 = rates(process, t.t)
            on_x, on_score, noise = 1.0 - f * (t.t - s.t), g2 * (t.t - s.t), g2 * (t.t - s.t)
        else:
            on_x, on_score = 1.0 / t.alpha, t.sigma**2 / t.alpha  # Tweedie's posterior mean
        factor = on_x - on_score / total
        mean = factor * mean + on_score * t.alpha * law.mean / total
        noisy = s.sigma > 0.0 or not sampler.denoise
        variance = factor**2 * variance + (noise if noisy else 0.0)
    if sampler.predictor == "none" and levels[-1].sigma > 0.0:
        for _ in range(sampler.corrections):
            mean, variance = langevin(mean, variance, levels[-1], 1.0)
    return Normals(mean, variance)


def _forward_kernel(process, t, s):
    """(sqrt(1 - beta), beta), (1, sigma_t^2 - sigma_s^2), or by t of a straight line."""
    if isinstance(process, processes.VPLinear):
        beta = 1.0 - (t.alpha / s.alpha) ** 2
        return math.sqrt(1.0 - beta), beta
    if isinstance(process, processes.VarianceExploding):
        return 1.0, t.sigma**2 - s.sigma**2
    kept = (1.0 - t.t) / (1.0 - s.t)
    return kept, t.t**2 - (kept * s.t) ** 2


def xu(sampler, process, levels, law, first):
    """Xu et al. 2023, algorithm 1, with EDM's Heun or Euler between; D the exact denoiser."""
    if sampler.solver not in ("heun", "ddim"):
        return None
    sigmas, off, variance = in_sigma(levels, law, first)

    def descend(off, variance, times):
        for t, s in pairwise(times):
            d = (1.0 - law.variance / (law.variance + t**2)) / t
            factor = 1.0 + (s - t) * d
            if s != 0.0 and sampler.solver == "heun":
                d_next = factor * (1.0 - law.variance / (law.variance + s**2)) / s
                factor = 1.0 + (s - t) * (0.5 * d + 0.5 * d_next)
            off, variance = factor * off, factor**2 * variance
        return off, variance

    plans = sampler.intervals
    if not plans:
        low = min((s for s in sigmas[1:] if s > 0.0), key=lambda s: abs(s - 0.14))
        plans = [(5, 2, low, min(low * 0.30 / 0.14, sigmas[0]))]
    at = {}
    for n, repeats, low, high in plans:
        t_min = min((s for s in sigmas[1:] if s > 0.0), key=lambda s, low=low: abs(s - low))
        at.setdefault(t_min, []).append((n, repeats, high))
    root = 1.0 / sampler.rho
    for t, s in pairwise(sigmas):
        off, variance = descend(off, variance, (t, s))
        for n, repeats, t_max in at.get(s, ()):
            steps = [
                (t_max**root + i / (n - 1) * (s**root - t_max**root)) ** sampler.rho
                for i in range(n)
            ]
            for _ in range(repeats):
                variance = variance + sampler.noise**2 * (t_max**2 - s**2)
                off, variance = descend(off, variance, steps)
    alpha = levels[-1].alpha
    return Normals(alpha * (law.mean + off), alpha**2 * variance)


REFERENCES = {
    samplers.AnnealedLangevin: ncsn,
    samplers.PredictorCorrector: score_sde,
    samplers.Restart: xu,
}
