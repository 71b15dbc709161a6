"""DPM-Solver."""

from __future__ import annotations

from dataclasses import dataclass

from scoresde.samplers.exponential.single_step import SingleStep
from scoresde.samplers.exponential.variation import check_order


@dataclass(frozen=True, kw_only=True)
class DPMSolver(SingleStep):
    r"""x_s = (alpha_s/alpha_t) x - sigma_s (e^h - 1) eps_1 - sigma_s [w] (eps_k - eps_1)
    with h = lambda_s - lambda_t, lambda = log(alpha/sigma), w by `solver_order` k:
        1: 0, which is DDIM;
        2: (e^h - 1)/(2 r), eps_2 at u = r = 1/2;
        3: ((e^h - 1)/h - 1)/r_2, eps_2, eps_3 at u = 1/3 and r_2 = 2/3.

    Single-step and deterministic; order k, from k evaluations a step (1 in a step to sigma = 0).
    Interpolates eps, so it cannot start at alpha = 0. For unguided sampling at 15 to 50
    evaluations and for accurate flows; under strong guidance take DPM-Solver++.
    (Lu et al. 2022, DPM-Solver, algorithms 1, 2 and eq. 3.7; `SingleStep` has the other options.)
    """

    solver_order: int = 3

    noun = "dpm-solver"
    prediction = "eps"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_order(self.noun, self.solver_order, 3)
