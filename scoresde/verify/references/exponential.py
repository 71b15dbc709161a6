"""DDIM in alpha-bar with eps, DPM-Solver++ in exp(lambda)."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from scoresde import samplers
from scoresde.verify.gaussian import Normals
from scoresde.verify.references.variables import eps_gain, normalised


def ddim(sampler, process, levels, law, first):
    """sqrt(abar_s) [(z - sqrt(1 - abar_t) eps)/sqrt(abar_t)] + sqrt(1 - abar_s - d^2) eps + d xi.

    Song, Meng & Ermon 2021, eq. 12, d from eq. 16.
    """
    bars, mean, variance = normalised(levels, first)
    for t, s in pairwise(bars):
        d2 = sampler.eta**2 * (1.0 - s) / (1.0 - t) * (1.0 - t / s)
        on_eps = math.sqrt(1.0 - s - d2) - math.sqrt(s / t * (1.0 - t))
        gain = on_eps * eps_gain(t, law)
        mean = math.sqrt(s / t) * mean + gain * (mean - math.sqrt(t) * law.mean)
        variance = (math.sqrt(s / t) + gain) ** 2 * variance + d2
    scale = levels[-1].scale
    return Normals(mean * scale, variance * scale**2)


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


REFERENCES = {samplers.DDIM: ddim, samplers.DPMSolverPP2M: dpm_solver_pp_2m}
