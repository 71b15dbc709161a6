"""DPM-Solver++ in multistep form, of second order."""

from __future__ import annotations

from dataclasses import dataclass

from scoresde.samplers.exponential.multistep import (
    ExponentialMultistep,
    midpoint,
    past_nodes,
    weighted,
)
from scoresde.samplers.exponential.phi import interpolation_weights
from scoresde.samplers.exponential.single_step import check_form
from scoresde.samplers.exponential.variation import check_prediction


@dataclass(frozen=True, kw_only=True)
class DPMSolverPP2M(ExponentialMultistep):
    r"""x_s = (sigma_s/sigma_t) x - alpha_s expm1(-h) D,  h = (log_snr_s - log_snr_t)/2
    with D = (1 + 1/(2r)) x0_t - x0_prev/(2r),  r = h_prev/h.

    Second order from one evaluation a step and the one before it; the first step, and a step to
    sigma = 0 (h infinite), take D = x0_t. Deterministic, order 2. The standard choice for 10 to
    30 steps, guided or not. `form='heun'` integrates the straight line through the two outputs
    instead, and `prediction='eps'` is DPM-Solver's multistep form:
    x_s = (alpha_s/alpha_t) x - sigma_s expm1(h) D with eps in D.
    (Lu et al. 2022, DPM-Solver++, algorithm 2; log_snr is twice its lambda.)
    """

    form: str = "midpoint"
    prediction: str = "x0"

    noun = "dpmpp-2m"
    outputs = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_prediction(self.noun, self.prediction)
        check_form(self.noun, self.form)

    @property
    def interpolates(self) -> str:
        return self.prediction

    def integral(self, move, s, outputs):
        if self.form == "midpoint":
            return midpoint(move, s, outputs)
        weights = interpolation_weights(past_nodes(move, outputs), move.z)
        return move.reach * weighted(weights, outputs)
