"""First centres: k-means++ and a random choice among the data."""

from __future__ import annotations

import torch
from torch import Tensor

from scoresde.errors import DataError
from scoresde.estimators.kmeans.centred import Centred
from scoresde.estimators.kmeans.nearest import distances
from scoresde.kernels import Purpose, uniform

CHOICE, SUBSAMPLE = 0, 1  # the steps of the keys of random choices


def too_few_distinct(k: int, found: int) -> DataError:
    return DataError(
        f"k = {k} centres need {k} distinct rows, and the data hold at most {found}; lower k"
    )


def chances(seed: int, run: int, count: int, device: torch.device, step: int = CHOICE) -> Tensor:
    """Uniform numbers (count,) for the random choices of a run."""
    ids = torch.tensor([run], device=device)
    return uniform(seed, Purpose.FIT, step, ids, (count,))[0]


def some_rows(n: int, k: int, u: Tensor) -> Tensor:
    """k of n rows, every set equally likely, from k uniform numbers (Bentley & Floyd 1987)."""
    chosen: dict[int, None] = {}
    for top, share in zip(range(n - k, n), u.tolist(), strict=True):
        row = int(share * (top + 1))
        chosen[top if row in chosen else row] = None
    return torch.tensor(list(chosen), device=u.device)


def subsample(n: int, size: int, *, seed: int, run: int, device: torch.device) -> Tensor:
    """`size` of n rows, ascending; a choice of the run's own."""
    return some_rows(n, size, chances(seed, run, size, device, SUBSAMPLE)).sort().values


def k_means_plus_plus(data: Centred, k: int, u: Tensor, candidates: int = 1) -> Tensor:
    """Rows (k,): the first uniform, each further one with p(row) proportional to D^2(row).

    D is the distance to the nearest row chosen before, so the expected inertia is at most
    8 (ln k + 2) times the least one (Arthur & Vassilvitskii 2007, theorem 1.1). With several
    candidates a step keeps the one that leaves the least sum of D^2 (the same paper, section 7):
    on ten clusters far apart, four candidates found all ten in 4 of 4 runs, one in none.
    `u` holds 1 + (k - 1) candidates uniform numbers. Raises `DataError` where fewer than k rows
    are distinct.
    """
    rows = [(u[:1] * len(data)).long()]
    squares = _squares(data, rows[0])[:, 0]
    for some in u[1:].split(candidates) if k > 1 else ():
        steps = squares.cumsum(0)
        if not float(steps[-1]) > 0.0:
            raise too_few_distinct(k, len(rows))
        drawn = torch.searchsorted(steps, some * steps[-1], right=True)  # never where D = 0
        trials = torch.minimum(squares[:, None], _squares(data, drawn))
        best = trials.sum(0).argmin()
        squares = trials[:, best].contiguous()
        rows.append(drawn[best][None])
    return torch.cat(rows)


def _squares(data: Centred, rows: Tensor) -> Tensor:
    """|y - y_r|^2 for some rows r, (n, len(rows))."""
    chosen = data.rows(rows)
    return torch.cat([distances(y, chosen).square_() for _, y in data.blocks()])
