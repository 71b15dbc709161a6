"""DPM-Solver++ in multistep form, of third order."""

from __future__ import annotations

from dataclasses import dataclass

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.samplers.exponential.multistep import (
    ExponentialMultistep,
    midpoint,
    past_nodes,
    weighted,
)
from scoresde.samplers.exponential.phi import interpolation_weights, phi
from scoresde.samplers.exponential.single_step import check_form
from scoresde.samplers.exponential.variation import check_prediction

SECOND_DERIVATIVES = ("full", "published")


@dataclass(frozen=True, kw_only=True)
class DPMSolverPP3M(ExponentialMultistep):
    r"""x_s = (sigma_s/sigma_t) x + alpha_s h (phi_1 D_0 + phi_2 D_1 + phi_3 D_2), phi_k(-h).

    D_0 = x0_t, and D_1, D_2 are the derivatives in u = (lambda - lambda_t)/h of the parabola
    through the last three outputs. `second_derivative`: `full` takes D_2 = 2 x0[u_t, u_1, u_2],
    and is of order 3; `published` takes the divided difference without its 2, as the paper's code
    and those after it do, and is of order 2. The first steps of the default `start` cap either at
    order 2, and there `published` has 0.6 times the error on a mixture, at 10 steps as at 1280.
    `form` is that of steps of second order, as in `DPMSolverPP2M`. `prediction='eps'` is
    DPM-Solver's multistep form: alpha_s/alpha_t for sigma_s/sigma_t, -sigma_s h for alpha_s h,
    phi_k(h). One evaluation a step, deterministic. (Lu et al. 2022, DPM-Solver++, section 4.2, and
    its code.)
    """

    second_derivative: str = "full"
    form: str = "heun"
    prediction: str = "x0"

    noun = "dpmpp-3m"
    outputs = 3
    variants = ("second_derivative=published",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_prediction(self.noun, self.prediction)
        if self.second_derivative not in SECOND_DERIVATIVES:
            what = f"second_derivative of {self.noun}"
            raise OptionError(unknown(what, self.second_derivative, list(SECOND_DERIVATIVES)))
        check_form(self.noun, self.form)

    @property
    def interpolates(self) -> str:
        return self.prediction

    @property
    def full_order(self) -> int:
        return 3 if self.second_derivative == "full" else 2

    def integral(self, move, s, outputs):
        if len(outputs) == 2 and self.form == "midpoint":
            return midpoint(move, s, outputs)
        nodes = past_nodes(move, outputs)
        weights = interpolation_weights(nodes, move.z)
        if self.second_derivative == "published" and len(outputs) == 3:
            half = phi(3, move.z)  # of the 2 phi_3 that multiply the divided difference
            weights = [
                w - half / ((nodes[j] - nodes[j - 1]) * (nodes[j] - nodes[j - 2]))
                for j, w in enumerate(weights)
            ]
        return move.reach * weighted(weights, outputs)
