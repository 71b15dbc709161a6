"""Exponential Adams weights: polynomials in lambda = log(alpha/sigma) against an exponential."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import gammainc

from scoresde.processes import NoiseLevel


def lambda_step(t: NoiseLevel, s: NoiseLevel) -> float:
    """lambda_s - lambda_t > 0 of a step t -> s; infinite where alpha_t = 0 or sigma_s = 0.

    By the differences of the scales where the step is small, as two logarithms would cancel.
    """
    if t.alpha == 0.0 or s.sigma == 0.0:
        return math.inf
    fall = s.alpha * (t.sigma - s.sigma) + s.sigma * (s.alpha - t.alpha)
    rest = fall / (s.alpha * t.sigma)  # 1 - e^-h
    if rest < 0.5:
        return -math.log1p(-rest)
    return math.log(s.alpha / s.sigma) - math.log(t.alpha / t.sigma)


def adams_weights(rate: float, h: float, nodes: Sequence[float]) -> list[float]:
    """w_j = a int_0^h e^{-a u} L_j(u) du, a = rate, u = lambda_s - lambda counts back from s.

    L_j are Lagrange's polynomials on the nodes u_j (h is the step's own start, 0 its end), so the
    weights add up to 1 - e^{-a h}. The moments a int e^{-a u} u^k du = k! P(k + 1, a h)/a^k are
    incomplete gamma functions, exact to rounding for every h; h may be infinite at one node.
    """
    moments = [
        math.factorial(k) * float(gammainc(k + 1, rate * h)) / rate**k for k in range(len(nodes))
    ]
    weights = []
    for j, own in enumerate(nodes):
        polynomial = [1.0]  # ascending powers of u
        for i, other in enumerate(nodes):
            if i != j:
                shifted = [0.0, *polynomial]
                lowered = [other * c for c in polynomial] + [0.0]
                scale = own - other
                polynomial = [(c - d) / scale for c, d in zip(shifted, lowered, strict=True)]
        weights.append(sum(c * m for c, m in zip(polynomial, moments, strict=True)))
    return weights
