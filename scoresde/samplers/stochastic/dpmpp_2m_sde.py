"""DPM-Solver++(2M) for the SDE."""

from __future__ import annotations

from dataclasses import dataclass

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.samplers.eta import ScaledNoise
from scoresde.samplers.exponential.phi import phi
from scoresde.samplers.history import ENDS, highest_order
from scoresde.samplers.stochastic.variation import sde_variation

SOLVER_TYPES = ("midpoint", "heun")


@dataclass(frozen=True, kw_only=True)
class DPMSolverPP2MSDE(ScaledNoise):
    r"""x_s = (sigma_s/sigma_t) e^{-eta h} x + alpha_s (1 - e^{-k}) x0 + alpha_s c (x0 - x0')/q
    + s_noise sigma_s sqrt(1 - e^{-2 eta h}) z,

    h = log(alpha_s/sigma_s) - log(alpha_t/sigma_t), k = (1 + eta) h, q = h'/h, primes for the step
    before; c = (1 - e^{-k})/2 for `solver_type` midpoint, 1 - (1 - e^{-k})/k for heun. The first
    step, and with end = "lower" or "euler" the last, leave the difference out; a step to sigma = 0
    takes x0.

    The SDE is that of g^2 (1 + eta)/2 in the drift and sqrt(eta) g in the noise: between 0 and 1
    this eta is the square of ddim's. Weak order 2, one evaluation and one normal a step; eta = 0
    is DPM-Solver++(2M), order 2. (Lu et al. 2022, DPM-Solver++, sec. 5, SDE-DPM-Solver++(2M);
    Crowson 2022, k-diffusion, sample_dpmpp_2m_sde; with eta = 1 sde-dpmsolver++ of order 2 of
    diffusers' DPMSolverMultistepScheduler, which below 15 steps has end = "lower".)
    """

    solver_type: str = "midpoint"
    end: str = "full"

    noun = "dpmpp-2m-sde"
    flow_order = flow_order_cold = 2
    sde_weak_order = 2
    variants = ("solver_type=heun",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.solver_type not in SOLVER_TYPES:
            raise OptionError(
                unknown("solver_type of dpmpp-2m-sde", self.solver_type, list(SOLVER_TYPES))
            )
        if self.end not in ENDS:
            raise OptionError(unknown("end of dpmpp-2m-sde", self.end, list(ENDS)))

    def step(self, tape, x, t, s, memory):
        x0 = tape.evaluate(x, t, "x0")
        if s.sigma == 0.0:
            return s.alpha * x0, None
        v = sde_variation(t, s, self.eta)
        moved = v.carry * x + v.whole * x0
        if memory is not None and highest_order(self.end, tape.remaining) > 1:
            x0_before, h_before = memory
            heun = self.solver_type == "heun"
            c = s.alpha * v.rate * phi(2, -v.rate) if heun else 0.5 * v.whole
            moved += c * v.h / h_before * (x0 - x0_before)
        z = tape.normal(between=(t, s))
        return moved + self.s_noise * v.noise * z, (x0, v.h)
