"""iPNDM."""

from __future__ import annotations

from dataclasses import dataclass

from scoresde.errors import OptionError
from scoresde.samplers.multistep.adams_bashforth import AdamsBashforth, adams_weights

UNIFORM = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


@dataclass(frozen=True, kw_only=True)
class IPNDM(AdamsBashforth):
    r"""x_s = (alpha_s/alpha_t) x + (sigma_s - sigma_t alpha_s/alpha_t) sum_j b_j eps_j.

    DDIM's step with Adams and Bashforth's mixture of the last `solver_order` predictions, for four
    b = (55, -59, 37, -9)/24: the weights of equal steps, whatever the grid. So it has order
    `solver_order` where steps are equal in sigma/alpha (the karras grid with rho = 1) and start is
    "single-step", and 2 on any other grid, the court's among them. `variable_step` takes the
    weights of the grid's own steps, iPNDM_v: `lms` under another name. (The public programs of
    iPNDM_v have other weights from solver_order = 3 on, which do not integrate a quadratic; these
    do.) One evaluation a step; at sigma = 0 the order is kept, at alpha = 0 the step is DDIM's.
    (Zhang & Chen 2023, Fast sampling of diffusion models with exponential integrator, iPNDM; Liu,
    Ren, Lin & Zhao 2022, PNDM, eq. 11-12; Zhou, Chen, Wang & Chen 2024, Fast ODE-based sampling
    for diffusion models in around 5 steps, iPNDM_v.)
    """

    variable_step: bool = False

    noun = "ipndm"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.variable_step, bool):
            raise OptionError(f"variable_step of ipndm is true or false, got {self.variable_step}")

    @property
    def flow_order(self) -> int:
        return self.solver_order if self.variable_step else min(self.solver_order, 2)

    def kept(self, past):
        return super().kept(past) if self.variable_step else list(past)

    def weights(self, s, past):
        return adams_weights(s, past) if self.variable_step else UNIFORM[len(past) - 1]
