"""DPM-Solver++ for the SDE, single-step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.samplers.eta import ScaledNoise
from scoresde.samplers.levels import at_log_snr
from scoresde.samplers.stochastic.split import ancestral_split, needs_signal

CLOCKS = ("snr", "sigma", "independent")


@dataclass(frozen=True, kw_only=True)
class DPMSolverPPSDE(ScaledNoise):
    r"""y_s = (d_s/r_t) y + (1 - d_s/r_t) D + s_noise u_s z_s,  D = (1 - 1/(2r)) x0 + x0_m/(2r).

    x0_m is x0 at y_m = (d_m/r_t) y + (1 - d_m/r_t) x0 + s_noise u_m z_m, with log SNR_m = log
    SNR_t + r (log SNR_s - log SNR_t). y = x/alpha; d, u are the parts r_down, r_up of r_m or r_s =
    sigma_s/alpha_s that an ancestral step from r_t of this eta has.

    Both noises are of one Brownian path on a `clock`: z_m is its normalised increment from t to
    m, and z_s = sqrt(w) z_m + sqrt(1 - w) z' that from t to s. Step i draws z_m under the key i
    and z' under i + 2^20.
        snr: w = (SNR_m - SNR_t)/(SNR_s - SNR_t). At eta = 1 each is the exact noise of the SDE.
        sigma: w = (r_t - r_m)/(r_t - r_s), on which k-diffusion's Brownian tree runs; it differs
            by O(h), and the weak order stays 2.
        independent: w = 0, k-diffusion with a noise_sampler of independent draws; z_s is z', and
            the weak order 1.

    Two evaluations and two normals a step, the state at sigma = 0 being x0 with one evaluation.
    eta = 0 is DPM-Solver++(2S), order 2. (Lu et al. 2022, DPM-Solver++, sec. 5; Crowson 2022,
    k-diffusion, sample_dpmpp_sde; DPMSolverSDEScheduler of diffusers.)
    """

    r: float = 0.5
    clock: str = "snr"

    noun = "dpmpp-sde"
    evaluations = 2
    flow_order = flow_order_cold = 2
    sde_weak_order = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.r <= 1.0:
            raise OptionError(f"r of dpmpp-sde lies in (0, 1], got {self.r}")
        if self.clock not in CLOCKS:
            raise OptionError(unknown("clock of dpmpp-sde", self.clock, list(CLOCKS)))

    @property
    def weak_order(self) -> int | None:
        order = super().weak_order
        return 1 if order is not None and self.clock == "independent" else order

    def step(self, tape, x, t, s, memory):
        needs_signal(self.noun, t)
        x0 = tape.evaluate(x, t, "x0")
        if s.sigma == 0.0:
            return s.alpha * x0, None
        gap = s.log_snr - t.log_snr
        middle = s if self.r == 1.0 else at_log_snr(t, t.log_snr + self.r * gap)
        z_m, z_s = self._noises(tape, t, middle, s, gap)
        x0_m = tape.evaluate(self._ancestral(x, x0, z_m, t, middle), middle, "x0")
        weight = 0.5 / self.r
        return self._ancestral(x, (1.0 - weight) * x0 + weight * x0_m, z_s, t, s), None

    def _noises(self, tape, t, middle, s, gap):
        """(z_m, z_s), the second over the `gap` of log SNR from t to s."""
        if self.clock == "independent":
            return tape.normal(), tape.normal(between=(t, s))
        z_m, z_rest = tape.normal(between=(t, middle)), tape.normal(between=(middle, s))
        if self.clock == "sigma":
            whole = math.expm1(-0.5 * gap)
            early = math.expm1(-0.5 * self.r * gap) / whole
            late = math.exp(-0.5 * self.r * gap) * math.expm1(0.5 * (self.r - 1.0) * gap) / whole
        else:
            whole = math.expm1(-gap)
            early = math.exp((self.r - 1.0) * gap) * math.expm1(-self.r * gap) / whole
            late = math.expm1((self.r - 1.0) * gap) / whole
        return z_m, math.sqrt(early) * z_m + math.sqrt(late) * z_rest

    def _ancestral(self, x, x0, z, t, s):
        down, up = ancestral_split(t, s, self.eta)
        direction = down / t.sigma
        return direction * x + (s.alpha - t.alpha * direction) * x0 + self.s_noise * up * z
