"""DPM-Solver++(2S) with ancestral noise."""

from __future__ import annotations

from dataclasses import dataclass

from scoresde.samplers.eta import ScaledNoise
from scoresde.samplers.stochastic.split import ancestral_split, middle_level, needs_signal


@dataclass(frozen=True, kw_only=True)
class DPMSolverPP2SAncestral(ScaledNoise):
    r"""y_s = (r_down/r_t) y + (1 - r_down/r_t) x0(y_m, r_m) + s_noise r_up z.

    y_m = (r_m/r_t) y + (1 - r_m/r_t) x0(y, r_t),  r_m = sqrt(r_t r_down), y = x/alpha, r =
    sigma/alpha; r_up = min(r_s, eta r_s sqrt(1 - r_s^2/r_t^2)), r_down^2 = r_s^2 - r_up^2.
    DPM-Solver++(2S) down to r_down, then noise up to r_s. An exact flow would keep the marginals,
    so moments converge with its order 2. eta = 0 is DPM-Solver++(2S) itself. Two evaluations and
    one normal a step; a step to r_down = 0 takes y = x0(y, r_t) with one. (Lu et al. 2022,
    DPM-Solver++, algorithm 1; Crowson 2022, k-diffusion, sample_dpmpp_2s_ancestral.)
    """

    noun = "dpmpp-2s-ancestral"
    evaluations = 2
    flow_order = flow_order_cold = 2
    sde_weak_order = 2

    def step(self, tape, x, t, s, memory):
        needs_signal(self.noun, t)
        down, up = ancestral_split(t, s, self.eta)
        start, end = t.noise_ratio, down / s.alpha
        x0 = tape.evaluate(x, t, "x0")
        if down > 0.0:
            middle = middle_level(t, s, down)
            share = middle.noise_ratio / start
            halfway = middle.sigma / t.sigma * x + middle.alpha * (1.0 - share) * x0
            x0 = tape.evaluate(halfway, middle, "x0")
        z = tape.normal(between=(t, s))
        moved = down / t.sigma * x + s.alpha * (1.0 - end / start) * x0
        return moved + self.s_noise * up * z, None
