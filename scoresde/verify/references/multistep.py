"""Linear multistep methods: LMS in sigma, iPNDM in alpha-bar."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from scoresde import samplers
from scoresde.verify.gaussian import Normals
from scoresde.verify.references.runge_kutta import kutta, two_stage
from scoresde.verify.references.variables import eps_gain, in_sigma, normalised

ADAMS_BASHFORTH = ((1,), (3, -1), (23, -16, 5), (55, -59, 37, -9))  # over their sums


def order_of(sampler, past, left):
    """How many predictions a step uses, `left` being the steps from it to the end."""
    most = min(sampler.solver_order, past + 1)
    if sampler.end == "euler" and left == 1:
        return 1
    return min(most, left) if sampler.end == "lower" else most


def lms(sampler, process, levels, law, first):
    """x <- x + sum_j c_j d_j, the c_j of a polynomial in sigma by its moments. (k-diffusion.)"""
    sigmas, off, variance = in_sigma(levels, law, first)
    gain, slopes = 1.0, []  # of x - m in its start; d = sigma (x - m)/(v + sigma^2)

    def d(sigma, y):
        return sigma * y / (law.variance + sigma**2)

    for i, (t, s) in enumerate(pairwise(sigmas)):
        slopes.append(d(t, gain))
        if sampler.start == "single-step" and i + 1 < sampler.solver_order and s > 0.0:
            step = two_stage(1.0) if sampler.solver_order == 2 else kutta
            gain = step(d, t, s, gain)
            continue
        order = order_of(sampler, i, len(sigmas) - 1 - i)
        nodes = [(sigmas[i - j] - t) / (s - t) for j in range(order)]
        moments = [1.0 / (k + 1) for k in range(order)]
        c = np.linalg.solve(np.vander(nodes, increasing=True).T, moments)
        gain = gain + (s - t) * sum(c[j] * slopes[i - j] for j in range(order))
    alpha = levels[-1].alpha
    return Normals(alpha * (law.mean + gain * off), alpha**2 * gain**2 * variance)


def ipndm(sampler, process, levels, law, first):
    """PNDM's transfer with fixed weights. (Liu, Ren, Lin & Zhao 2022, eq. 11 and 12.)"""
    if sampler.variable_step:
        return lms(sampler, process, levels, law, first)
    if sampler.start == "single-step":
        return None
    bars, mean, variance = normalised(levels, first)
    slope, rest, past = np.ones_like(mean), np.zeros_like(mean), []
    for i, (t, s) in enumerate(pairwise(bars)):
        k = eps_gain(t, law)
        past.insert(0, (k * slope, k * (rest - math.sqrt(t) * law.mean)))
        weights = ADAMS_BASHFORTH[order_of(sampler, i, len(bars) - 1 - i) - 1]
        factor = (s - t) / math.sqrt(t)
        factor /= math.sqrt((1.0 - s) * t) + math.sqrt((1.0 - t) * s)
        mixed = [
            sum(w * e[part] for w, e in zip(weights, past, strict=False)) / sum(weights)
            for part in (0, 1)
        ]
        slope = math.sqrt(s / t) * slope - factor * mixed[0]
        rest = math.sqrt(s / t) * rest - factor * mixed[1]
    scale = levels[-1].scale
    return Normals(scale * (slope * mean + rest), (scale * slope) ** 2 * variance)


REFERENCES = {samplers.LMS: lms, samplers.IPNDM: ipndm}
