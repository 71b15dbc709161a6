"""Adams-Bashforth methods on dy/dr = eps: one evaluation a step, the last ones remembered."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from scoresde.errors import OptionError
from scoresde.processes import NoiseLevel
from scoresde.samplers.history import Multistep
from scoresde.samplers.plan import Tape, Term
from scoresde.samplers.runge_kutta.tableau import CLASSICAL, second_order, take

ORDERS = (1, 2, 3, 4)
_GAUSS = (0.5 - 0.5 / math.sqrt(3.0), 0.5 + 0.5 / math.sqrt(3.0))


@dataclass(frozen=True, kw_only=True)
class AdamsBashforth(Multistep):
    r"""y_s = y + h sum_j b_j eps_j,  y = x/alpha,  h = r_s - r_t,  r = sigma/alpha.

    A member says what weights b_j, of sum 1, the last predictions eps_j have, the newest first.
    With eps' the sum, the step is DDIM's, x_s = (alpha_s/alpha_t) x + (sigma_s - sigma_t
    alpha_s/alpha_t) eps', and so ends at sigma = 0 like any other: the integrals in r are finite
    there. A step from alpha = 0 is DDIM's, x_s = alpha_s x0 + (sigma_s/sigma_t) x. With `start`
    "single-step" the first solver_order - 1 steps are single steps in r: Heun's for solver_order
    2, and the classical Runge-Kutta method's for 3 and 4.
    """

    solver_order: int = 4  # at most so many predictions a step

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.solver_order) is not int or self.solver_order not in ORDERS:
            raise OptionError(
                f"solver_order of {self.noun} is 1, 2, 3 or 4, got {self.solver_order}"
            )

    @property
    def flow_order(self) -> int:
        """The order of the weights, if all steps use them."""
        return self.solver_order

    @property
    def order(self) -> int:
        return self.flow_order if self.end == "full" else min(self.flow_order, 2)

    @property
    def order_cold(self) -> int:
        return self.order if self.start == "single-step" else min(self.order, 2)

    @abstractmethod
    def weights(self, s: NoiseLevel, past: Sequence[NoiseLevel]) -> Sequence[float]:
        """b_j of the predictions at the levels `past`, the newest first, for the step to s."""

    def kept(self, past: Sequence[tuple[NoiseLevel, Term]]):
        """Which of the predictions so far a step from a positive alpha may use."""
        return [node for node in past if node[0].alpha > 0.0]

    def step(self, tape, x, t, s, memory):
        past = memory or ()
        if t.alpha == 0.0:
            x0 = tape.evaluate(x, t, "x0")
            return s.alpha * x0 + s.sigma / t.sigma * x, ((t, x / t.sigma),)
        eps = tape.evaluate(x, t, "eps")
        nodes = self.kept(((t, eps), *past))
        memory = tuple(nodes[: self.solver_order - 1])
        short = len(nodes) < self.solver_order and s.sigma > 0.0
        if short and self.start == "single-step":
            return self._single_step(tape, x, t, s, eps), memory
        nodes = nodes[: self.usable(self.solver_order, len(nodes) - 1, tape.remaining)]
        weights = self.weights(s, [level for level, _ in nodes])
        mixed = sum((b * e for b, (_, e) in zip(weights, nodes, strict=True)), Term({}))
        h = s.noise_ratio - t.noise_ratio
        return s.alpha / t.alpha * x + s.alpha * h * mixed, memory

    def _single_step(self, tape: Tape, x: Term, t: NoiseLevel, s: NoiseLevel, eps: Term) -> Term:
        method = second_order(1.0) if self.solver_order == 2 else CLASSICAL
        return take(tape, x, t, s, method, "sigma", self.noun, eps)


def adams_weights(s: NoiseLevel, past: Sequence[NoiseLevel]) -> list[float]:
    """b_j = int_0^1 prod_{i != j} (u - u_i)/(u_j - u_i) du,  u_i = (r_i - r_t)/(r_s - r_t).

    Lagrange's polynomials through the past, integrated over the step: exactly, as two points of
    Gauss and Legendre serve degree 3. u_0 = 0 and the others are negative, so no factor u - u_i
    cancels.
    """
    t = past[0].noise_ratio
    nodes = [(level.noise_ratio - t) / (s.noise_ratio - t) for level in past]
    weights = []
    for j, own in enumerate(nodes):
        others = nodes[:j] + nodes[j + 1 :]
        at = [math.prod((u - other) / (own - other) for other in others) for u in _GAUSS]
        weights.append(0.5 * sum(at))
    return weights
