"""The variables of the papers: alpha-bar and eps, EDM's sigma, the SDE's f and g^2."""

from __future__ import annotations

import math

from scoresde import processes


def normalised(levels, first):
    """alpha-bars, and the start in units of the first level's scale."""
    bars = [level.alpha**2 / level.scale**2 for level in levels]
    scale = levels[0].scale
    return bars, first.mean / scale, first.variance / scale**2


def eps_gain(bar, law):
    """k in eps = k (z - sqrt(bar) m)."""
    return math.sqrt(1.0 - bar) / (bar * law.variance + 1.0 - bar)


def in_sigma(levels, law, first):
    """EDM's sigmas and the start there: offset from the data mean, and variance, of x/alpha."""
    alpha = levels[0].alpha
    sigmas = [level.sigma / level.alpha for level in levels]
    return sigmas, first.mean / alpha - law.mean, first.variance / alpha**2


def rates(process, t):
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
