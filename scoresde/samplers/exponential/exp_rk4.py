"""Exponential Runge-Kutta of order 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.samplers.base import GridSampler
from scoresde.samplers.exponential.tableaus import (
    Tableau,
    cox_matthews,
    hochbruck_ostermann,
    krogstad,
    take,
)
from scoresde.samplers.exponential.variation import check_prediction

TABLES = {
    "cox-matthews": cox_matthews,
    "krogstad": krogstad,
    "hochbruck-ostermann": hochbruck_ostermann,
}


@dataclass(frozen=True, kw_only=True)
class ExpRK4(GridSampler):
    r"""x_s = (sigma_s/sigma_t) x + alpha_s h sum_i b_i(-h) x0(X_i, u = c_i),  sum_i b_i = phi_1.

    Here h = lambda_s - lambda_t with lambda = log(alpha/sigma) as time. Deterministic, order 4,
    four evaluations a step, five for `hochbruck-ostermann` (one to sigma = 0 or from alpha = 0:
    DDIM). For accurate flows at a fixed cost. The stiff order of these tables (2, 3 and 4)
    concerns linear parts of large norm; here that part is one number and exact, and on a mixture
    the errors of the two tables of four stages are alike, from 4 to 160 steps, where the one of
    five has up to 5 times as much. (Cox & Matthews 2002; Krogstad 2005; Hochbruck & Ostermann
    2005.)
    """

    table: str = "cox-matthews"
    prediction: str = "x0"

    noun: ClassVar[str] = "exp-rk4"
    order = 4
    order_cold = 4

    def __post_init__(self) -> None:
        check_prediction(self.noun, self.prediction)
        if self.table not in TABLES:
            raise OptionError(unknown("table of exp-rk4", self.table, list(TABLES)))

    @property
    def tableau(self) -> Tableau:
        return TABLES[self.table]()

    @property
    def evaluations(self) -> int:
        return self.tableau.stages

    def step(self, tape, x, t, s, memory):
        return take(tape, x, t, s, self.prediction, self.tableau), None
