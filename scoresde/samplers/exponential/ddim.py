"""DDIM."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scoresde.processes.level import posterior_variance
from scoresde.samplers.eta import WithEta


@dataclass(frozen=True, kw_only=True)
class DDIM(WithEta):
    r"""x_s = alpha_s x0 + sqrt(sigma_s^2 - d^2) eps + d z,  d^2 = eta^2 sigma^2_Q(s|t).

    eta = 0: exponential Euler on the probability flow, order 1, deterministic; eta = 1: the
    ancestral step, weak order 1. One evaluation a step.
    (Song, Meng & Ermon 2021, Denoising diffusion implicit models, eq. 12 and 16.)
    With eps = (x - alpha_t x0)/sigma_t put in, the step is a combination of x and x0 alone.
    """

    eta: float = 0.0

    noun = "ddim"
    eta_max = 1.0
    variants = ("eta=1",)

    def step(self, tape, x, t, s, memory):
        _, posterior = posterior_variance(t, s)
        d2 = self.eta**2 * posterior
        # rounding may leave sigma_s^2 - d^2 below 0 where eta = 1 and alpha_t = 0
        direction = math.sqrt(max(s.sigma**2 - d2, 0.0)) / t.sigma
        x0 = tape.evaluate(x, t, "x0")
        z = tape.normal(between=(t, s))
        return (s.alpha - t.alpha * direction) * x0 + direction * x + math.sqrt(d2) * z, None
