r"""The least sum of distances to k data, by swaps of a medoid for another datum.

For a swap of medoid i for datum c, with near(o) and second(o) the distances of datum o to its
nearest and second nearest medoid, the loss sum_o near(o) changes by

    sum_o min(d_co - near(o), 0) + sum_{o of i} [clamp(d_co, near(o), second(o)) - near(o)],

so all k swaps for one datum cost O(n) beyond a product (Schubert & Rousseeuw 2021, FasterPAM).
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoresde.estimators.base import OnIteration
from scoresde.estimators.kmeans.starts import too_few_distinct

CANDIDATES = 32  # data whose swaps are weighed at once; the best of them is made at once
GAIN = 1e-12  # of the loss: less is rounding


def build(apart: Tensor, k: int) -> Tensor:
    """Medoids (k,), each the datum that lowers the loss most (PAM's BUILD, Kaufman & Rousseeuw
    1990); `apart` holds the distances (n, n). Raises `DataError` where fewer are distinct."""
    near = apart.max().expand(len(apart))
    chosen: list[Tensor] = []
    for _ in range(k):
        if not float(near.max()) > 0.0 and chosen:
            raise too_few_distinct(k, len(chosen))
        losses = [torch.minimum(some, near).sum(1) for some in apart.split(CANDIDATES)]
        chosen.append(torch.cat(losses).argmin())
        near = torch.minimum(near, apart[chosen[-1]])
    return torch.stack(chosen)


def spread(apart: Tensor, u: Tensor) -> Tensor:
    """Medoids (k,): the first uniform, each further one with p proportional to the distance to
    the nearest before (k-means++ with the loss's own power); from uniform numbers u (k,)."""
    chosen = [(u[0] * len(apart)).long()]
    near = apart[chosen[0]]
    for share in u[1:]:
        steps = near.cumsum(0)
        if not float(steps[-1]) > 0.0:
            raise too_few_distinct(len(u), len(chosen))
        chosen.append(torch.searchsorted(steps, share * steps[-1], right=True))  # never near = 0
        near = torch.minimum(near, apart[chosen[-1]])
    return torch.stack(chosen)


class Swaps:
    """Medoids (k,) of data with distances `apart` (n, n), and what a swap would gain."""

    def __init__(self, apart: Tensor, medoids: Tensor):
        self.apart, self.medoids = apart, medoids.clone()
        self.widest = float(apart.max())
        self._update()

    def _update(self) -> None:
        distances = self.apart[self.medoids]  # (k, n)
        self.near, own = distances.min(0)
        second = distances.scatter_(0, own[None], torch.inf).amin(0)
        self.second = second.clamp(max=self.widest)  # of one medoid alone any bound will do
        self.here = torch.nn.functional.one_hot(own, len(self.medoids)).to(distances.dtype)
        self.loss = float(self.near.sum())

    def changes(self, apart: Tensor) -> Tensor:
        """The changes of the loss by each swap (m, k) of a medoid for m data, given by rows."""
        own = apart.clamp(self.near, self.second) @ self.here - self.near @ self.here
        return own + (torch.minimum(apart, self.near).sum(1, keepdim=True) - self.loss)

    def sweep(self) -> int:
        """Weigh every datum once, making swaps that gain as they are found; how many were made."""
        made = 0
        for begin in range(0, len(self.apart), CANDIDATES):
            changes = self.changes(self.apart[begin : begin + CANDIDATES])
            best = int(changes.argmin())
            if not float(changes.view(-1)[best]) < -GAIN * self.loss:
                continue
            datum, place = divmod(best, len(self.medoids))
            self.medoids[place] = begin + datum
            self._update()
            made += 1
        return made


def swapped(
    apart: Tensor,
    medoids: Tensor,
    *,
    unit: float = 1.0,
    max_iterations: int,
    on_iteration: OnIteration | None = None,
) -> tuple[Tensor, tuple[float, ...], bool]:
    """Medoids, the loss after every sweep, and whether the last one found no swap that gains.

    Losses are told in units of the data, `unit` times those of the distances.
    """
    swaps = Swaps(apart, medoids)
    trace, made = [], 1
    while made and len(trace) < max_iterations:
        made = swaps.sweep()
        trace.append(swaps.loss * unit)
        if on_iteration is not None:
            on_iteration(len(trace), trace[-1])
    return swaps.medoids, tuple(trace), made == 0
