"""Heun in EDM's sigma."""

from __future__ import annotations

import math
from itertools import pairwise

from scoresde import samplers
from scoresde.verify.gaussian import Normals
from scoresde.verify.references.variables import in_sigma


def edm(sampler, process, levels, law, first):
    """Karras et al. 2022, algorithm 2 (algorithm 1 without churn), D(x; s) the exact denoiser."""
    sigmas, off, variance = in_sigma(levels, law, first)
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


REFERENCES = {samplers.Heun: edm}
