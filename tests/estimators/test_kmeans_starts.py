"""Laws of the starts of k-means: k-means++ and random rows."""

import math

import numpy as np
import torch

from scoresde.estimators import KMeans
from scoresde.estimators.kmeans.centred import Centred, Frame
from scoresde.estimators.kmeans.starts import k_means_plus_plus, some_rows

RNG = np.random.default_rng(12)
X = torch.from_numpy(
    RNG.normal(size=(600, 5)) + 3.0 * RNG.normal(size=(6, 5))[RNG.integers(6, size=600)]
)


def test_k_means_plus_plus_draws_by_squared_distance() -> None:
    """p(j | i) = D_ij^2 / sum_j D_ij^2, by an even grid of uniform numbers for the second."""
    x = torch.tensor([[0.0], [1.0], [3.0], [3.0], [10.0]]).double()
    data, grid = Centred(x, Frame.around(x)), 80
    for i, squares in enumerate((x - x.T).square()):
        counts = torch.zeros(5).double()
        for share in range(grid):
            u = torch.tensor([(i + 0.5) / 5, (share + 0.5) / grid]).double()
            first, second = k_means_plus_plus(data, 2, u).tolist()
            assert first == i
            assert squares[second] > 0.0
            counts[second] += 1
        assert bool(((counts - grid * squares / squares.sum()).abs() <= 1.0).all())


def test_k_means_plus_plus_keeps_the_bound_of_its_theorem() -> None:
    """E[inertia at the start] <= 8 (ln k + 2) optimum (Arthur & Vassilvitskii 2007, theorem 1.1),
    and greedy trials lower it."""
    data = Centred(X, Frame.around(X))
    best = KMeans(k=6, restarts=4).fit(X).inertia
    mean = {}
    for candidates in (1, 4):
        starts = [
            k_means_plus_plus(data, 6, torch.from_numpy(u), candidates)
            for u in RNG.uniform(size=(25, 1 + 5 * candidates))
        ]
        inertias = [float(torch.cdist(X, X[rows]).amin(1).square().sum()) for rows in starts]
        mean[candidates] = sum(inertias) / 25
    assert best < mean[4] < mean[1] <= 8 * (math.log(6) + 2) * best


def test_random_rows_are_every_subset_alike() -> None:
    counts: dict[tuple, int] = {}
    for u in torch.from_numpy(RNG.uniform(size=(3000, 2))):
        rows = tuple(sorted(some_rows(4, 2, u).tolist()))
        counts[rows] = counts.get(rows, 0) + 1
    assert len(counts) == 6
    assert sum((c - 500) ** 2 / 500 for c in counts.values()) < 5 + 5 * math.sqrt(10)
