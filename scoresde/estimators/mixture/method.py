"""How a mixture is climbed from a start: the interface of EM, gradient ascent, CAVI and SVI."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from torch import Tensor

from scoresde.data.dataset import Rows
from scoresde.densities import GaussianMixture
from scoresde.estimators.base import OnIteration


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

    max_iterations: int = 200
    tolerance: float = 1e-6

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

        `floor` is the variance added to the diagonal of every estimated covariance, in squared
        units of the data, against collapse onto a datum.
        """
