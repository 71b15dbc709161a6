"""Euler's method with ancestral noise."""

from __future__ import annotations

from dataclasses import dataclass

from scoresde.samplers.eta import ScaledNoise
from scoresde.samplers.stochastic.split import ancestral_split


@dataclass(frozen=True, kw_only=True)
class EulerAncestral(ScaledNoise):
    r"""y_s = y + (r_down - r_t) eps + s_noise r_up z,  y = x/alpha, r = sigma/alpha.

    r_up = min(r_s, eta r_s sqrt(1 - r_s^2/r_t^2)), r_down^2 = r_s^2 - r_up^2: Euler's step down to
    r_down, then noise up to r_s. eta = 1 is the ancestral step with the posterior variance, eta <=
    1 DDIM's of that eta, eta = 0 Euler's method on dy/dr = eps. Weak order 1, one evaluation and
    one normal a step, the state at sigma = 0 being x0. (Crowson 2022, k-diffusion,
    sample_euler_ancestral; EulerAncestralDiscreteScheduler of diffusers, eta = 1.)
    """

    noun = "euler-ancestral"

    def step(self, tape, x, t, s, memory):
        down, up = ancestral_split(t, s, self.eta)
        direction = down / t.sigma
        x0 = tape.evaluate(x, t, "x0")
        z = tape.normal(between=(t, s))
        moved = (s.alpha - t.alpha * direction) * x0 + direction * x
        return moved + self.s_noise * up * z, None
