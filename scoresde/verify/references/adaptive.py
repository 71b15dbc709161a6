"""Runge-Kutta by Butcher's tables, on the normalised flow in phi."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from scoresde import samplers
from scoresde.verify.gaussian import Normals

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


REFERENCES = {samplers.TorchdiffeqFlow: runge_kutta}
