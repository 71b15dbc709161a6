"""k-means from seeded batches (Sculley 2010, algorithm 1)."""

from __future__ import annotations

import torch
from torch import Tensor

from scoresde.estimators.base import OnIteration
from scoresde.estimators.kmeans.centred import Centred
from scoresde.estimators.kmeans.lloyd import Partition, inertia_at
from scoresde.estimators.kmeans.nearest import Nearest, labels_of
from scoresde.kernels import Purpose, uniform

FIRST_BATCH = 2  # the step of its key; those before are of the starts


def some_batch(n: int, size: int, *, seed: int, step: int, run: int, device) -> Tensor:
    """Rows (size,) drawn from n with replacement, by (seed, step, run) alone."""
    ids = torch.arange(run * size, (run + 1) * size, device=device)
    return (uniform(seed, Purpose.FIT, step, ids, (1,))[:, 0] * n).long()


def minibatch(
    data: Centred,
    centres: Tensor,
    *,
    size: int,
    seed: int,
    run: int,
    max_iterations: int,
    tolerance: float,
    on_iteration: OnIteration | None = None,
) -> Partition:
    """Every batch goes to the nearest centres, and each centre becomes the mean of all that it
    was given so far: the rate of a datum is one over the count of its centre.

    Ends when no centre moves further than `tolerance` times the root-mean-square distance of the
    batch from the data's mean. The trace is n/size times the batch's inertia before the move, an
    unbiased estimate that may rise. A last pass assigns all data.
    """
    k, n = len(centres), len(data)
    device = centres.device
    counts = torch.zeros(k, dtype=torch.float64, device=device)
    trace, converged = [], False
    for iteration in range(1, max_iterations + 1):
        step = FIRST_BATCH + iteration - 1
        y = data.rows(some_batch(n, size, seed=seed, step=step, run=run, device=device))
        labels = Nearest(centres).of(y)
        gaps = y - centres[labels]
        given = torch.nn.functional.one_hot(labels, k).to(torch.float64)
        counts = counts + given.sum(0)
        shifts = (given.T @ gaps) / counts.clamp(min=1.0)[:, None]
        centres = centres + shifts
        trace.append(float(gaps.square().sum()) * data.frame.area * n / size)
        if on_iteration is not None:
            on_iteration(iteration, trace[-1])
        spread = float((y - data.frame.mean).square().sum()) / size
        converged = float(shifts.square().sum(1).max()) <= tolerance**2 * spread
        if converged:
            break
    labels = labels_of(data, centres)
    return Partition(
        centres=centres,
        counts=torch.bincount(labels, minlength=k),
        inertia=inertia_at(data, centres, labels) * data.frame.area,
        trace=tuple(trace),
        iterations=len(trace),
        converged=converged,
    )
