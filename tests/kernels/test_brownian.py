"""Brownian paths as functions of the sample's id: laws of increments."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats

from scoresde.errors import OptionError
from scoresde.kernels import increment

POINTS = [0.0, 0.1, 1 / 3, 0.5, 0.5 + 2**-20, 0.6180339887, 0.75, 0.9, 1.0]


def paths(ids: torch.Tensor, points: list[float], seed: int = 0) -> np.ndarray:
    """W at each point, (ids, points)."""
    return torch.stack([increment(seed, ids, (1,), 0.0, u)[:, 0] for u in points], 1).numpy()


def test_increments_add_up_over_any_partition() -> None:
    ids = torch.arange(50)
    whole = increment(1, ids, (2, 3), 0.1, 0.9)
    for cuts in (4, 9):
        edges = np.linspace(0.1, 0.9, cuts + 1)
        parts = [increment(1, ids, (2, 3), float(a), float(b)) for a, b in pairwise(edges)]
        torch.testing.assert_close(sum(parts), whole, rtol=0.0, atol=1e-14 * cuts)


def test_mean_variance_covariance_and_normality() -> None:
    n = 10_000
    w = paths(torch.arange(n), POINTS[1:])
    assert np.abs(w.mean(0) / np.sqrt(POINTS[1:])).max() < 4 / math.sqrt(n)
    expected = np.minimum.outer(POINTS[1:], POINTS[1:])
    got = w.T @ w / n
    # var of a product of normals: E[a^2 b^2] - E[ab]^2 = u v + min(u, v)^2
    error = np.sqrt((np.outer(POINTS[1:], POINTS[1:]) + expected**2) / n)
    assert np.abs((got - expected) / error).max() < 4.0
    for a, b in ((0.1, 1 / 3), (1 / 3, 0.6180339887), (0.5, 0.5 + 2**-20), (0.9, 1.0)):
        step = increment(0, torch.arange(n), (1,), a, b)[:, 0].numpy() / math.sqrt(b - a)
        assert stats.kstest(step, "norm").pvalue > 0.01, (a, b)


def test_increments_are_independent_of_each_other_and_of_other_paths() -> None:
    n = 4000
    w = np.concatenate([paths(torch.arange(n), POINTS), paths(torch.arange(n), POINTS, 1)], 1)
    steps = np.delete(np.diff(w, axis=1), len(POINTS) - 1, axis=1)  # not across the two seeds
    across = np.corrcoef(steps.T) - np.eye(steps.shape[1])
    assert np.abs(across).max() * math.sqrt(n) < 4.5
    neighbours = np.corrcoef(steps[:-1, 3], steps[1:, 3])[0, 1]
    assert abs(neighbours) * math.sqrt(n) < 4.0


def test_a_path_does_not_depend_on_the_batch() -> None:
    ids = torch.tensor([0, 5, 2**33, 7])
    together = increment(2, ids, (3,), 0.2, 0.7)
    for i, id_ in enumerate(ids):
        assert torch.equal(increment(2, id_[None], (3,), 0.2, 0.7)[0], together[i])


@pytest.mark.parametrize("steps", [10, 16, 30])
def test_the_path_is_the_same_for_every_step_count(steps: int) -> None:
    ids = torch.arange(5)
    edges = [i / steps for i in range(steps + 1)]
    middle = edges.index(0.5)
    first = sum(increment(3, ids, (1,), a, b) for a, b in pairwise(edges[: middle + 1]))
    torch.testing.assert_close(
        first, increment(3, ids, (1,), 0.0, 0.5), rtol=0.0, atol=1e-15 * steps
    )


@pytest.mark.parametrize(("u0", "u1"), [(0.5, 0.4), (-0.1, 0.4), (0.1, 1.1), (math.nan, 0.5)])
def test_an_interval_off_the_clock_is_named(u0: float, u1: float) -> None:
    with pytest.raises(OptionError, match=f"{u0} and {u1}"):
        increment(0, torch.arange(2), (1,), u0, u1)


def test_an_empty_interval_has_no_increment() -> None:
    assert torch.equal(increment(0, torch.arange(3), (2,), 0.3, 0.3), torch.zeros(3, 2).double())
