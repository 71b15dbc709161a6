"""The host's bodies of Philox and of Box & Muller beside torch's: the same bits."""

import pytest
import torch

from scoresde.kernels.box_muller import box_muller, box_muller_on_device
from scoresde.kernels.philox import rounds, rounds_on_device

LARGEST = 2**32 - 1


def words(count: int, *shape: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(sum(shape))
    return [torch.randint(0, 2**32, shape, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("rows", [1, 7, 1001])
@pytest.mark.parametrize("key", ["number", "row"])
def test_rounds(rows: int, key: str) -> None:
    """Words that broadcast, a key's largest word, a key a row; only 32 bits of (c3, c1) count."""
    (c1, c2, c3), (c0,) = words(3, rows, 1), words(1, 3)
    k1 = LARGEST if key == "number" else words(1, rows, 1)[0]
    got, expected = (of(c0, c1, c2, c3, LARGEST, k1) for of in (rounds, rounds_on_device))
    assert got[0].shape == (2, rows, 3)
    assert torch.equal(got[0], expected[0])
    assert torch.equal(got[1] & LARGEST, expected[1] & LARGEST)


@pytest.mark.parametrize("count", [1, 7, 20_001])
def test_box_muller(count: int) -> None:
    """At both ends of u, at the quadrants' edges, signs of zeros included; words left alone."""
    radius, angle = words(2, count)
    edges = [0, LARGEST, 2**29 - 1, 2**29, 2**31, 2**30 + 2**29, LARGEST - 2**29]
    radius[: len(edges)] = torch.tensor(edges)[:count]
    angle[: len(edges)] = torch.tensor(edges)[:count]
    angle[-1] += 5 << 40  # upper bits that do not count
    before = radius.clone(), angle.clone()
    for got, expected in zip(
        box_muller(radius, angle), box_muller_on_device(radius, angle), strict=True
    ):
        assert torch.equal(got.view(torch.int64), expected.view(torch.int64))
    assert torch.equal(radius, before[0])
    assert torch.equal(angle, before[1])
