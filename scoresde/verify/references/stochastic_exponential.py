"""SA-Solver, ER-SDE-Solver, SEEDS and Platen's scheme, in the variables of their papers.

A state is an affine function of the start and of all normals: rows (start, 1, z_1, z_2, ...) of
coefficients, one column a target.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from scoresde import samplers
from scoresde.verify.gaussian import Normals

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(120)


def _integral(function, low, high):
    """By Gauss's rule of 120 points."""
    points = 0.5 * (low + high) + 0.5 * (high - low) * _NODES
    return 0.5 * (high - low) * np.sum(_WEIGHTS * function(points))


def _start(levels, law, draws=1):
    x = np.zeros((2 + draws * len(levels), len(law.mean)))
    x[0] = 1.0
    return x


def _x0(x, a, b, law):
    """E[x0 | x] of the targets at alpha = a, sigma = b."""
    gain = a * law.variance / (a * a * law.variance + b * b)
    x0 = gain * x
    x0[1] += (1.0 - gain * a) * law.mean
    return x0


def _law(x, first):
    variance = x[0] ** 2 * first.variance + (x[2:] ** 2).sum(0)
    return Normals(x[0] * first.mean + x[1], variance)


def sa_solver(sampler, process, levels, law, first):
    """x_i+1 = sigma'/sigma e^{-tau^2 h} x + sum_j b_j x0_j + sigma' sqrt(1 - e^{-2 tau^2 h}) xi.

    Xue et al. 2023, algorithm 1, with b_j = sigma' (1 + tau^2) e^{-tau^2 lambda'} int
    e^{(1 + tau^2) lambda} l_j dlambda; the states are the predictor's, as in its program.
    """
    lam = [math.log(v.alpha / v.sigma) if v.sigma > 0.0 else math.inf for v in levels]
    count = len(levels) - 1
    linear = predicted = _start(levels, law)
    corrector, tau = 0, 0.0
    outputs, at = [], []  # oldest first
    for i in range(count):
        (a, b), (a_next, b_next) = ((v.alpha, v.sigma) for v in levels[i : i + 2])
        outputs.append(_x0(predicted, a, b, law))
        at.append(lam[i])
        if b_next == 0.0:
            return _law(a_next * outputs[-1], first)
        corrected = predicted
        if corrector > 0:
            ends = lam[i - 1 : i + 1]
            corrected = linear + _adams(sampler, outputs, at, corrector, tau, ends, b)
        last = sampler.end == "euler" and count - i == 1
        left = count - i if sampler.end == "lower" or last else math.inf
        corrector = min(sampler.corrector_order, left + 1, i + 2)
        h = lam[i + 1] - lam[i]
        tau = sampler.tau if sampler.ratio_min <= b / a <= sampler.ratio_max else 0.0
        linear = b_next / b * math.exp(-(tau**2) * h) * corrected
        linear[2 + i] += b_next * math.sqrt(1.0 - math.exp(-2.0 * tau**2 * h))
        order = min(sampler.predictor_order, left, i + 1)
        predicted = linear + _adams(sampler, outputs, at, order, tau, lam[i : i + 2], b_next)
    return _law(predicted, first)


def _adams(sampler, outputs, at, order, tau, ends, sigma):
    """sum_j b_j x0_j over the last `order` outputs."""
    low, high = ends
    a, h, nodes = 1.0 + tau**2, high - low, at[-order:]
    factor = sigma * a * math.exp(-(tau**2) * high)
    total = np.zeros_like(outputs[-1])
    for j, own in enumerate(nodes):
        others = [node for k, node in enumerate(nodes) if k != j]

        def integrand(point, own=own, others=others):
            value = np.exp(a * point)
            for other in others:
                value = value * (point - other) / (own - other)
            return value

        coefficient = _integral(integrand, low, high)
        if sampler.few_steps and order == 2:
            exact = (h * a - 1.0 + math.exp(-a * h)) / a**2
            more = math.exp(a * high) * (h**2 / 2.0 - exact) / (nodes[1] - nodes[0])
            coefficient += more if j == 1 else -more
        total = total + factor * coefficient * outputs[len(outputs) - order + j]
    return total


PHI = {
    "ode": lambda r: r,
    "sde": lambda r: r**2,
    "sde-1": lambda r: r * (np.exp(-1.0 / r) + 10.0),
    "sde-2": lambda r: r**1.5,
    "sde-3": lambda r: r**2.5,
    "sde-4": lambda r: r**0.9 * np.log10(1.0 + 100.0 * r**1.5),
    "sde-5": lambda r: r * (np.exp(r**0.3) + 10.0),
}


def er_sde(sampler, process, levels, law, first):
    """Cui et al. 2023, algorithms 1-3, with lambda = sigma/alpha."""
    x, phi = _start(levels, law), PHI[sampler.noise_scale]
    outputs, slopes, at = [], [], []
    for i, (t, s) in enumerate(pairwise(levels)):
        outputs.append(_x0(x, t.alpha, t.sigma, law))
        if s.sigma == 0.0:
            return _law(s.alpha * outputs[-1], first)
        r, r_next = t.sigma / t.alpha, s.sigma / s.alpha
        at.append(r)
        shrink = phi(r_next) / phi(r)
        y = shrink * x / t.alpha + (1.0 - shrink) * outputs[-1]
        if i > 0:
            slopes.append((outputs[-1] - outputs[-2]) / (r - at[-2]))
        if i > 0 and sampler.stages > 1:
            first_sum = _integral(lambda u: 1.0 / phi(u), r_next, r)
            y = y + (r_next - r + phi(r_next) * first_sum) * slopes[-1]
        if i > 1 and sampler.stages > 2:
            second = 2.0 * (slopes[-1] - slopes[-2]) / (r - at[-3])
            second_sum = _integral(lambda u, r=r: (u - r) / phi(u), r_next, r)
            y = y + ((r_next - r) ** 2 / 2.0 + phi(r_next) * second_sum) * second
        y[2 + i] += math.sqrt(max(r_next**2 - (r * shrink) ** 2, 0.0))
        x = s.alpha * y
    return _law(x, first)


def seeds(sampler, process, levels, law, first):
    """Gonzalez et al. 2023, algorithms 1 (one stage), 2 and 3, r_1 = 1/2 and 1/3, r_2 = 2/3."""
    x, e = _start(levels, law, 3), math.exp
    for i, (t, s) in enumerate(pairwise(levels)):
        x0 = _x0(x, t.alpha, t.sigma, law)
        if s.sigma == 0.0:
            return _law(s.alpha * x0, first)
        eps, k = (x - t.alpha * x0) / t.sigma, 2 + 3 * i
        lam, h = math.log(t.alpha / t.sigma), math.log(s.alpha / s.sigma * t.sigma / t.alpha)

        def inner(c, slope, z, lam=lam, h=h, x=x, t=t, eps=eps, k=k):
            """eps at lambda + c h from the stage's own formula."""
            level = process.at_log_snr(2.0 * (lam + c * h))
            a, b = level.alpha, level.sigma
            u = a / t.alpha * x - 2.0 * b * ((e(c * h) - 1.0) * eps + slope)
            u[k : k + len(z)] += b * np.array(z)[:, None]
            return (u - a * _x0(u, a, b, law)) / b

        if sampler.stages == 1:
            drift, z = (e(h) - 1.0) * eps, [math.sqrt(e(2 * h) - 1.0)]
        elif sampler.stages == 2:
            middle = inner(0.5, 0.0, [math.sqrt(e(h) - 1.0)])
            drift = (e(h) - 1.0) * middle
            z = [math.sqrt(e(2 * h) - e(h)), math.sqrt(e(h) - 1.0)]
        else:
            third = math.sqrt(e(2 * h / 3) - 1.0)
            d1 = inner(1 / 3, 0.0, [third]) - eps
            slope = 2.0 * ((e(2 * h / 3) - 1.0) / (2 * h / 3) - 1.0) * d1
            d2 = inner(2 / 3, slope, [math.sqrt(e(4 * h / 3) - e(2 * h / 3)), third]) - eps
            drift = (e(h) - 1.0) * eps + 1.5 * ((e(h) - 1.0) / h - 1.0) * d2
            z = [math.sqrt(e(2 * h) - e(4 * h / 3)), math.sqrt(e(4 * h / 3) - e(2 * h / 3)), third]
        x = s.alpha / t.alpha * x - 2.0 * s.sigma * drift
        x[k : k + len(z)] += s.sigma * np.array(z)[:, None]
    return _law(x, first)


def platen(sampler, process, levels, law, first):
    """Y + (a(Y) + a(Y + a(Y) D + W)) D/2 + W, D the step of the SNR and W ~ N(0, D).

    Kloeden & Platen 1992, sec. 15.1, on dY = E[x0 | Y] dSNR + dB, where a data law N(m, v) has
    E[x0 | Y] = (m/v + Y)/(1/v + SNR).
    """
    y = levels[0].alpha / levels[0].sigma ** 2 * _start(levels, law)

    def drift(y, snr):
        total = y / (1.0 / law.variance + snr)
        total[1] += law.mean / law.variance / (1.0 / law.variance + snr)
        return total

    for i, (t, s) in enumerate(pairwise(levels)):
        snr = (t.alpha / t.sigma) ** 2
        here = drift(y, snr)
        if s.sigma == 0.0:
            return _law(s.alpha * here, first)
        step = (s.alpha / s.sigma) ** 2 - snr
        y = y.copy()
        y[2 + i] += math.sqrt(step)
        y = y + 0.5 * step * (here + drift(y + step * here, snr + step))
    return _law(levels[-1].sigma ** 2 / levels[-1].alpha * y, first)


REFERENCES = {
    samplers.SASolver: sa_solver,
    samplers.ERSDE: er_sde,
    samplers.SEEDS: seeds,
    samplers.StochasticRungeKutta: platen,
}
