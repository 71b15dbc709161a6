r"""DDIM in alpha-bar with eps, the other exponential solvers in the papers' lambda.

There states are affine in the start, arrays (2, laws) of slope and rest, and the process is VP by
its lambda alone, alpha^2 = 1/(1 + e^{-2 lambda}): any other is normalised first. The papers' h
phi_k are written in exponentials, or are integrals done by scipy.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from scipy.integrate import quad

from scoresde import processes, samplers
from scoresde.verify.gaussian import Normals
from scoresde.verify.references.variables import eps_gain, normalised


def ddim(sampler, process, levels, law, first):
    """sqrt(abar_s) [(z - sqrt(1 - abar_t) eps)/sqrt(abar_t)] + sqrt(1 - abar_s - d^2) eps + d xi.

    Song, Meng & Ermon 2021, eq. 12, d from eq. 16.
    """
    bars, mean, variance = normalised(levels, first)
    for t, s in pairwise(bars):
        d2 = sampler.eta**2 * (1.0 - s) / (1.0 - t) * (1.0 - t / s)
        on_eps = math.sqrt(1.0 - s - d2) - math.sqrt(s / t * (1.0 - t))
        gain = on_eps * eps_gain(t, law)
        mean = math.sqrt(s / t) * mean + gain * (mean - math.sqrt(t) * law.mean)
        variance = (math.sqrt(s / t) + gain) ** 2 * variance + d2
    scale = levels[-1].scale
    return Normals(mean * scale, variance * scale**2)


def scales(lam):
    """alpha, sigma of a VP process."""
    return 1.0 / math.sqrt(1.0 + math.exp(-2.0 * lam)), 1.0 / math.sqrt(1.0 + math.exp(2.0 * lam))


class Flow:
    """The levels' lambdas, the exact prediction, and integrals from one lambda to another."""

    def __init__(self, levels, law, kind):
        self.levels, self.law, self.kind = levels, law, kind
        self.lams = [math.log(v.alpha / v.sigma) for v in levels if v.sigma > 0.0]

    def start(self):
        slope = np.full_like(self.law.mean, 1.0 / self.levels[0].scale)
        return np.stack([slope, np.zeros_like(slope)])

    def x0(self, x, lam):
        alpha, sigma = scales(lam)
        gain = alpha * self.law.variance / (alpha**2 * self.law.variance + sigma**2)
        shift = (1.0 - gain * alpha) * self.law.mean
        return gain * x + np.stack([np.zeros_like(shift), shift])

    def model(self, x, lam):
        alpha, sigma = scales(lam)
        x0 = self.x0(x, lam)
        return x0 if self.kind == "x0" else (x - alpha * x0) / sigma

    def finish(self, x, first, m=None):
        """The law at the last level, by x0 where that is the data (of m, if that is known)."""
        if self.levels[-1].sigma == 0.0:
            alpha, sigma = scales(self.lams[-1])
            m = self.model(x, self.lams[-1]) if m is None else m
            x = m if self.kind == "x0" else (x - sigma * m) / alpha
        slope, rest = self.levels[-1].scale * x
        return Normals(rest + slope * first.mean, slope**2 * first.variance)

    def linear(self, x, t, s):
        (a_t, s_t), (a_s, s_s) = scales(t), scales(s)
        return (s_s / s_t if self.kind == "x0" else a_s / a_t) * x

    def moments(self, t, s):
        """What a constant 1, a ramp u and a parabola u^2/2 add, u from 0 at t to 1 at s."""
        (alpha, sigma), h = scales(s), s - t
        if self.kind == "x0":
            e = math.exp(-h)
            return -alpha * (e - 1), alpha * ((e - 1) / h + 1), -alpha * ((e - 1 + h) / h**2 - 0.5)
        e = math.exp(h)
        return -sigma * (e - 1), -sigma * ((e - 1) / h - 1), -sigma * ((e - 1 - h) / h**2 - 0.5)

    def ddim(self, x, t, s, m):
        return self.linear(x, t, s) + self.moments(t, s)[0] * m

    def weights(self, t, s, nodes, position=None):
        """What each node's prediction adds, by the polynomial through all; in u, or `position`."""
        place = position or (lambda lam: lam)
        at = [place(node) for node in nodes]

        def added(lam, j):
            now = place(lam)
            others = (n for i, n in enumerate(at) if i != j)
            basis = math.prod((now - n) / (at[j] - n) for n in others)
            alpha, sigma = scales(s)
            grown = sigma * math.exp(lam) if self.kind == "x0" else -alpha * math.exp(-lam)
            return grown * basis

        return [
            quad(added, t, s, args=(j,), epsabs=1e-14, epsrel=1e-13)[0] for j in range(len(nodes))
        ]


def single_step(sampler, process, levels, law, first):
    """DPM-Solver-k: Lu et al. 2022, algorithms 1 and 2; with x0, DPM-Solver++, algorithm 1."""
    if sampler.stages != "between" or sampler.end != "full":
        return None
    flow = Flow(levels, law, sampler.prediction)
    k, x = sampler.solver_order, flow.start()
    for t, s in pairwise(flow.lams):
        m, h = flow.model(x, t), s - t
        constant, ramp, parabola = flow.moments(t, s)
        y = flow.ddim(x, t, s, m)
        if k == 2:
            r1 = 0.5
            d = flow.model(flow.ddim(x, t, t + r1 * h, m), t + r1 * h) - m
            y = y + (0.5 * constant if sampler.form == "midpoint" else ramp) / r1 * d
        if k == 3:
            r1, r2 = 1.0 / 3.0, 2.0 / 3.0
            one, two = t + r1 * h, t + r2 * h
            d1 = flow.model(flow.ddim(x, t, one, m), one) - m
            u2 = flow.ddim(x, t, two, m) + r2 / r1 * flow.moments(t, two)[1] * d1
            d2 = flow.model(u2, two) - m
            if sampler.form == "midpoint":
                y = y + ramp / r2 * d2
            else:
                first_derivative = (r2**2 * d1 - r1**2 * d2) / (r1 * r2 * (r2 - r1))
                second_derivative = 2.0 * (r1 * d2 - r2 * d1) / (r1 * r2 * (r2 - r1))
                y = y + ramp * first_derivative + parabola * second_derivative
        x = y
    return flow.finish(x, first)


def left_to(sampler, steps):
    """The most that a step may have for its order, the first of `steps` to the end."""
    lowered = sampler.end == "lower" or (sampler.end == "euler" and steps == 1)
    return steps if lowered else 4


def multistep(sampler, process, levels, law, first):
    """DPM-Solver++(2M), (3M): Lu et al. 2022, DPM-Solver++, algorithm 2, and its code."""
    if sampler.start != "lower":
        return None
    flow = Flow(levels, law, sampler.prediction)
    most = 2 if isinstance(sampler, samplers.DPMSolverPP2M) else 3
    x, old = flow.start(), []
    for i, (t, s) in enumerate(pairwise(flow.lams)):
        m = flow.model(x, t)
        order = min(most, len(old) + 1, left_to(sampler, len(levels) - 1 - i))
        constant, ramp, parabola = flow.moments(t, s)
        y = flow.ddim(x, t, s, m)
        if order > 1:
            r0 = (t - old[0][0]) / (s - t)
            d10 = (m - old[0][1]) / r0
        if order == 2:
            y = y + (0.5 * constant if sampler.form == "midpoint" else ramp) * d10
        if order == 3:
            r1 = (old[0][0] - old[1][0]) / (s - t)
            d11 = (old[0][1] - old[1][1]) / r1
            d1 = d10 + r0 / (r0 + r1) * (d10 - d11)
            d2 = (d10 - d11) / (r0 + r1)
            factor = 1.0 if sampler.second_derivative == "published" else 2.0
            y = y + ramp * d1 + factor * parabola * d2
        x, old = y, [(t, m), *old]
    return flow.finish(x, first)


def time_of(process):
    """t of lambda, by hand. (Song et al. 2021, eq. 9 and 29-33; RF: alpha = 1 - t, sigma = t.)"""
    if type(process) is processes.VPLinear:
        low, rise = process.beta_min, process.beta_max - process.beta_min
        grown = math.log1p  # of e^{-2 lambda}, which is the integral of beta up to t
        return lambda lam: (math.sqrt(low**2 + 2 * rise * grown(math.exp(-2 * lam))) - low) / rise
    if type(process) is processes.VarianceExploding:
        least = process.sigma_min
        return lambda lam: (-lam - math.log(least)) / math.log(process.sigma_max / least)
    if type(process) is processes.RectifiedFlow:
        return lambda lam: 1.0 / (1.0 + math.exp(lam))
    return None


def deis(sampler, process, levels, law, first):
    """x <- Psi x + sum_j C_ij eps_j. (Zhang & Chen 2023, eq. 14-15; time by the process's t.)"""
    if sampler.start != "lower":
        return None
    flow = Flow(levels, law, "eps")
    place = time_of(process) if sampler.variable == "time" else None
    if place is None and sampler.variable == "time":
        return None
    x, old = flow.start(), []
    for i, (t, s) in enumerate(pairwise(flow.lams)):
        left = left_to(sampler, len(levels) - 1 - i)
        old = [(t, flow.model(x, t)), *old][: min(sampler.solver_order, left)]
        weights = flow.weights(t, s, [lam for lam, _ in old], place)
        x = flow.linear(x, t, s) + sum(w * m for w, (_, m) in zip(weights, old, strict=True))
    return flow.finish(x, first)


def unipc(sampler, process, levels, law, first):
    """UniP-p and UniC-p, B(h) in full. (Zhao et al. 2023, algorithms 1 and 2.)"""
    if sampler.start != "lower":
        return None
    flow = Flow(levels, law, sampler.prediction)
    sign = -1.0 if flow.kind == "x0" else 1.0

    def move(x, t, s, known, m):
        """From x at t, where the prediction is m, with `known` ones (lambda, prediction)."""
        y = flow.ddim(x, t, s, m)
        if len(known) == 1 and sampler.variant != "vary":
            (lam, other), h = known[0], s - t
            b = sign * h if sampler.variant == "bh1" else math.exp(sign * h) - 1.0
            alpha, sigma = scales(s)
            d = (other - m) / ((lam - t) / h)
            return y - (alpha if flow.kind == "x0" else sigma) * b * 0.5 * d
        weights = flow.weights(t, s, [t, *(lam for lam, _ in known)])[1:]
        return y + sum(w * (other - m) for w, (_, other) in zip(weights, known, strict=True))

    x, old, before = flow.start(), [], None
    steps = len(levels) - 1
    for i, t in enumerate(flow.lams):
        if i == steps and not sampler.correct_last:
            break
        m = flow.model(x, t)
        if before is not None and sampler.corrector and i >= sampler.corrector_start:
            known = old[1 : before[1]]
            x = move(before[0], old[0][0], t, [*known, (t, m)], old[0][1])
        if i + 1 < len(flow.lams):
            order = min(sampler.solver_order, i + 1)
            order = min(order, left_to(sampler, steps - i))
            before = x, order
            x = move(x, t, flow.lams[i + 1], old[: order - 1], m)
            old = [(t, m), *old]
    return flow.finish(x, first, m)


def etdrk4(sampler, process, levels, law, first):
    """u' = c u + F: x/alpha, c = -1, x0; or x/sigma, c = 1, -eps. (Cox & Matthews, eq. 26-29.)"""
    if sampler.table != "cox-matthews":
        return None
    flow = Flow(levels, law, sampler.prediction)
    c, which = (-1.0, 0) if flow.kind == "x0" else (1.0, 1)

    def force(u, lam):
        return -c * flow.model(scales(lam)[which] * u, lam)

    u = flow.start() / scales(flow.lams[0])[which]
    for t, s in pairwise(flow.lams):
        h, mid = s - t, 0.5 * (t + s)
        e, half, z = math.exp(c * h), math.exp(0.5 * c * h), c * h
        f = force(u, t)
        a = u * half + (half - 1.0) * f / c
        f_a = force(a, mid)
        f_b = force(u * half + (half - 1.0) * f_a / c, mid)
        f_c = force(a * half + (half - 1.0) * (2.0 * f_b - f) / c, s)
        u = u * e + (
            (-4.0 - z + e * (4.0 - 3.0 * z + z**2)) * f
            + 2.0 * (2.0 + z + e * (z - 2.0)) * (f_a + f_b)
            + (-4.0 - 3.0 * z - z**2 + e * (4.0 - z)) * f_c
        ) / (h**2 * c**3)
    return flow.finish(u * scales(flow.lams[-1])[which], first)


REFERENCES = {
    samplers.DDIM: ddim,
    samplers.DPMSolver: single_step,
    samplers.DPMSolverPP1: single_step,
    samplers.DPMSolverPP2S: single_step,
    samplers.DPMSolverPP3S: single_step,
    samplers.DPMSolverPP2M: multistep,
    samplers.DPMSolverPP3M: multistep,
    samplers.DEIS: deis,
    samplers.UniPC: unipc,
    samplers.ExpRK4: etdrk4,
}
