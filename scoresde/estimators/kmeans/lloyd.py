r"""Lloyd's iterations: every datum to its nearest centre, every centre to the mean of its data.

Neither step raises the inertia sum_i |y_i - c_{l(i)}|^2 (Lloyd 1982, MacQueen 1967).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.estimators.base import OnIteration
from scoresde.estimators.kmeans.centred import Centred
from scoresde.estimators.kmeans.nearest import Nearest, labels_of
from scoresde.estimators.kmeans.starts import too_few_distinct

SETTLED = 0.03  # share of the data that move, below which leads are tried
WORTH = 0.5  # share of the data compared, above which leads cost more than they save
FEW = 8192  # rows in float64 at once: a copy of all that move would leave the cache
STRAYED = 1e6  # times the mean square distance; a datum so far that moves takes digits along
CANCELLED = 1e-5  # an inertia of this share of the sum of squares has lost five digits of it


@dataclass(frozen=True, kw_only=True, eq=False)
class Partition:
    """Centres (k, d) in the frame of the data, and what each was given.

    `inertia` is taken at these very centres, `counts` (k,) are int64.
    """

    centres: Tensor
    counts: Tensor
    inertia: float
    trace: tuple[float, ...]
    iterations: int
    converged: bool


def inertia_at(data: Centred, centres: Tensor, labels: Tensor) -> float:
    """sum_i |y_i - c_{l(i)}|^2 by explicit differences, in the frame."""
    inertia = torch.zeros((), dtype=torch.float64, device=centres.device)
    for begin, y in data.blocks():
        gaps = (y - centres.index_select(0, labels[begin : begin + len(y)])).flatten()
        inertia += torch.dot(gaps, gaps)
    return float(inertia)


def sums_of(y: Tensor, labels: Tensor, k: int) -> Tensor:
    """The sum of each cluster's rows, (k, d), added in an order that is always the same."""
    if y.device.type == "cpu":
        return y.new_zeros(k, y.shape[1]).index_add_(0, labels, y)
    return torch.nn.functional.one_hot(labels, k).to(y.dtype).T @ y


class Clusters:
    """Labels (n,), counts and sums of the data, kept up to date by the data that move.

    So is the inertia, sum_i |y_i|^2 + sum_k (N_k c_k - 2 S_k) . c_k, unless that cancels. Once few
    data move, `leads` (n,) tell by how much a datum's centre is known to be nearer than any other:
    while that is positive it need not be compared. They are given up where they save little,
    until half as many data move.
    """

    def __init__(self, data: Centred, centres: Tensor):
        self.data, self.k = data, len(centres)
        self.leads: Tensor | None = None
        self.known = False  # whether they were ever taken
        self.settled = SETTLED * len(data)
        self.labels = labels_of(data, centres)
        self.counts = torch.bincount(self.labels, minlength=self.k)
        self.sums, self.squares = self._summed()
        self.largest = 0.0  # of |y|^2 among the data that moved since the sums were taken

    def assign(self, centres: Tensor) -> int:
        """Every datum to its nearest centre; the number of data that moved."""
        nearest, moved, compared = Nearest(centres), 0, 0
        for begin, y, norms in self.data.screening():
            block, some = slice(begin, begin + len(y)), None
            if self.leads is not None:
                some = (~(self.leads[block] > 0.0)).nonzero()[:, 0]
                if not len(some):
                    continue
                y, norms = y.index_select(0, some), norms.index_select(0, some)

            def among(rows: Tensor, begin=begin, some=some) -> Tensor:
                return begin + (rows if some is None else some.index_select(0, rows))

            new, leads = nearest.screened(
                y,
                norms,
                lambda rows, among=among: self.data.rows(among(rows)),
                leads=some is not None,
            )
            compared += len(y)
            labels = self.labels[block]
            old = labels if some is None else labels.index_select(0, some)
            away = (new != old).nonzero()[:, 0]
            if len(away):
                self.move(among(away), new.index_select(0, away))
                moved += len(away)
            if leads is not None:
                self.leads[block].index_copy_(0, some, leads.to(torch.float64))
        if self.leads is None:
            if moved < self.settled:
                self.leads = torch.zeros_like(self.labels, dtype=torch.float64)
                self.known = False
        elif self.known and compared > WORTH * len(self.data):
            self.leads, self.settled = None, 0.5 * moved
        else:
            self.known = True
        return moved

    def _summed(self) -> tuple[Tensor, float]:
        """The sums of the clusters, and sum_i |y_i|^2, by a pass over the data."""
        sums, squares = None, 0.0
        for begin, y in self.data.blocks():
            some = sums_of(y, self.labels[begin : begin + len(y)], self.k)
            sums = some if sums is None else sums.add_(some)
            squares = squares + torch.dot(y.flatten(), y.flatten())
        return sums, float(squares)

    def shifted(self, shifts: Tensor) -> None:
        """The centres have moved by so much, (k,)."""
        if self.leads is not None:
            self.leads -= (shifts + shifts.max()).index_select(0, self.labels)

    def move(self, rows: Tensor, new: Tensor) -> None:
        old = self.labels.index_select(0, rows)
        for some, ahead, before in zip(*(a.split(FEW) for a in (rows, new, old)), strict=True):
            y = self.data.rows(some)
            self.largest = max(self.largest, float(y.square().sum(1).amax()))
            self.sums += sums_of(y, ahead, self.k) - sums_of(y, before, self.k)
        self.counts += torch.bincount(new, minlength=self.k)
        self.counts -= torch.bincount(old, minlength=self.k)
        self.labels[rows] = new
        if self.leads is not None:
            self.leads[rows] = 0.0

    def fill(self, centres: Tensor) -> int:
        """Give each empty cluster the datum farthest from its centre; how many were empty.

        A datum alone in its cluster stays. Raises `DataError` where every datum lies on its
        centre, since then fewer than k are distinct.
        """
        empty = (self.counts == 0).nonzero()[:, 0]
        if not len(empty):
            return 0
        far = torch.cat(
            [
                torch.linalg.vector_norm(y - centres[self.labels[b : b + len(y)]], dim=1)
                for b, y in self.data.blocks()
            ]
        )
        for cluster in empty:
            alone = self.counts[self.labels] == 1
            row = far.masked_fill(alone, -1.0).argmax()
            if not float(far[row]) > 0.0:
                raise too_few_distinct(self.k, self.k - 1)
            self.move(row[None], cluster[None])
        return len(empty)

    def means(self) -> Tensor:
        means = self.sums / self.counts[:, None]
        if self.largest > STRAYED * self._inertia(means) / len(self.labels):
            (self.sums, _), self.largest = self._summed(), 0.0
            means = self.sums / self.counts[:, None]
        return means

    def inertia(self, centres: Tensor) -> float:
        """sum_i |y_i - c_{l(i)}|^2 to ten digits and more."""
        inertia = self._inertia(centres)
        if inertia > CANCELLED * self.squares:
            return inertia
        return inertia_at(self.data, centres, self.labels)

    def _inertia(self, centres: Tensor) -> float:
        """The same to the rounding of sum_i |y_i|^2."""
        within = (self.counts[:, None] * centres - 2.0 * self.sums) * centres
        return self.squares + float(within.sum())


def lloyd(
    data: Centred,
    centres: Tensor,
    *,
    max_iterations: int,
    tolerance: float,
    on_iteration: OnIteration | None = None,
) -> Partition:
    """Iterate from centres (k, d) of the frame, until no datum moves, or no centre moves further
    than `tolerance` times the data's root-mean-square distance from their mean."""
    clusters = Clusters(data, centres)
    spread = clusters.squares / len(data) - float(data.frame.mean.square().sum())
    least = tolerance * max(spread, 0.0) ** 0.5
    trace, converged = [], False
    for iteration in range(1, max_iterations + 1):
        moved = len(data) if iteration == 1 else clusters.assign(centres)
        moved += clusters.fill(centres)
        means = clusters.means()
        shifts = torch.linalg.vector_norm(means - centres, dim=1)
        clusters.shifted(shifts)
        centres = means
        trace.append(clusters.inertia(centres) * data.frame.area)
        if on_iteration is not None:
            on_iteration(iteration, trace[-1])
        converged = moved == 0 or float(shifts.max()) <= least
        if converged:
            break
    if moved:
        clusters.assign(centres)
    return Partition(
        centres=centres,
        counts=clusters.counts,
        inertia=clusters.inertia(centres) * data.frame.area,
        trace=tuple(trace),
        iterations=len(trace),
        converged=converged,
    )
