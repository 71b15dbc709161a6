"""DPM-Solver++ in single-step form, of first, second and third order."""

from __future__ import annotations

from dataclasses import dataclass

from scoresde.samplers.exponential.single_step import SingleStep


@dataclass(frozen=True, kw_only=True)
class DPMSolverPP1(SingleStep):
    r"""x_s = (sigma_s/sigma_t) x - alpha_s (e^{-h} - 1) x0(x, t): DDIM without noise.

    Deterministic, order 1, one evaluation a step. (Lu et al. 2022, DPM-Solver++, section 4.1.)
    """

    noun = "dpmpp-1"


@dataclass(frozen=True, kw_only=True)
class DPMSolverPP2S(SingleStep):
    r"""x_s = (sigma_s/sigma_t) x - alpha_s (e^{-h} - 1) x0(u, m)
    with u = (sigma_m/sigma_t) x - alpha_m (e^{-h/2} - 1) x0(x, t)

    and m half-way in lambda = log(alpha/sigma), h = lambda_s - lambda_t (r = 1/2).
    Deterministic, order 2, two evaluations a step (one to sigma = 0 or from alpha = 0).
    (Lu et al. 2022, DPM-Solver++, algorithm 1; `SingleStep` has the options.)
    """

    noun = "dpmpp-2s"
    solver_order = 2


@dataclass(frozen=True, kw_only=True)
class DPMSolverPP3S(SingleStep):
    r"""x_s = (sigma_s/sigma_t) x + alpha_s [h phi_1 x0_1 + h phi_2 (x0_3 - x0_1)/r_2], phi_k(-h).

    h phi_1 = 1 - e^{-h} and h phi_2 = (e^{-h} - 1)/h + 1; x0_2 and x0_3 at u = 1/3 and r_2 = 2/3
    of the interval of lambda = log(alpha/sigma): the stages of DPM-Solver-3 with x0 for eps.
    Deterministic, order 3, three evaluations a step (one to sigma = 0 or from alpha = 0). (Lu et
    al. 2022, DPM-Solver, algorithm 2, with proposition 4.1 of DPM-Solver++; `SingleStep` has the
    options.)
    """

    noun = "dpmpp-3s"
    solver_order = 3
