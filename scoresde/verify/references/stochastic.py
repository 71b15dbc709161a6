"""DDPM in beta with eps, Euler-Maruyama with f and g^2 by hand."""

from __future__ import annotations

import math
from itertools import pairwise

from scoresde import samplers
from scoresde.verify.gaussian import Normals
from scoresde.verify.references.variables import eps_gain, normalised, rates


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
    """z - [f z - (1 + eta^2)/2 g^2 score] h + eta g sqrt(h) xi; the posterior mean at the end."""
    if rates(process, 0.5) is None:
        return None
    mean, variance = first.mean, first.variance
    for t, s in pairwise(levels):
        spread = t.alpha**2 * law.variance + t.sigma**2
        off = mean - t.alpha * law.mean
        if s.sigma == 0.0:
            keep = t.alpha * law.variance / spread
            mean, variance = law.mean + keep * off, keep**2 * variance
            continue
        f, g2 = rates(process, t.t)
        h = t.t - s.t
        pull = 0.5 * (1.0 + sampler.eta**2) * g2 / spread
        mean = mean - h * (f * mean + pull * off)
        variance = (1.0 - h * (f + pull)) ** 2 * variance + sampler.eta**2 * g2 * h
    return Normals(mean, variance)


REFERENCES = {samplers.Ancestral: ddpm, samplers.EulerMaruyama: euler_maruyama}
