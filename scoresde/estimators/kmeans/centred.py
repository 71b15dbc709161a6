"""y = (x - offset) / unit: rows about the origin of a size whose squares float32 holds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from scoresde.data.dataset import Rows, block_rows
from scoresde.errors import DataError

KEPT = 2**26  # elements of a screening copy that is held between passes: 256 MB of float32
LARGEST = 1e140  # values whose squares, summed over all data, stay finite
LARGEST_SUMMED = 1e30  # values that float32 sums, for an origin need not be exact
LARGE = 8  # times a usual block's rows: a call of torch takes as long as a hundred rows
MODERATE = 1e6  # values up to this, and from its inverse on, need no other unit


@dataclass(frozen=True, eq=False)
class Frame:
    """Where the origin lies, (d,) in float64, how long the unit is, a power of two, and the mean
    of the data (d,) in the frame.

    Division by a power of two is exact, so distances in the frame are those of the data. Data
    that lie about the origin as they are have a `plain` frame, and are used in place.
    """

    offset: Tensor
    unit: float
    mean: Tensor

    @classmethod
    def around(cls, x: Tensor | Rows) -> Frame:
        """About the mean as the origin, where that is further from zero than from the data (root
        mean square); a unit of about the largest absolute value, where that is not moderate.

        Raises `DataError` for values whose squares would overflow.
        """
        total, squares, largest = 0.0, 0.0, 0.0
        for begin, end in spans(x):
            block = x[begin:end].reshape(end - begin, -1)
            low, high = torch.aminmax(block)
            largest = max(largest, -float(low), float(high))
            if not largest < LARGEST:
                raise DataError(
                    f"the data hold values up to {largest:.3g}, whose squares overflow; scale them"
                )
            wide = torch.float32 if largest < LARGEST_SUMMED else torch.float64
            total = total + block.sum(0, dtype=torch.promote_types(block.dtype, wide)).double()
            squares += float(torch.linalg.vector_norm(block)) ** 2
        mean = total / len(x)
        near = float(mean.square().sum()) <= 0.5 * squares / len(x) < math.inf
        offset = torch.zeros_like(mean) if near else _of_few_digits(mean)
        unit = 1.0 if 1.0 / MODERATE <= largest <= MODERATE else _power_of_two(largest)
        return cls(offset=offset, unit=unit, mean=(mean - offset) / unit)

    def __call__(self, x: Tensor) -> Tensor:
        """Rows (m, *event) of the data as (m, d) of the frame, float64; not to be written to."""
        rows = x.reshape(len(x), len(self.offset)).to(torch.float64)
        return rows if self.plain else (rows - self.offset).mul_(1.0 / self.unit)

    @cached_property
    def plain(self) -> bool:
        """Whether the data are their own rows of the frame."""
        return self.unit == 1.0 and not bool(self.offset.any())

    @property
    def area(self) -> float:
        """A squared distance of 1 in the frame, in squared units of the data."""
        return self.unit * self.unit

    def back(self, y: Tensor) -> Tensor:
        return y * self.unit + self.offset


def _of_few_digits(mean: Tensor) -> Tensor:
    """To 24 binary digits (Veltkamp 1968): data of few digits about it lose none, and data as far
    from one centre as from another stay so."""
    large = mean * (2.0**29 + 1.0)
    return large - (large - mean)


def _power_of_two(radius: float) -> float:
    """The power of two in (radius / 2, radius], its reciprocal finite; 1 for a radius of 0."""
    return 2.0 ** max(math.frexp(radius)[1] - 1, -1000) if radius > 0.0 else 1.0


def spans(x: Tensor | Rows, times: int = 1) -> Iterator[tuple[int, int]]:
    """(begin, end) of blocks of about 4 MB of float64, or some times that, in order."""
    step = times * block_rows(tuple(x.shape[1:]))
    for begin in range(0, len(x), step):
        yield begin, min(begin + step, len(x))


def screening_dtype() -> torch.dtype:
    """float32 where its products are true to float32, else (TF32, bfloat16 allowed) float64."""
    try:
        true = torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # set by backend, to one or another
        true = False
    return torch.float32 if true else torch.float64


class Centred:
    """Data (n, *event) in a frame: exact rows on demand, and rounded ones to screen with.

    These are the data themselves where they can be; else a copy is held if it is small (`KEPT`
    elements), or made anew in each pass, so memory stays bounded for rows that do not lie in it.
    """

    def __init__(self, x: Tensor | Rows, frame: Frame, *, keep: bool = True):
        self.x, self.frame = x, frame
        self.dim = math.prod(x.shape[1:])
        self._keep = keep and len(x) * self.dim <= KEPT
        self._kept: list[tuple[int, Tensor, Tensor]] = []

    def __len__(self) -> int:
        return len(self.x)

    def rows(self, index: Tensor | slice) -> Tensor:
        """The rows of an index or slice in the frame, (m, d) in float64."""
        if isinstance(index, Tensor) and isinstance(self.x, Tensor):
            return self.frame(self.x.index_select(0, index))  # ten times as quick as x[index]
        return self.frame(self.x[index])

    def blocks(self) -> Iterator[tuple[int, Tensor]]:
        """(begin, y (m, d) in float64) of blocks in the order of the rows."""
        for begin, end in spans(self.x):
            yield begin, self.rows(slice(begin, end))

    def screening(self) -> Iterator[tuple[int, Tensor, Tensor]]:
        """(begin, y (m, d) rounded, |y| (m,)) of large blocks in the order of the rows."""
        if self._kept:
            yield from self._kept
            return
        dtype, made = screening_dtype(), []
        for begin, end in spans(self.x, LARGE):
            block = self.x[begin:end].reshape(end - begin, self.dim)
            rounded = block.to(dtype) if self.frame.plain else self._rounded(block, dtype)
            norms = torch.linalg.vector_norm(rounded, dim=1)
            if self._keep:
                made.append((begin, rounded, norms))
            yield begin, rounded, norms
        self._kept = made

    def _rounded(self, block: Tensor, dtype: torch.dtype) -> Tensor:
        rounded = torch.empty_like(block, dtype=dtype)
        for begin, end in spans(block):
            rounded[begin:end] = self.frame(block[begin:end])
        return rounded
