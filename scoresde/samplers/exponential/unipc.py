"""UniPC."""

from __future__ import annotations

from dataclasses import dataclass

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.processes import NoiseLevel
from scoresde.samplers.exponential.multistep import Outputs, past_nodes
from scoresde.samplers.exponential.phi import interpolation_weights
from scoresde.samplers.exponential.tableaus import finish, of_order
from scoresde.samplers.exponential.variation import check_order, check_prediction, variation
from scoresde.samplers.history import Multistep
from scoresde.samplers.plan import Term

VARIANTS = ("bh1", "bh2", "vary")


@dataclass(frozen=True, kw_only=True)
class UniPC(Multistep):
    r"""x_s = (sigma_s/sigma_t) x + alpha_s h [phi_1 m_0 + sum_j w_j (m_j - m_0)],  phi_1(-h),

    w from the polynomial through m_0 = x0(x, t) and the `solver_order` - 1 outputs before it: the
    predictor UniP-p. The next step's evaluation, m_s = x0(x_s, s), then gives the corrector
    UniC-p: the same from t again, with m_s among the nodes. One evaluation a step; the last state
    is uncorrected, unless `correct_last`, at one evaluation more. Deterministic; order p + 1, or p
    without `corrector`.

    `variant`: the single weight of UniP-2 and of UniC-1 is B(h)/2 by u_j, where B = h (`bh1`) or
    (1 - e^-h) (`bh2`), or the polynomial's own (`vary`); beyond them B drops out. `prediction` =
    `eps`: alpha_s/alpha_t, -sigma_s h, phi_k(h), B = h or e^h - 1. States before the grid's
    level `corrector_start` are not corrected. A step of infinite h (from alpha = 0, or to sigma =
    0) is DDIM's and not corrected. For 5 to 20 steps.
    (Zhao et al. 2023, UniPC, algorithms 1 and 2.)
    """

    solver_order: int = 2
    variant: str = "bh2"
    prediction: str = "x0"
    corrector: bool = True
    corrector_start: int = 1
    correct_last: bool = False

    noun = "unipc"
    variants = ("solver_order=3",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_prediction(self.noun, self.prediction)
        check_order(self.noun, self.solver_order, 3)
        if self.variant not in VARIANTS:
            raise OptionError(unknown("variant of unipc", self.variant, list(VARIANTS)))
        for name in ("corrector", "correct_last"):
            if not isinstance(getattr(self, name), bool):
                raise OptionError(f"{name} of unipc is True or False, got {getattr(self, name)!r}")
        if not isinstance(self.corrector_start, int) or self.corrector_start < 1:
            raise OptionError(
                "corrector_start of unipc is the index of a level, 1 or more, got "
                f"{self.corrector_start!r}"
            )

    @property
    def order(self) -> int:
        order = self.solver_order + self.corrector
        if self.end != "full":  # the last step is UniP-1, or UniC-1
            order = min(order, 3 if self.corrector and self.correct_last else 2)
        return order

    @property
    def order_cold(self) -> int:
        if self.start == "single-step":
            return self.order
        return min(self.order, 3 if self.corrector and self.corrector_start == 1 else 2)

    def step(self, tape, x, t, s, memory):
        past, pending = memory or ((), 0)
        m = tape.evaluate(x, t, self.prediction)
        if pending:
            x = x + self._correction(past[:pending], (t, m))
        outputs, pending = ((t, m), *past), 0
        move = variation(self.prediction, t, s)
        order = self.usable(self.solver_order, len(past), tape.remaining)
        wanted = self.usable(self.solver_order, self.solver_order - 1, tape.remaining)
        if move.endless:
            y = move.carry * x + move.whole * m
        elif order < wanted and self.start == "single-step":
            y = finish(tape, x, m, t, s, self.prediction, of_order(wanted + self.corrector))
        else:
            y = move.carry * x + move.whole * m + self._pull(outputs[:order], s)
            if self.corrector and tape.step + 1 >= self.corrector_start:
                pending = order
        if self.correct_last and pending and tape.remaining == 0:
            y = tape.keep(y)
            m_s = tape.evaluate(y, s, self.prediction)
            y = y + self._correction(outputs[:order], (s, m_s))
        return y, (outputs[: self.solver_order] if t.alpha > 0.0 else (), pending)

    def _correction(self, outputs: Outputs, ahead: tuple[NoiseLevel, Term]) -> Term:
        """UniC - UniP to the level of `ahead`: the two share carry x + whole m.

        So neither the state before the step nor the corrected one is ever a tensor: the next
        prediction is one combination of the last and of the outputs.
        """
        s, _ = ahead
        return self._pull((*outputs, ahead), s) - self._pull(outputs, s)

    def _pull(self, outputs: Outputs, s: NoiseLevel) -> Term:
        """reach sum_j w_j (m_j - m) on the way from the first output's level to s."""
        (t, m), *others = outputs
        if not others:
            return Term({})
        move = variation(self.prediction, t, s)
        nodes = past_nodes(move, outputs)
        if len(others) > 1 or self.variant == "vary":
            weights = interpolation_weights(nodes, move.z)[1:]
        else:  # half of B(h), a divided difference
            b = move.whole / move.reach if self.variant == "bh2" else 1.0
            weights = [0.5 * b / nodes[1]]
        pull = Term({})
        for weight, (_, other) in zip(weights, others, strict=True):
            pull = pull + (move.reach * weight) * (other - m)
        return pull
