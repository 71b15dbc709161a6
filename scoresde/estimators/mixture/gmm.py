r"""Gaussian mixtures fitted to data: structure, start, restarts, and the method that climbs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from scoresde.data.dataset import Rows, blocks
from scoresde.densities import GaussianMixture
from scoresde.errors import DataError, OptionError
from scoresde.estimators.base import Estimator, Fitted, OnIteration, checked
from scoresde.estimators.mixture.em import EM
from scoresde.estimators.mixture.fitted import MixtureFit, free_parameters
from scoresde.estimators.mixture.method import Climb, Method
from scoresde.estimators.mixture.start import STARTS, Start, begin, seed_of, typical_variance
from scoresde.estimators.mixture.statistics import ELEMENTS

Structure = Literal["spherical", "diagonal", "tied", "full", "low-rank"]
STRUCTURES: tuple[Structure, ...] = ("spherical", "diagonal", "tied", "full", "low-rank")


@dataclass(frozen=True, kw_only=True)
class GMM(Estimator):
    """A mixture of k Gaussians.

    `structure` of the covariances: "spherical" v_k I, "diagonal", "tied" (one full matrix for
    all), "full", or "low-rank" W_k W_k^T + r_k I with W_k (d, `rank`): a mixture of probabilistic
    PCAs (Tipping & Bishop 1999), whose statistics take K d^2 numbers (d up to about 1,000).

    `method` climbs from `start` (`begin`); of `restarts` starts the best objective is kept.
    `floor` times the median variance of the data's columns (of those that vary) is the least
    variance in any direction: constant columns, duplicates, fewer than d + 1 data and a component
    on a single datum give a density that is narrow there, and `facts()` counts such components.
    A component that loses all data stays where it was with a weight that goes to 0.

    Raises `OptionError` for options out of range; the fit, `DataError` for fewer than k distinct
    data and for data that are all one point.
    """

    model: ClassVar[type[Fitted]] = MixtureFit

    k: int
    structure: Structure = "full"
    rank: int = 0
    method: Method = EM()  # noqa: RUF009 (frozen)
    start: Start = "kmeans"
    restarts: int = 1
    floor: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("k", "restarts"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise OptionError(f"{name} of a mixture is a whole number >= 1, got {value!r}")
        for name, known in (("structure", STRUCTURES), ("start", STARTS)):
            value = getattr(self, name)
            if value not in known:
                raise OptionError(
                    f"{name} of a mixture is one of {', '.join(known)}, got {value!r}"
                )
        low_rank = self.structure == "low-rank"
        if isinstance(self.rank, bool) or not isinstance(self.rank, int) or self.rank < low_rank:
            raise OptionError(f"low-rank covariances need a rank >= 1, got {self.rank!r}")
        if self.rank and not low_rank:
            raise OptionError(
                f"rank = {self.rank} belongs to structure = 'low-rank', got {self.structure!r}; "
                "leave one of them out"
            )
        if not isinstance(self.method, Method):
            raise OptionError(
                f"method of a mixture is one of the mixture methods, EM() say, got {self.method!r}"
            )
        if isinstance(self.floor, str) or not 0.0 < self.floor < math.inf:
            raise OptionError(
                f"floor is a share of the data's variance, above 0 and finite, got {self.floor!r}"
            )

    def check(self, rows: int, event_shape: tuple[int, ...]) -> None:
        least = max(self.k, 2)
        if rows < least:
            raise DataError(f"a mixture of k = {self.k} needs at least {least} data, got {rows}")
        if self.rank >= math.prod(event_shape):
            raise OptionError(
                f"rank = {self.rank} is no reduction of {math.prod(event_shape)} dimensions; take "
                "a smaller rank, or structure = 'full'"
            )

    def fit(
        self,
        x: Tensor | Rows,
        *,
        seed: int = 0,
        start: GaussianMixture | MixtureFit | None = None,
        on_iteration: OnIteration | None = None,
    ) -> MixtureFit:
        """The mixture of data x (n, *event), from `start` where one is given."""
        x = checked(x)
        event_shape = tuple(x.shape[1:])
        self.check(len(x), event_shape)
        floor = self.floor * typical_variance(x)
        given = None if start is None else self._checked(start, event_shape, x)
        best, objectives = None, []
        for restart in range(self.restarts):
            own = seed_of(restart, seed)
            begun = given or begin(
                x,
                k=self.k,
                structure=self.structure,
                rank=self.rank,
                kind=self.start,
                floor=floor,
                seed=own,
            )
            climb = self.method.climb(x, begun, floor=floor, seed=own, on_iteration=on_iteration)
            objectives.append(climb.trace[-1])
            if best is None or climb.trace[-1] > best.trace[-1]:
                best = climb
        return self._fitted(x, best, floor, tuple(objectives))

    def _checked(self, start, event_shape: tuple[int, ...], x) -> GaussianMixture:
        """A start that has this estimator's form, without its labels; raises `OptionError` for
        another."""
        start = getattr(start, "density", start)
        if not isinstance(start, GaussianMixture):
            raise OptionError(f"a mixture starts from a GaussianMixture, got {start!r}")
        if self.restarts > 1:
            raise OptionError(
                f"restarts = {self.restarts} draw starts of their own; leave start out, or take "
                "restarts = 1"
            )
        found = (start.structure, len(start.means), tuple(start.event_shape))
        if found != (self.structure, self.k, event_shape):
            raise OptionError(
                f"the start is {found[0]} with {found[1]} components on events {found[2]}, the "
                f"mixture to fit {self.structure} with {self.k} on {event_shape}; give a start of "
                "that form"
            )
        if self.structure == "low-rank" and start.arguments()["factors"].shape[-1] != self.rank:
            raise OptionError(
                f"the start has rank {start.arguments()['factors'].shape[-1]}, the mixture to fit "
                f"rank = {self.rank}; set the one or give the other"
            )
        given = start.arguments()
        given.pop("labels", None)  # components of a class may lose their data
        start = GaussianMixture(**given)
        return start.to(x.device) if isinstance(x, Tensor) else start

    def _fitted(self, x, climb: Climb, floor: float, objectives: tuple[float, ...]) -> MixtureFit:
        mean, error = _log_likelihood(climb.mixture, x)
        k, d = climb.mixture.means.shape
        return MixtureFit(
            event_shape=tuple(x.shape[1:]),
            trace=climb.trace,
            iterations=climb.iterations,
            converged=climb.converged,
            density=climb.mixture,
            count=len(x),
            log_likelihood=mean * len(x),
            log_likelihood_error=error,
            parameters=free_parameters(self.structure, k, d, self.rank, self.method.update),
            floor=floor,
            objectives=objectives,
            posterior=climb.posterior,
        )


def _log_likelihood(mixture: GaussianMixture, x: Tensor | Rows) -> tuple[float, float]:
    """Its mean over data and that mean's standard error, in nats."""
    k, d = mixture.means.shape
    values = []
    for block in blocks(x):
        for part in block.split(max(1, ELEMENTS // (k + d))):
            values.append(mixture.log_prob(part.to(mixture.means.device, torch.float64)))
    each = torch.cat(values)
    n = len(each)
    return float(each.mean()), float(each.std(correction=1) / math.sqrt(n)) if n > 1 else math.inf
