"""DPM-Solver-2 with ancestral noise."""

from __future__ import annotations

from dataclasses import dataclass

from scoresde.samplers.eta import ScaledNoise
from scoresde.samplers.stochastic.split import ancestral_split, middle_level, needs_signal


@dataclass(frozen=True, kw_only=True)
class DPM2Ancestral(ScaledNoise):
    r"""y_s = y + (r_down - r_t) eps(y_m, r_m) + s_noise r_up z.

    y_m = y + (r_m - r_t) eps(y, r_t),  y = x/alpha, r = sigma/alpha, r_m = sqrt(r_t r_down),
    r_up = min(r_s, eta r_s sqrt(1 - r_s^2/r_t^2)), r_down^2 = r_s^2 - r_up^2: the midpoint rule on
    dy/dr = eps down to r_down, then noise up to r_s. An exact flow would keep the marginals, so
    moments converge with its order 2. eta = 0 is k-diffusion's DPM2 without churn, order 2. Two
    evaluations and one normal a step; a step to r_down = 0 is Euler's with one. (Crowson 2022,
    k-diffusion, sample_dpm_2_ancestral, where that step has no noise even if r_s > 0, as for large
    eta; KDPM2AncestralDiscreteScheduler of diffusers.)
    """

    noun = "dpm-2-ancestral"
    evaluations = 2
    flow_order = flow_order_cold = 2
    sde_weak_order = 2
    variants = ("eta=0",)

    def step(self, tape, x, t, s, memory):
        needs_signal(self.noun, t)
        down, up = ancestral_split(t, s, self.eta)
        start, end = t.noise_ratio, down / s.alpha
        eps = tape.evaluate(x, t, "eps")
        if down > 0.0:
            middle = middle_level(t, s, down)
            rise = middle.noise_ratio - start
            halfway = tape.keep(middle.alpha / t.alpha * x + middle.alpha * rise * eps)
            eps = tape.evaluate(halfway, middle, "eps")
        z = tape.normal(between=(t, s))
        moved = s.alpha / t.alpha * x + s.alpha * (end - start) * eps
        return moved + self.s_noise * up * z, None
