"""LMS, the linear multistep method in sigma."""

from __future__ import annotations

from dataclasses import dataclass

from scoresde.samplers.multistep.adams_bashforth import AdamsBashforth, adams_weights


@dataclass(frozen=True, kw_only=True)
class LMS(AdamsBashforth):
    r"""y_s = y + sum_j eps_j int_{r_t}^{r_s} L_j(r) dr,  y = x/alpha,  r = sigma/alpha.

    Adams-Bashforth on dy/dr = eps with the grid's own steps: L_j are Lagrange's polynomials
    through the last `solver_order` predictions, integrated exactly. Order `solver_order` on any
    grid from an accurate start and with start="single-step"; from its own start, 2 at most. One
    evaluation a step; at sigma = 0 the order is kept, at alpha = 0 the step is DDIM's and its
    prediction, which lies infinitely far back, is not used again. solver_order = 1 is Euler's
    method. (Bashforth & Adams 1883; the LMS sampler of k-diffusion, there by quadrature.)
    """

    noun = "lms"
    variants = ("solver_order=2", "start=single-step")

    def weights(self, s, past):
        return adams_weights(s, past)
