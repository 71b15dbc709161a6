"""Brownian paths on the clock SNR: the joint law of their increments, and what fixes them."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats

from scoresde.errors import OptionError
from scoresde.kernels import BrownianNoise, Noise, Purpose

NOISE = BrownianNoise(3)
# neighbours in one leaf's width, over a decade, over fifty; dyadic points and others
POINTS = [-math.inf, -57.3, -20.0, -3.0, -1.1, -1.1 + 2e-5, 0.0, 0.1, 2**-17 + 0.1, 4.0, 58.7]


def rise(start: float, end: float) -> float:
    """SNR_1 - SNR_0, without cancellation."""
    return math.exp(end) * -math.expm1(start - end)


def covariance(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Of two normalised increments: the length that they share, by the root of the product."""
    start, end = max(a[0], b[0]), min(a[1], b[1])
    if start >= end:
        return 0.0
    return math.sqrt(rise(start, end) / rise(*a)) * math.sqrt(rise(start, end) / rise(*b))


def test_increments_have_the_joint_law_of_a_path() -> None:
    """Adjoining, nested and overlapping ones: mean 0, covariances by length, normal."""
    n = 6000
    intervals = [*pairwise(POINTS), (-20.0, 0.1), (-3.0, 4.0), (-math.inf, -1.1), (-1.1, 0.1)]
    z = torch.stack(list(NOISE.increments(intervals, torch.arange(n), ()))).numpy()
    assert np.abs(z.mean(1)).max() < 4.5 / math.sqrt(n)
    expected = np.array([[covariance(a, b) for b in intervals] for a in intervals])
    error = np.sqrt((1.0 + expected**2) / n)  # of the mean of a product of unit normals
    # 105 of them: the largest of as many |N(0, 1)| exceeds 4.5 with probability 0.0007
    assert np.abs((z @ z.T / n - expected) / error).max() < 4.5
    for row in z:
        assert stats.kstest(row, "norm").pvalue > 1e-3


def test_increments_over_adjoining_intervals_add_up() -> None:
    """Over fifty decades, relative to the whole; so no step count changes a path."""
    ids = torch.arange(20)
    for start, end in ((-50.0, 60.0), (-math.inf, 3.0), (-1.0, -0.9), (57.0, 58.0)):
        whole = NOISE.increment(start, end, ids, (3,)) * math.sqrt(rise(start, end))
        for cuts in (1, 5, 40):
            inner = np.linspace(max(start, -60.0), end, cuts + 2)[1:]
            edges = [start, *inner.tolist()]
            parts = NOISE.increments(list(pairwise(edges)), ids, (3,))
            total = sum(
                z * math.sqrt(rise(*pair)) for z, pair in zip(parts, pairwise(edges), strict=True)
            )
            error = float((total - whole).abs().max()) / math.sqrt(rise(start, end))
            assert error < 1e-14 * cuts  # ends of size 1/sqrt(1 - e^-h), h = 0.1


def test_a_path_is_a_function_of_seed_and_id() -> None:
    ids = torch.tensor([0, 5, 2**33, 7])
    pairs = [(-4.0, -3.3), (-3.3, 1.0), (1.0, 1.00001)]
    whole = torch.stack(list(NOISE.increments(pairs, ids, (2, 2))))
    for i, pair in enumerate(pairs):
        assert torch.equal(NOISE.increment(*pair, ids, (2, 2)), whole[i])
        for row, id_ in enumerate(ids):
            assert torch.equal(NOISE.increment(*pair, id_[None], (2, 2))[0], whole[i, row])
    assert not torch.equal(BrownianNoise(4).increment(*pairs[0], ids, (2, 2)), whole[0])


def test_rows_may_have_intervals_of_their_own() -> None:
    ids = torch.tensor([3, 4, 5, 6])
    starts = torch.tensor([-math.inf, -2.0, 0.5, 1.0], dtype=torch.float64)
    ends = torch.tensor([-3.0, 7.0, 0.6, 1.0], dtype=torch.float64)
    rows = NOISE.increment(starts, ends, ids, (2,))
    for i in range(4):
        alone = NOISE.increment(float(starts[i]), float(ends[i]), ids[i : i + 1], (2,))[0]
        torch.testing.assert_close(rows[i], alone, rtol=0.0, atol=1e-14)
    assert bool((rows[3] == 0.0).all())  # an empty interval
    for size in (1, 3):
        parts = [
            NOISE.increment(a, b, some, (2,))
            for a, b, some in zip(*(t.split(size) for t in (starts, ends, ids)), strict=True)
        ]
        assert torch.equal(torch.cat(parts), rows)
    common = NOISE.increment(-9.0, ends, ids, (2,))
    torch.testing.assert_close(
        common[1:2], NOISE.increment(-9.0, 7.0, ids[1:2], (2,)), rtol=0.0, atol=1e-14
    )


def test_numbers_without_an_interval_are_those_of_noise() -> None:
    ids, plain = torch.arange(5), Noise(3)
    assert torch.equal(NOISE(0, Purpose.START, ids, (3,)), plain(0, Purpose.START, ids, (3,)))
    assert torch.equal(
        NOISE.uniform(2, Purpose.ACCEPT, ids, (1,)), plain.uniform(2, Purpose.ACCEPT, ids, (1,))
    )
    keys = [(0, 1, (-1.0, 0.0)), (0, 2, None), (1, 1, (0.0, 2.0)), (1, 2, None)]
    mixed = list(NOISE.many(keys, ids, (3,)))
    assert torch.equal(mixed[0], NOISE.increment(-1.0, 0.0, ids, (3,)))
    assert torch.equal(mixed[1], plain(0, 2, ids, (3,)))
    assert torch.equal(mixed[2], NOISE.increment(0.0, 2.0, ids, (3,)))
    assert torch.equal(mixed[3], plain(1, 2, ids, (3,)))


@pytest.mark.parametrize(
    ("start", "end"),
    [(0.5, 0.4), (-129.0, 0.0), (0.0, math.inf), (math.nan, 0.0), (0.0, math.nan), (1.0, 128.5)],
)
def test_an_interval_off_the_clock_is_named(start: float, end: float) -> None:
    ids = torch.arange(2)
    with pytest.raises(OptionError, match=f"{start} to {end}"):
        NOISE.increment(start, end, ids, (1,))
    ends = torch.tensor([1.0, end], dtype=torch.float64)
    with pytest.raises(OptionError, match=f"{start} to {end}"):
        NOISE.increment(torch.tensor([0.0, start], dtype=torch.float64), ends, ids, (1,))
    with pytest.raises(OptionError, match="seed"):
        BrownianNoise(-1)
