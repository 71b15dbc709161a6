"""Runge-Kutta methods as their papers write them, on the flow of a Gaussian in each variable."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from scoresde import samplers
from scoresde.verify.gaussian import Normals
from scoresde.verify.references.variables import rates


def euler(f, w, end, y):
    return y + (end - w) * f(w, y)


def two_stage(a):
    """EDM, algorithm 3, lines 8-13, with its alpha."""

    def step(f, w, end, y):
        h, d = end - w, f(w, y)
        d_next = f(w + a * h, y + a * h * d)
        return y + h * ((1.0 - 0.5 / a) * d + 0.5 / a * d_next)

    return step


def dpm_2(f, sigma, end, y):
    middle = math.exp(0.5 * math.log(sigma) + 0.5 * math.log(end))
    return y + (end - sigma) * f(middle, y + (middle - sigma) * f(sigma, y))


def kutta(f, w, end, y):
    h, m = end - w, 0.5 * (w + end)
    k1 = f(w, y)
    k2 = f(m, y + 0.5 * h * k1)
    k3 = f(m, y + 0.5 * h * k2)
    return y + h * (k1 + 2.0 * k2 + 2.0 * k3 + f(end, y + h * k3)) / 6.0


def in_variable(name, process, law):
    """(w of a level, x/y at it, dy/dw) of N(m, v): each flow from the Gaussian score by hand."""
    m, v = law.mean, law.variance

    def sigma(r, y):
        return r * (y - m) / (v + r * r)

    def phi(angle, u):
        c, s = math.cos(angle), math.sin(angle)
        return (s * c * (1.0 - v) * (u - c * m)) / (v * c * c + s * s) - s * m

    def log_ratio(tau, u):
        # u = y cos phi with y = x/alpha, dy/dtau = r dy/dr and d log cos phi/dtau = -sin^2 phi
        r = math.exp(tau)
        square = 1.0 + r * r
        return r * sigma(r, u * math.sqrt(square)) / math.sqrt(square) - r * r / square * u

    def time(t, x):
        level = process.at(t)
        f, g2 = rates(process, t)
        a = level.alpha
        return f * x + 0.5 * g2 * (x - a * m) / (a * a * v + level.sigma**2)

    def norm(level):
        return math.hypot(level.alpha, level.sigma)

    return {
        "sigma": (lambda level: level.sigma / level.alpha, lambda level: level.alpha, sigma),
        "phi": (lambda level: math.atan2(level.sigma, level.alpha), norm, phi),
        "log-snr": (lambda level: math.log(level.sigma / level.alpha), norm, log_ratio),
        "time": (lambda level: level.t, lambda level: 1.0, time),
    }[name]


def runge_kutta(method):
    """The reference of a method(sampler) -> step; churn as in Karras et al. 2022, algorithm 2."""

    def reference(sampler, process, levels, law, first):
        if sampler.variable == "time" and rates(process, 0.5) is None:
            return None
        clock, scale, f = in_variable(sampler.variable, process, law)
        step, count = method(sampler), len(levels) - 1
        mean, variance = first.mean, first.variance
        for t, s in pairwise(levels):
            w, ratio = clock(t), t.sigma / t.alpha
            size = scale(t)
            if sampler.churn > 0.0 and sampler.churn_min <= ratio <= sampler.churn_max:
                hat = ratio * (1.0 + min(sampler.churn / count, math.sqrt(2.0) - 1.0))
                added = sampler.churn_noise**2 * (hat**2 - ratio**2) * t.alpha**2
                variance, ratio = variance + added, hat
                size = size if sampler.variable == "sigma" else t.alpha * math.hypot(1.0, hat)
                w = {"sigma": hat, "phi": math.atan(hat)}.get(sampler.variable, math.log(hat))
            if s.sigma == 0.0 and sampler.last == "step":
                rest, end = f(w, np.zeros_like(law.mean)), s.t
                slope = 1.0 + (end - w) * (f(w, np.ones_like(law.mean)) - rest)
                mean, variance = slope * mean + (end - w) * rest, slope**2 * variance
                continue
            if s.sigma == 0.0:  # the posterior mean of x/alpha
                slope = law.variance / (law.variance + ratio**2)
                mean = law.mean + slope * (mean / t.alpha - law.mean)
                variance = (slope / t.alpha) ** 2 * variance
                continue
            rest = step(f, w, clock(s), np.zeros_like(law.mean))
            slope = step(f, w, clock(s), np.ones_like(law.mean)) - rest
            mean = scale(s) * (slope * mean / size + rest)
            variance = (scale(s) * slope / size) ** 2 * variance
        return Normals(mean, variance)

    return reference


REFERENCES = {
    samplers.Euler: runge_kutta(lambda sampler: euler),
    samplers.Heun: runge_kutta(lambda sampler: two_stage(sampler.alpha)),
    samplers.Midpoint: runge_kutta(lambda sampler: two_stage(0.5)),
    samplers.DPM2: runge_kutta(lambda sampler: dpm_2),
    samplers.RK4: runge_kutta(lambda sampler: kutta),
}
