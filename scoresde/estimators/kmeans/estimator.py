"""k-means: the least sum of squared distances to k centres, and the mixture that it stands for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from scoresde.data.dataset import Rows
from scoresde.densities import GaussianMixture
from scoresde.densities.base import as_float64
from scoresde.errors import DataError, OptionError
from scoresde.estimators.base import Estimator, Fitted, OnIteration, checked
from scoresde.estimators.kmeans.centred import Centred, Frame, spans
from scoresde.estimators.kmeans.lloyd import Partition, lloyd
from scoresde.estimators.kmeans.minibatch import minibatch
from scoresde.estimators.kmeans.nearest import distances, fitting, nearest_of
from scoresde.estimators.kmeans.starts import (
    chances,
    k_means_plus_plus,
    some_rows,
    subsample,
)

Start = Literal["k-means++", "random"]


@dataclass(frozen=True, kw_only=True, eq=False)
class KMeansModel(Fitted):
    """Centres (k, d) in float64 and the number of data nearest to each, `counts` (k,) of int64.

    `inertia` is sum_i min_k |x_i - c_k|^2 over the data of the fit, in squared units of the data;
    `inertias` holds that of every restart. `trace` is the inertia after every iteration of the
    best one, which never rises; for minibatches an unbiased estimate, which may.
    """

    centres: Tensor
    counts: Tensor
    inertia: float
    inertias: tuple[float, ...]

    @property
    def density(self) -> GaussianMixture:
        """sum_k (N_k / n) N(x; c_k, v I) with v = inertia / (n d).

        The spherical mixture that is most likely when every datum is given to one component: its
        own centre's (Celeux & Govaert 1992). v = 0 where all data lie on the centres: no density,
        but exact once diffused.
        """
        n, (k, d) = int(self.counts.sum()), self.centres.shape
        variance = self.inertia / (n * d)
        return GaussianMixture(
            means=self.centres,
            covariances=self.centres.new_full((k,), variance),
            weights=self.counts.to(torch.float64),
            event_shape=self.event_shape,
        )

    def predict(self, x: Tensor | Rows) -> Tensor:
        """The number of the nearest centre of x (batch, *event), int64; of equals the first.

        Raises `DataError` for another event shape and for values that are not finite.
        """
        return nearest_of(x, self.centres, self.event_shape)

    def transform(self, x: Tensor | Rows) -> Tensor:
        """The distances to all centres, float64 (batch, k); raises as `predict`."""
        x = fitting(x, self.event_shape)
        parts = [distances(self.rows(x[a:b]), self.centres) for a, b in spans(x)]
        return torch.cat(parts) if parts else self.centres.new_zeros(0, len(self.centres))

    def inertia_of(self, x: Tensor | Rows) -> float:
        """The sum of squared distances of x to the nearest centres; raises as `predict`."""
        x = fitting(x, self.event_shape)
        labels = self.predict(x)
        gaps = (self.rows(x[a:b]) - self.centres[labels[a:b]] for a, b in spans(x))
        return sum((float(gap.square().sum()) for gap in gaps), 0.0)

    def facts(self) -> dict[str, object]:
        return {
            "inertia": self.inertia,
            "inertias": list(self.inertias),
            "counts": self.counts.tolist(),
        }


@dataclass(frozen=True, kw_only=True)
class KMeans(Estimator):
    """min_c sum_i min_k |x_i - c_k|^2, by Lloyd's iterations or by minibatches.

    The best of `restarts` climbs is kept, each from its own start: k-means++ (with `candidates`
    greedy trials a centre) or k distinct rows at random. A climb ends when no datum changes its
    centre, when no centre moves further than `tolerance` times the data's root-mean-square
    distance from their mean, or after `max_iterations`. A centre left without data is given the
    datum farthest from its own. `minibatch` data a step, where positive, take the place of whole
    passes (Sculley 2010); they start among a seeded choice of max(3 minibatch, 10 k) data, and a
    centre may then end without data, with weight 0 in the density.

    The nearest centres are exact to the rounding of float64, whatever the data's offset and scale.
    Memory beyond the data: a few numbers a row, and a copy of at most 256 MB in float32, which
    float32 data that lie about the origin do without.

    Raises `OptionError` for options out of range, `DataError` for data with fewer than k rows or,
    where that shows, fewer than k distinct ones.
    """

    model: ClassVar[type[Fitted]] = KMeansModel

    k: int
    start: Start = "k-means++"
    candidates: int = 4
    restarts: int = 4
    max_iterations: int = 300
    tolerance: float = 1e-4
    minibatch: int = 0

    def __post_init__(self) -> None:
        for name, least in (
            ("k", 1),
            ("candidates", 1),
            ("restarts", 1),
            ("max_iterations", 1),
            ("minibatch", 0),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise OptionError(f"{name} of k-means is a whole number >= {least}, got {value!r}")
        if self.start not in get_args(Start):
            raise OptionError(
                f"start of k-means is one of {', '.join(get_args(Start))}, got {self.start!r}; "
                "centres of your own go to fit(x, start=centres)"
            )
        if not 0.0 <= self.tolerance < math.inf:
            raise OptionError(
                f"tolerance of k-means is a share of the data's spread, at least 0, got "
                f"{self.tolerance!r}"
            )

    def check(self, rows: int, event_shape: tuple[int, ...]) -> None:
        if rows < self.k:
            raise DataError(f"k = {self.k} centres need as many data, got {rows}; lower k")

    def fit(
        self,
        x: Tensor | Rows,
        *,
        seed: int = 0,
        start: Tensor | None = None,
        on_iteration: OnIteration | None = None,
    ) -> KMeansModel:
        """The model of data x (n, *event).

        `start` gives the first centres, (k, d) or (k, *event), and is climbed from once.
        """
        x = checked(x.detach() if isinstance(x, Tensor) else x)
        event_shape = tuple(x.shape[1:])
        self.check(len(x), event_shape)
        if start is not None:
            start = self._centres(start, event_shape)
        data = Centred(x, Frame.around(x))
        runs = range(self.restarts if start is None else 1)
        fits = []
        for run in runs:
            if start is None:
                centres = data.rows(self._rows(data, seed, run))
            else:
                centres = data.frame(start.to(data.frame.offset.device))
            fits.append(self._climb(data, centres, seed, run, on_iteration))
        best = min(fits, key=lambda fit: fit.inertia)
        return KMeansModel(
            event_shape=event_shape,
            trace=best.trace,
            iterations=best.iterations,
            converged=best.converged,
            centres=data.frame.back(best.centres),
            counts=best.counts,
            inertia=best.inertia,
            inertias=tuple(fit.inertia for fit in fits),
        )

    def _centres(self, start, event_shape: tuple[int, ...]) -> Tensor:
        start = as_float64("start", start, tuple({2, 1 + len(event_shape)}))
        # of vectors both are one shape
        shapes = dict.fromkeys(((self.k, math.prod(event_shape)), (self.k, *event_shape)))
        if tuple(start.shape) not in shapes:
            raise OptionError(
                f"start has shape {tuple(start.shape)}; k = {self.k} centres of events "
                f"{event_shape} need {' or '.join(map(str, shapes))}"
            )
        return start

    def _rows(self, data: Centred, seed: int, run: int) -> Tensor:
        """The rows (k,) where a run starts."""
        n, device = len(data), data.frame.offset.device
        few = max(3 * self.minibatch, 10 * self.k) if self.minibatch else n
        if few < n:
            some = subsample(n, few, seed=seed, run=run, device=device)
            data = Centred(data.x[some], data.frame)
        if self.start == "random":
            rows = some_rows(len(data), self.k, chances(seed, run, self.k, device))
        else:
            u = chances(seed, run, 1 + (self.k - 1) * self.candidates, device)
            rows = k_means_plus_plus(data, self.k, u, self.candidates)
        return some[rows] if few < n else rows

    def _climb(
        self, data: Centred, centres: Tensor, seed: int, run: int, on_iteration: OnIteration | None
    ) -> Partition:
        stops = {"max_iterations": self.max_iterations, "tolerance": self.tolerance}
        if not self.minibatch:
            return lloyd(data, centres, **stops, on_iteration=on_iteration)
        return minibatch(
            data,
            centres,
            size=self.minibatch,
            seed=seed,
            run=run,
            **stops,
            on_iteration=on_iteration,
        )
