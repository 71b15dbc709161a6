"""Samplers with one thing wrong each, and one that is right but belongs to nobody's list."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from scoresde.processes import NoiseLevel
from scoresde.processes.level import posterior_variance
from scoresde.samplers import (
    DDIM,
    Ancestral,
    DPMSolverPP2M,
    EulerMaruyama,
    GridSampler,
    Heun,
    Sampler,
)


class SwappedDDIM(DDIM):
    """sigma_s where sigma_t belongs, in the coefficient of x."""

    def step(self, tape, x, t, s, memory):
        if s.sigma == 0.0:
            return super().step(tape, x, t, s, memory)
        x0 = tape.evaluate(x, t, "x0")
        direction = s.sigma / t.sigma
        return (s.alpha - t.alpha * direction) * x0 + t.sigma / s.sigma * x, None


class Swapped2M(DPMSolverPP2M):
    """sigma_s where sigma_t belongs, inside r = h_prev/h, so that D is off by O(h)."""

    def step(self, tape, x, t, s, memory):
        h = 0.5 * (s.log_snr - t.log_snr)
        x0 = tape.evaluate(x, t, "x0")
        d = x0
        if memory is not None and s.sigma > 0.0:
            x0_previous, t_previous = memory
            h_previous = math.log(t.alpha / s.sigma) - 0.5 * t_previous.log_snr
            weight = 0.5 * h / h_previous
            d = (1.0 + weight) * x0 - weight * x0_previous
        return s.sigma / t.sigma * x - s.alpha * math.expm1(-h) * d, (x0, t)


class HalvedDiffusion(EulerMaruyama):
    """Euler-Maruyama whose g^2 lacks its factor 2."""

    def step(self, tape, x, t, s, memory):
        rate = 0.5 * (t.sigma_rate + t.drift * t.sigma)
        halved = replace(t, sigma_rate=rate)  # g^2 = 2 sigma (sigma' - f sigma) comes out halved
        return super().step(tape, x, halved, s, memory)


class SecondOrderDDIM(DDIM):
    order = 2
    order_cold = 2


class AccurateStartLiar(DDIM):
    """Claims more with an accurate start, as only a method with memory may."""

    order = 2


class SecondOrderAncestral(Ancestral):
    weak_order = 2


class Undeclared(DDIM):
    order = None
    order_cold = None


class Disguised(SwappedDDIM):
    """A wrong deterministic sampler that calls itself stochastic, to have no order."""

    order = None
    order_cold = None
    stochastic = True
    weak_order = None


@dataclass(frozen=True, kw_only=True)
class Inflated(Ancestral):
    """Three per cent too much noise a step."""

    def step(self, tape, x, t, s, memory):
        _, d2 = posterior_variance(t, s)
        x, memory = super().step(tape, x, t, s, memory)
        return x + math.sqrt(0.06 * d2) * tape.normal(), memory


class Coupled(Sampler):
    """Pulls each sample a little towards the mean of its batch."""

    order = order_cold = 1

    def run(self, model, levels, x, noise, ids, trajectory=False):
        result = DDIM().run(model, levels, x, noise, ids, trajectory)
        return replace(result, x=result.x + 1e-6 * result.x.mean(0))


class OwnNoise(Ancestral):
    """Draws from a generator of its own instead of the noise it is given."""

    def run(self, model, levels, x, noise, ids, trajectory=False):
        generator = torch.Generator().manual_seed(0)

        def own(step, purpose, ids, shape):
            return torch.randn(len(ids), *shape, generator=generator, dtype=torch.float64)

        return super().run(model, levels, x, own, ids, trajectory)


class BatchKeyed(Ancestral):
    """Numbers its noise by the row of the batch, not by the sample."""

    def run(self, model, levels, x, noise, ids, trajectory=False):
        return super().run(model, levels, x, noise, torch.arange(len(x)), trajectory)


class Miscounted(Heun):
    """Reports one evaluation a step and makes two."""

    def run(self, model, levels, x, noise, ids, trajectory=False):
        result = super().run(model, levels, x, noise, ids, trajectory)
        return replace(result, nfe=torch.full((len(x),), len(levels) - 1))


class Thrifty(Heun):
    evaluations = 1


class Beyond(Sampler):
    """Looks at the model a little past the end of the grid, as a solver that interpolates does."""

    order = order_cold = 1
    evaluations = 1

    def run(self, model, levels, x, noise, ids, trajectory=False):
        past = NoiseLevel.at_phi(0.5 * levels[-1].phi)
        result = DDIM().run(model, levels, x, noise, ids, trajectory)
        model.predict(result.x, past, "x0")
        return replace(result, nfe=result.nfe + 1)


class Clipped(DDIM):
    """Clips to [-1, 1], whatever the data."""

    def run(self, model, levels, x, noise, ids, trajectory=False):
        result = super().run(model, levels, x, noise, ids, trajectory)
        return replace(result, x=result.x.clamp(-1.0, 1.0))


class Broken(DDIM):
    def step(self, tape, x, t, s, memory):
        raise RuntimeError("no such luck")


class ExponentialAdams3(GridSampler):
    r"""x_s/sigma_s = x_t/sigma_t + int e^l P(l) dl with P through the last three x0: order 3.

    Its own start is of first order for one step and of second for one more, so order 2 cold.
    """

    order = 3
    order_cold = 2

    def step(self, tape, x, t, s, memory):
        memory = [(0.5 * t.log_snr, tape.evaluate(x, t, "x0")), *(memory or [])][:3]
        low, high = 0.5 * t.log_snr, 0.5 * s.log_snr
        nodes, weights = np.polynomial.legendre.leggauss(8)
        at = low + 0.5 * (high - low) * (nodes + 1.0)
        total = s.sigma / t.sigma * x
        for here, x0 in memory:
            basis = np.ones_like(at)
            for other, _ in memory:
                if other != here:
                    basis = basis * (at - other) / (here - other)
            integral = 0.5 * (high - low) * float(weights @ (basis * np.exp(at)))
            total = total + s.sigma * integral * x0
        return total, memory
