"""Levels between the points of a grid, for samplers of several stages."""

from __future__ import annotations

import math

from scoresde.processes import NoiseLevel


def at_log_snr(t: NoiseLevel, log_snr: float) -> NoiseLevel:
    """The level of the process of t at a log SNR; on t's own alpha where t belongs to none."""
    if t.process is not None:
        return t.process.at_log_snr(log_snr)
    return NoiseLevel(t=math.nan, alpha=t.alpha, sigma=t.alpha * math.exp(-0.5 * log_snr))


def at_noise_ratio(t: NoiseLevel, ratio: float) -> NoiseLevel:
    """The level of the process of t at a sigma/alpha."""
    return at_log_snr(t, -2.0 * math.log(ratio))


def half_log_snr(t: NoiseLevel) -> float:
    """lambda = log(alpha/sigma) of the DPM-Solver papers, half the log SNR."""
    return 0.5 * t.log_snr
