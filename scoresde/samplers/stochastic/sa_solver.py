"""SA-Solver."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.processes import NoiseLevel
from scoresde.samplers.base import GridSampler
from scoresde.samplers.history import ENDS, highest_order
from scoresde.samplers.plan import Term
from scoresde.samplers.stochastic.adams import adams_weights, lambda_step


@dataclass(frozen=True, kw_only=True)
class SASolver(GridSampler):
    r"""x_s = (sigma_s/sigma_t) e^{-tau^2 h} x + alpha_s sum_j w_j x0_j + sigma_s b z.

    Stochastic Adams on dx = [f x - (1 + tau^2)/2 g^2 score] dt + tau g dw in lambda =
    log(alpha/sigma): h = lambda_s - lambda_t, b^2 = 1 - e^{-2 tau^2 h}, and, exactly, w_j =
    a int e^{-a (lambda_s - lambda)} L_j(lambda) dlambda, a = 1 + tau^2. The predictor's polynomial
    goes through the last `predictor_order` predictions. The corrector's goes through the one at s
    and those before it, `corrector_order` in all (0: none), under the same z; it acts before the
    next step sets out, so a step has one evaluation and the last state is the predictor's. tau is
    0 where sigma_t/alpha_t lies outside [ratio_min, ratio_max]. `few_steps` takes a h^2/2 for the
    first moment of a two-point polynomial, `end="lower"` lets the orders fall to 1 and 2 at the
    last step, `end="euler"` has a predictor of one point there alone. A step to sigma = 0 takes
    the posterior mean; alpha = 0 is a start like any other.

    tau > 0 (1: the reverse SDE): weak order 2, or 1 where the last polynomial is a constant, and
    strong order 1 unless tau switches, which a grid moves. Predictor and corrector of order 2
    have so small an h^2 term that they look like 2.5 at a few hundred steps. tau = 0:
    min(predictor + 1, corrector), or the predictor's order without a corrector; a cold start caps
    it at 3 and 2 (with orders 3 and 4 one still measures 3.3 at 1000 steps). With fewer than 10
    steps a predictor_order of 2 is steadier.
    (Xue, Yi, Luo, Zhang, Sun, Li & Ma 2023, SA-Solver, eq. 14-17 and algorithm 1, whose s-step
    corrector has corrector_order s + 1; defaults and the few-step form are its program's.)
    """

    predictor_order: int = 3
    corrector_order: int = 4
    tau: float = 1.0
    ratio_min: float = 0.0
    ratio_max: float = math.inf
    few_steps: bool = False
    end: str = "full"

    variants = ("tau=0, predictor_order=2, corrector_order=3",)

    def __post_init__(self) -> None:
        for name, least in (("predictor_order", 1), ("corrector_order", 0)):
            value = getattr(self, name)
            if not (isinstance(value, int) and least <= value <= 4):
                raise OptionError(
                    f"{name} of sa-solver is a whole number from {least} to 4, got {value!r}"
                )
        if not 0.0 <= self.tau < math.inf:
            raise OptionError(f"tau of sa-solver is finite and not negative, got {self.tau}")
        if not 0.0 <= self.ratio_min <= self.ratio_max:
            raise OptionError(
                "sa-solver needs 0 <= ratio_min <= ratio_max, the sigma/alpha between which tau "
                f"acts; got {self.ratio_min} and {self.ratio_max}"
            )
        if self.end not in ENDS:
            raise OptionError(unknown("end of sa-solver", self.end, list(ENDS)))

    @property
    def stochastic(self) -> bool:
        return self.tau > 0.0

    @property
    def order(self) -> int | None:
        if self.stochastic:
            return None
        least = min(self.predictor_order + 1, self.corrector_order)
        order = least or self.predictor_order
        return order if self.end == "full" else min(order, 2)

    @property
    def order_cold(self) -> int | None:
        if self.stochastic:
            return None
        return min(self.order, 3 if self.corrector_order else 2)

    @property
    def weak_order(self) -> int | None:
        if not self.stochastic:
            return None
        return min(2, self.corrector_order or self.predictor_order)

    @property
    def strong_order(self) -> float | None:
        everywhere = self.ratio_min == 0.0 and math.isinf(self.ratio_max)
        return 1.0 if self.stochastic and everywhere else None

    def step(self, tape, x, t, s, memory):
        past, predicted = memory or ((), None)
        x0 = tape.evaluate(x, t, "x0")
        if s.sigma == 0.0:
            return s.alpha * x0, None
        # a prediction at alpha = 0 lies infinitely far back: its polynomial's weight is 0
        past = [(t, x0), *(node for node in past if node[0].alpha > 0.0)]
        if predicted is not None:
            begun, tau, order, drift = predicted
            x = x - drift + self._drift(begun, t, tau, past[:order])
        tau = self.tau if self.ratio_min <= t.noise_ratio <= self.ratio_max else 0.0
        ahead = highest_order(self.end, tape.remaining) - 1
        drift = self._drift(t, s, tau, past[: min(self.predictor_order, ahead + 1)])
        decay = _decay(tau, lambda_step(t, s))
        noise = s.sigma * math.sqrt(-math.expm1(2.0 * decay)) * tape.normal(between=(t, s))
        state = s.sigma / t.sigma * math.exp(decay) * x + drift + noise
        order = min(self.corrector_order, ahead + 2)
        predicted = (t, tau, order, drift) if order > 0 else None
        return state, (tuple(past[: max(self.predictor_order, order) - 1]), predicted)

    def _drift(self, t: NoiseLevel, s: NoiseLevel, tau: float, past) -> Term:
        """alpha_s sum_j w_j x0_j over the step from t to s, through the predictions given."""
        rate, h = 1.0 + tau**2, lambda_step(t, s)
        nodes = [0.0 if level is s else lambda_step(level, s) for level, _ in past]
        weights = adams_weights(rate, h, nodes)
        if self.few_steps and len(nodes) == 2:
            slope = rate * h * h / 2.0 / (nodes[1] - nodes[0])
            total = -math.expm1(-rate * h)
            # the polynomial about its value at t: the newer node, or the older in a corrector
            weights = [total + slope, -slope] if nodes[0] > 0.0 else [slope, total - slope]
        drift = Term({})
        for weight, (_, x0) in zip(weights, past, strict=True):
            drift = drift + s.alpha * weight * x0
        return drift


def _decay(tau: float, h: float) -> float:
    """-tau^2 h, also for infinite h."""
    return -(tau**2) * h if tau > 0.0 else 0.0
