"""Annealed Langevin dynamics in sigma."""

from __future__ import annotations

from scoresde import samplers
from scoresde.verify.gaussian import Normals
from scoresde.verify.references.variables import in_sigma


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


REFERENCES = {samplers.AnnealedLangevin: ncsn}
