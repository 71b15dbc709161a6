r"""Expectation maximisation, whole or in part.

E: r_nk = softmax_k(log w_k + log N(x_n; mu_k, Sigma_k)).  M: the parameters that maximise
sum_nk r_nk log(w_k N(x_n; mu_k, Sigma_k)), in closed form (`estimate`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from scoresde.data.dataset import Rows
from scoresde.densities import GaussianMixture
from scoresde.errors import NonFiniteError, OptionError
from scoresde.estimators.base import OnIteration
from scoresde.estimators.mixture.estimate import PARTS, Part, estimate
from scoresde.estimators.mixture.method import Climb, Method
from scoresde.estimators.mixture.statistics import Statistics, gather, log_joint_of


@dataclass(frozen=True, kw_only=True)
class EM(Method):
    r"""The log-likelihood per datum never falls, by more than rounding, from one iteration to the
    next (Dempster, Laird & Rubin 1977).

    `update` names the parts that the M-step moves; the others stay as the start has them, and the
    likelihood still never falls (Neal & Hinton 1998).

    `floor_by` says how variances are kept from collapse. "clamp": eigenvalues below the floor are
    lifted to it, the exact M-step under that constraint. "add": the floor is added to every
    variance, as scikit-learn's reg_covar; then the likelihood may fall by O(floor) close to its
    maximum. The trace is the log-likelihood after each iteration: one pass over the data each,
    and one for the start.
    """

    update: tuple[Part, ...] = PARTS
    floor_by: Literal["clamp", "add"] = "clamp"

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [self.update] if isinstance(self.update, str) else list(self.update)
        if not names or len(set(names)) < len(names) or set(names) - set(PARTS):
            raise OptionError(
                f"update of EM is some of {', '.join(PARTS)}, each once, got {self.update}"
            )
        object.__setattr__(self, "update", tuple(names))
        if self.floor_by not in ("clamp", "add"):
            raise OptionError(f"floor_by of EM is 'clamp' or 'add', got {self.floor_by!r}")

    def climb(
        self,
        x: Tensor | Rows,
        start: GaussianMixture,
        *,
        floor: float,
        seed: int = 0,
        on_iteration: OnIteration | None = None,
    ) -> Climb:
        """Raises `NonFiniteError` where the likelihood leaves the finite numbers."""
        held = start.arguments()
        rank = held["factors"].shape[-1] if start.structure == "low-rank" else 0
        ridge = floor if self.floor_by == "add" else 0.0
        mixture, statistics = start, _expectation(x, start, 0)
        value = statistics.log_normaliser / statistics.rows
        trace, converged = [], False
        while len(trace) < self.max_iterations and not converged:
            held |= estimate(
                statistics,
                floor,
                start.structure,
                rank,
                update=self.update,
                held=held,
                ridge=ridge,
            )
            mixture, before = GaussianMixture(**held), value
            statistics = _expectation(x, mixture, len(trace) + 1)
            value = statistics.log_normaliser / statistics.rows
            trace.append(value)
            converged = value == before or abs(value - before) < self.tolerance
            if on_iteration is not None:
                on_iteration(len(trace), value)
        return Climb(
            mixture=mixture, trace=tuple(trace), iterations=len(trace), converged=converged
        )


def _expectation(x: Tensor | Rows, mixture: GaussianMixture, iteration: int) -> Statistics:
    found = gather(x, log_joint_of(mixture), mixture.structure, mixture.means)
    if not math.isfinite(found.log_normaliser):
        raise NonFiniteError(
            f"the log-likelihood is {found.log_normaliser} after iteration {iteration}; bring the "
            "data to numbers of moderate size, or raise the floor"
        )
    return found
