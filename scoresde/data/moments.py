"""Mean, deviation and extremes of rows that come a block at a time."""

from __future__ import annotations

import numpy as np

from scoresde.data.dataset import block_rows
from scoresde.data.scaling import Scaling, or_one
from scoresde.errors import DataError, counted


class Moments:
    r"""n, mean, M = sum (x - mean)^2, min and max: by column for vectors, over all elements else.

    Blocks A and B are merged by n = n_A + n_B, d = mean_B - mean_A, mean = mean_A + d n_B/n,
    M = M_A + M_B + d^2 n_A n_B/n (Chan, Golub & LeVeque 1983, eq. 2.1), so that rows of any number
    take the memory of one block. The result depends on the order of blocks by rounding alone.
    NaN, an entry that is missing, does not count.
    """

    def __init__(self, event_shape: tuple[int, ...]):
        self.axis = 0 if len(event_shape) == 1 else None
        shape = event_shape if self.axis == 0 else ()
        self.count = 0
        self.mean, self.squares = np.zeros(shape), np.zeros(shape)
        self.low, self.high = np.full(shape, np.inf), np.full(shape, -np.inf)

    def add(self, block: np.ndarray) -> None:  # (n, *event) float64
        if not len(block):
            return
        n = len(block) if self.axis == 0 else block.size
        total_of = np.sum
        if np.isnan(block).any():
            n, total_of = (~np.isnan(block)).sum(axis=self.axis), np.nansum
        mean = total_of(block, axis=self.axis) / np.maximum(n, 1)
        total = self.count + n
        of = np.maximum(total, 1)
        gap = mean - self.mean
        self.squares = (
            self.squares
            + total_of(np.square(block - mean), axis=self.axis)
            + gap * (self.count * n / of) * gap
        )
        self.mean = self.mean + gap * (n / of)
        self.count = total
        self.low = np.fmin(self.low, np.fmin.reduce(block, axis=self.axis))
        self.high = np.fmax(self.high, np.fmax.reduce(block, axis=self.axis))

    def standardising(self) -> Scaling:
        """Mean zero, unit root-mean-square deviation; what is constant is only shifted."""
        std = np.sqrt(self.squares / self.count)
        return Scaling(shift=self.mean.tolist(), scale=or_one(std, self.mean))

    def to_unit_range(self) -> Scaling:
        """Smallest to -1, largest to 1."""
        middle, half = 0.5 * self.low + 0.5 * self.high, 0.5 * self.high - 0.5 * self.low
        return Scaling(shift=middle.tolist(), scale=or_one(half, middle))

    def refuse_empty(self, what: str) -> None:
        """Raises `DataError` where a column has no entry."""
        empty = np.flatnonzero(np.broadcast_to(self.count, self.mean.shape) == 0)
        if len(empty):
            raise DataError(
                f"{what}: column {empty[0]} is missing in every row of the training split; leave "
                "it out"
            )


def survey(
    rows: np.ndarray, training: np.ndarray, what: str, *, missing: bool = False
) -> tuple[Moments, Moments]:
    """(moments of the training rows, of all rows) in one pass in the order of the file.

    rows: an array (n, *event) or what reads slices like one.  training: mask (n,).
    missing: NaN stands for an entry that is missing, and does not count.

    Raises:
        DataError: a value that is not finite; the message counts them and names the first.
    """
    event = tuple(rows.shape[1:])
    ours, everyone = Moments(event), Moments(event)
    step, bad, at = block_rows(event), 0, None
    with np.errstate(over="ignore", invalid="ignore"):  # the scaling refuses what overflows
        for begin in range(0, len(training), step):
            block = np.asarray(rows[begin : begin + step]).astype(np.float64)
            odd = np.isinf(block) if missing else ~np.isfinite(block)
            if odd.any():
                place = np.argwhere(odd)[0].tolist()
                at = at or [place[0] + begin, *place[1:]]
                bad += int(odd.sum())
            ours.add(block[training[begin : begin + step]])
            everyone.add(block)
    if bad:
        odd = f"{counted(bad, 'value')} that {'is' if bad == 1 else 'are'} not finite"
        raise DataError(
            f"{what} has {odd}, the first at index {at}; fill in or leave out such rows (a fit of "
            "PPCA by EM takes NaN for missing entries)"
        )
    return ours, everyone


def in_float32(everyone: Moments, scaling: Scaling) -> bool:
    """Whether every value that was surveyed is finite in float32 once it is scaled."""
    with np.errstate(over="ignore"):
        ends = [scaling.apply(end).astype(np.float32) for end in (everyone.low, everyone.high)]
    unseen = np.broadcast_to(everyone.count, everyone.mean.shape) == 0
    return bool((np.isfinite(ends) | unseen).all())
