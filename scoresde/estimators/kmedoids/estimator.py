"""k-medoids: centres that are data, for data with outliers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from scoresde.data.dataset import Rows
from scoresde.densities import GaussianMixture
from scoresde.errors import DataError, OptionError
from scoresde.estimators.base import Estimator, Fitted, OnIteration, checked, flat
from scoresde.estimators.kmeans.centred import Frame, spans
from scoresde.estimators.kmeans.nearest import distances, fitting
from scoresde.estimators.kmeans.starts import chances, subsample
from scoresde.estimators.kmedoids.swaps import build, spread, swapped

Metric = Literal["euclidean", "manhattan"]
Start = Literal["k-means++", "build"]


def apart(x: Tensor, y: Tensor, metric: Metric) -> Tensor:
    """Distances (n, m) of rows by explicit differences: (sum_j |x_j - y_j|^p)^(1/p), p = 1, 2."""
    return torch.cdist(x, y, p=1.0) if metric == "manhattan" else distances(x, y)


@dataclass(frozen=True, kw_only=True, eq=False)
class KMedoidsModel(Fitted):
    """Medoids (k, d) in float64, the rows `indices` (k,) of the data that they are, ascending.

    `loss` is sum_i min_k d(x_i, m_k) over all data of the fit, `losses` that of every restart,
    `counts` (k,) the data nearest to each. `squares` is the sum of squared Euclidean distances of
    the data to their own medoids. `trace` is the loss after every sweep over the (sub)sample that
    the best restart swapped within; it never rises.
    """

    medoids: Tensor
    indices: Tensor
    counts: Tensor
    loss: float
    losses: tuple[float, ...]
    squares: float
    metric: Metric

    @property
    def density(self) -> GaussianMixture:
        """sum_k (N_k / n) N(x; m_k, v I), v = sum_i |x_i - m_{l(i)}|^2 / (n d), for both metrics.

        v = 0 where all data are medoids: no density, but exact once diffused.
        """
        n, (k, d) = int(self.counts.sum()), self.medoids.shape
        return GaussianMixture(
            means=self.medoids,
            covariances=self.medoids.new_full((k,), self.squares / (n * d)),
            weights=self.counts.to(torch.float64),
            event_shape=self.event_shape,
        )

    def transform(self, x: Tensor | Rows) -> Tensor:
        """The distances to all medoids, float64 (batch, k).

        Raises `DataError` for another event shape and for values that are not finite.
        """
        return torch.cat([self._no_rows(), *self._distances(x)])

    def predict(self, x: Tensor | Rows) -> Tensor:
        """The number of the nearest medoid of x (batch, *event), int64; raises as `transform`."""
        parts = [some.argmin(1) for some in self._distances(x)]
        return torch.cat([self._no_rows().argmin(1), *parts])

    def loss_of(self, x: Tensor | Rows) -> float:
        """The sum of distances of x to the nearest medoids; raises as `transform`."""
        return sum((float(some.amin(1).sum()) for some in self._distances(x)), 0.0)

    def _no_rows(self) -> Tensor:
        return self.medoids.new_zeros(0, len(self.medoids))

    def _distances(self, x: Tensor | Rows) -> Iterator[Tensor]:
        x = fitting(x, self.event_shape)
        for begin, end in spans(x):
            yield apart(self.rows(x[begin:end]), self.medoids, self.metric)

    def facts(self) -> dict[str, object]:
        return {
            "loss": self.loss,
            "losses": list(self.losses),
            "counts": self.counts.tolist(),
            "indices": self.indices.tolist(),
        }


@dataclass(frozen=True, kw_only=True)
class KMedoids(Estimator):
    """min over k data m of sum_i min_k d(x_i, m_k), until no single swap lowers it.

    Each of `restarts` starts, drawn like k-means++ with distances for squares, is swapped by
    FasterPAM (Schubert & Rousseeuw 2021), sweep after sweep until none gains or `max_iterations`
    are done, and the best is kept; the start "build" (PAM's) draws nothing and is swapped once.

    The n x n distances are held in float64: 8 n^2 bytes. Of more than `largest` data every restart
    takes a seeded subsample of that size, and the medoids with the least loss on all data are kept
    (CLARA, Kaufman & Rousseeuw 1990): then no swap within their subsample gains.

    Raises `OptionError` for options out of range, `DataError` for data with fewer than k distinct
    rows.
    """

    model: ClassVar[type[Fitted]] = KMedoidsModel

    k: int
    metric: Metric = "euclidean"
    start: Start = "k-means++"
    restarts: int = 4
    max_iterations: int = 100
    largest: int = 4096

    def __post_init__(self) -> None:
        for name in ("k", "restarts", "max_iterations", "largest"):
            value, least = getattr(self, name), self.k if name == "largest" else 1
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise OptionError(
                    f"{name} of k-medoids is a whole number >= {least}, got {value!r}"
                )
        for name, known in (("metric", get_args(Metric)), ("start", get_args(Start))):
            if getattr(self, name) not in known:
                raise OptionError(
                    f"{name} of k-medoids is one of {', '.join(known)}, got "
                    f"{getattr(self, name)!r}"
                )

    def check(self, rows: int, event_shape: tuple[int, ...]) -> None:
        if rows < self.k:
            raise DataError(f"k = {self.k} medoids need as many data, got {rows}; lower k")

    def fit(
        self, x: Tensor | Rows, *, seed: int = 0, on_iteration: OnIteration | None = None
    ) -> KMedoidsModel:
        """The model of data x (n, *event)."""
        x = checked(x)
        self.check(len(x), tuple(x.shape[1:]))
        n, frame = len(x), Frame.around(x)
        device = frame.offset.device
        whole = n <= self.largest
        rows = torch.arange(n, device=device) if whole else None
        between = self._between(frame(x[rows])) if whole else None
        fits = []
        for run in range(1 if whole and self.start == "build" else self.restarts):
            if not whole:
                rows = subsample(n, self.largest, seed=seed, run=run, device=device)
                between = self._between(frame(x[rows]))
            u = chances(seed, run, self.k, device)
            first = spread(between, u) if self.start == "k-means++" else build(between, self.k)
            medoids, trace, converged = swapped(
                between,
                first,
                unit=frame.unit,
                max_iterations=self.max_iterations,
                on_iteration=on_iteration,
            )
            told = {"trace": trace, "iterations": len(trace), "converged": converged}
            fits.append(self._model(x, frame, rows[medoids].sort().values, told))
        best = min(fits, key=lambda fit: fit.loss)
        return replace(best, losses=tuple(fit.loss for fit in fits))

    def _between(self, y: Tensor) -> Tensor:
        return apart(y, y, self.metric)

    def _model(self, x: Tensor | Rows, frame: Frame, indices: Tensor, told: dict) -> KMedoidsModel:
        """The model of medoids x[indices], judged on all data."""
        medoids = frame(x[indices])
        counts = torch.zeros(self.k, dtype=torch.int64, device=indices.device)
        loss = squares = 0.0
        for begin, end in spans(x):
            y = frame(x[begin:end])
            near, labels = apart(y, medoids, self.metric).min(1)
            counts += torch.bincount(labels, minlength=self.k)
            loss += float(near.sum()) * frame.unit
            squares += float((y - medoids[labels]).square().sum()) * frame.area
        return KMedoidsModel(
            event_shape=tuple(x.shape[1:]),
            medoids=flat(x[indices]),
            indices=indices,
            counts=counts,
            loss=loss,
            losses=(loss,),
            squares=squares,
            metric=self.metric,
            **told,
        )
