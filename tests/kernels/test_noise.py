"""Noise is a function of (seed, purpose, step, id, element), and it is normal."""

import hashlib
import math

import numpy as np
import pytest
import torch
from reference_noise import normals, uniforms
from scipy import stats

from scoresde.errors import OptionError
from scoresde.kernels import Noise, Purpose, normal, philox, uniform
from scoresde.kernels.box_muller import box_muller

VECTORS = [  # Random123, kat_vectors: philox4x32 10
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


DIGEST = "0b67af5c9a26563de6967ffccbee36a08c9a7ccc4d5dbd6313030a58867ffbe4"


def ints(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


def ids_of(*ids: int) -> torch.Tensor:
    return torch.tensor(ids, dtype=torch.int64)


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_random123_vectors(counter: str, key: str, expected: str) -> None:
    words = philox(*(torch.tensor([c]) for c in ints(counter)), *ints(key))
    assert [int(w) for w in words] == ints(expected)


KEYS = [
    (0, 0, 0, 0),
    (7, 1, 3, 5),
    (2**32 - 1, 10, 2**32 - 1, 2**32 + 9),
    (123456789, 5, 99, 2**62 + 2**33 + 1),
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 64])
def test_documented_layout(key: tuple[int, ...], count: int) -> None:
    seed, purpose, step, id_ = key
    assert uniform(seed, purpose, step, ids_of(id_), (count,))[0].tolist() == uniforms(*key, count)
    got = normal(seed, purpose, step, ids_of(id_), (count,))[0]
    assert got.dtype == torch.float64
    torch.testing.assert_close(
        got, torch.tensor(normals(*key, count), dtype=torch.float64), rtol=4e-15, atol=4e-16
    )


def ulps(got: torch.Tensor, exact: np.ndarray) -> float:
    return float(np.max(np.abs(got.numpy() - exact) / np.spacing(np.abs(exact))))


def test_normals_are_within_eight_ulp_of_box_and_muller() -> None:
    """Four of the series, three of the reference's log and root, one of the product."""
    words = np.concatenate([
        np.random.default_rng(0).integers(0, 2**32, 20_000),
        np.arange(500), 2**32 - 1 - np.arange(500),
        np.concatenate([q * 2**29 + np.arange(-300, 300) for q in range(1, 8)]),
        int(2**31.5) + np.arange(-300, 300),  # m about sqrt(1/2)
    ])  # fmt: skip
    others = np.random.default_rng(1).permutation(words)
    radius = np.array([math.sqrt(-2.0 * math.log((w + 0.5) / 2**32)) for w in words])
    # cos(2 pi u) of the real number pi, by reduction to an eighth turn before any rounding
    exact = np.array([turn(int(w)) for w in others]) * radius[:, None]
    got = box_muller(torch.from_numpy(words), torch.from_numpy(others))
    assert ulps(got[0], exact[:, 0]) <= 8
    assert ulps(got[1], exact[:, 1]) <= 8


def turn(word: int) -> tuple[float, float]:
    """(cos, sin) of 2 pi (word + 1/2)/2^32, by symmetry from an angle of at most pi/4."""
    eighth, place = divmod(2 * word + 1, 2**30)  # eighths of a turn of 2^33 half-words
    if eighth % 2:
        place = 2**30 - place
    angle = 2.0 * math.pi * place / 2**33
    near, far = math.cos(angle), math.sin(angle)
    c, s = (near, far) if eighth in (0, 3, 4, 7) else (far, near)
    return (c if eighth in (0, 1, 6, 7) else -c), (s if eighth < 4 else -s)


@pytest.mark.parametrize("draw", [normal, uniform])
def test_bits_do_not_depend_on_the_batch(draw) -> None:
    ids = torch.cat([torch.arange(61), ids_of(2**32, 2**40 + 3, 2**62)])
    whole = draw(3, Purpose.STEP, 17, ids, (3, 5))
    for size in (1, 7, 64):
        parts = [draw(3, Purpose.STEP, 17, part, (3, 5)) for part in ids.split(size)]
        assert torch.equal(torch.cat(parts), whole)
    order = torch.from_numpy(np.random.default_rng(1).permutation(64))
    assert torch.equal(draw(3, Purpose.STEP, 17, ids[order], (3, 5)), whole[order])
    assert torch.equal(draw(3, Purpose.STEP, 17, ids, (15,)), whole.reshape(64, 15))
    # a longer event begins with the same numbers: element j is a function of j
    assert torch.equal(draw(3, Purpose.STEP, 17, ids, (40,))[:, :15], whole.reshape(64, 15))


def test_normality_and_independence() -> None:
    ids, n = torch.arange(2000), 2000
    columns = [normal(0, Purpose.STEP, step, ids, (25,)) for step in (0, 1)]
    columns.append(normal(0, Purpose.CHURN, 0, ids, (25,)))
    columns.append(normal(1, Purpose.STEP, 0, ids, (25,)))
    everything = torch.cat(columns, dim=1).numpy()  # (2000, 100)
    flat = everything.ravel()
    assert stats.kstest(flat, "norm").pvalue > 0.01
    for moment, expected in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0), (6, 15.0)):
        powers = flat**moment
        assert abs(powers.mean() - expected) < 4 * powers.std() / math.sqrt(len(flat)), moment
    # 4950 correlations of elements, steps, purposes and seeds; the largest of |N(0, 1)| so many
    # times exceeds 5 with probability 0.003
    across = np.corrcoef(everything.T) - np.eye(100)
    assert np.abs(across).max() * math.sqrt(n) < 5.0
    between_ids = np.corrcoef(everything[:100]) - np.eye(100)
    assert np.abs(between_ids).max() * 10.0 < 5.0
    assert np.abs(np.corrcoef(everything[:-1].ravel(), everything[1:].ravel())[0, 1]) < 4 / 447
    radius = everything[:, 0::2] ** 2 + everything[:, 1::2] ** 2
    assert stats.kstest(radius.ravel(), "chi2", args=(2,)).pvalue > 0.01


def test_distinct_keys_share_no_number() -> None:
    drawn = [
        normal(seed, purpose, step, ids_of(0, 1, 2, 2**32, 2**33, 3 * 2**32), (8,)).ravel()
        for seed in (0, 1)
        for purpose in Purpose
        for step in (0, 1, 2, 2**24)
    ]
    numbers = torch.cat(drawn)
    assert len(numbers.unique()) == len(numbers)


def test_the_numbers_are_those_of_every_release() -> None:
    """A digest of their bytes: a stored seed must give its samples again."""
    ids = torch.tensor([0, 1, 77, 2**33 + 5])
    digest = hashlib.sha256()
    for shape in ((1,), (2,), (3,), (7,), (3, 32, 32)):
        for purpose, step in ((0, 0), (5, 2**32 - 1), (13, 12345)):
            digest.update(normal(2**32 - 1, purpose, step, ids, shape).numpy().tobytes())
            digest.update(uniform(7, purpose, step, ids, shape).numpy().tobytes())
    assert digest.hexdigest() == DIGEST


@pytest.mark.parametrize("shape", [(1,), (2,), (3, 5), (0,)])
@pytest.mark.parametrize("rows", [1, 7])
def test_many_draws_are_the_single_draws(shape, rows, monkeypatch) -> None:
    """Bit for bit, however many are drawn together and whatever their keys."""
    ids, noise = torch.arange(rows) + 2**32, Noise(5)
    keys = [(k, 1, None) for k in range(9)] + [(3, 2, (0.0, 1.0)), (2**32 - 1, 1, None)]
    for together in (1, 40, 2**16):
        monkeypatch.setattr("scoresde.kernels.noise.DRAWN_AHEAD", together)
        drawn = list(noise.many(keys, ids, shape))
        assert len(drawn) == len(keys)
        for z, (step, purpose, _) in zip(drawn, keys, strict=True):
            assert torch.equal(z, noise(step, purpose, ids, shape))
    single = next(noise.many(keys, ids, shape, torch.float32))
    assert torch.equal(single, noise(0, 1, ids, shape).float())
    assert list(noise.many([], ids, shape)) == []

    class Silent(Noise):
        def __call__(self, step, purpose, ids, shape):
            return torch.zeros(len(ids), *shape, dtype=torch.float64)

    assert not next(Silent(5).many(keys, ids, shape)).any()


@pytest.mark.parametrize("lanes", [1, 3, 64])
def test_the_size_of_a_piece_changes_no_number(lanes: int, monkeypatch) -> None:
    ids = torch.arange(5)
    whole = [normal(1, 1, 2, ids, (count,)) for count in (2, 6, 40)]
    monkeypatch.setattr("scoresde.kernels.noise.LANES", lanes)
    for z, count in zip(whole, (2, 6, 40), strict=True):
        assert torch.equal(normal(1, 1, 2, ids, (count,)), z)


def test_the_callable_is_the_function() -> None:
    ids = torch.arange(4)
    noise = Noise(9)
    assert torch.equal(noise(2, Purpose.TRAIN, ids, (3,)), normal(9, Purpose.TRAIN, 2, ids, (3,)))
    assert torch.equal(
        noise.uniform(2, Purpose.ACCEPT, ids, (1,)), uniform(9, Purpose.ACCEPT, 2, ids, (1,))
    )


@pytest.mark.parametrize("seed", [-1, 2**32, True, 1.0, "1"])
def test_a_bad_seed_is_named(seed) -> None:
    with pytest.raises(OptionError, match="seed") as caught:
        Noise(seed)
    assert repr(seed) in str(caught.value)


@pytest.mark.parametrize("step", [-1, 2**32, 2**40])
def test_a_step_beyond_its_word_is_refused(step: int) -> None:
    """It would leak into its neighbours' bits, up to uniform numbers above 1 and NaN normals."""
    with pytest.raises(OptionError, match=str(step)):
        normal(0, Purpose.STEP, step, torch.arange(2), (2,))
