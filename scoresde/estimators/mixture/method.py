"""How a mixture is climbed from a start: the interface of EM, gradient ascent, CAVI and SVI."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from scoresde.data.dataset import Rows
from scoresde.densities import GaussianMixture
from scoresde.errors import OptionError
from scoresde.estimators.base import OnIteration
from scoresde.estimators.mixture.estimate import PARTS, Part


@dataclass(frozen=True, kw_only=True, eq=False)
class Climb:
    """Where a method arrived. `trace` is its objective in nats per datum, one entry an iteration.

    `posterior` holds the parameters of a variational posterior, by name; empty for point
    estimates.
    """

    mixture: GaussianMixture
    trace: tuple[float, ...]
    iterations: int
    converged: bool
    posterior: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """Options of a climb; a member is chosen by name in `GMM(method=...)`.

    A climb ends when the objective gains less than `tolerance` nats per datum in an iteration,
    or after `max_iterations`.
    """

    update: ClassVar[tuple[Part, ...]] = PARTS  # what the climb moves; a member may offer less

    max_iterations: int = 200
    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        own = type(self).__name__
        steps = self.max_iterations
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise OptionError(f"max_iterations of {own} is a whole number >= 1, got {steps!r}")
        if isinstance(self.tolerance, str) or not 0.0 <= self.tolerance < math.inf:
            raise OptionError(
                f"tolerance of {own} is a finite gain in nats per datum >= 0, got "
                f"{self.tolerance!r}; 0 runs to max_iterations or until nothing is gained"
            )

    @abstractmethod
    def climb(
        self,
        x: Tensor | Rows,
        start: GaussianMixture,
        *,
        floor: float,
        seed: int = 0,
        on_iteration: OnIteration | None = None,
    ) -> Climb:
        """Climb from `start`, keeping its structure; data x (n, *event), checked by the caller.

        No variance of an estimated covariance, in any direction, falls below `floor`, in squared
        units of the data: a component on one datum stays a density.
        """
