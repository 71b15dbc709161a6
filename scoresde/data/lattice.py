"""Columns whose values repeat: told from continuous ones, and spread over their cells."""

from __future__ import annotations

import numpy as np
import torch

from scoresde.kernels import Purpose, uniform

TIMES_EACH, SHARE = 10, 0.05


def is_discrete(column: np.ndarray) -> bool:
    """Whether a column (n,) has no density worth the name.

    It is discrete if its distinct values are fewer than a tenth of the rows (each stands ten times
    on average), or if one value stands in more than a twentieth of the rows and at least thrice.
    """
    _, counts = np.unique(column, return_counts=True)
    many = len(counts) * TIMES_EACH < len(column)
    return many or bool(counts.max() > max(2, SHARE * len(column)))


def dequantised(
    column: np.ndarray, training: np.ndarray, rows: np.ndarray, place: int, seed: int
) -> np.ndarray:
    r"""v + (h - l) / 4 + (U - 1/2) (l + h) / 2 : uniform on (v - l/2, v + h/2).

    l and h are the gaps from v to the nearest lower and higher value of the training split; past
    its ends the gap to the one neighbour stands for both. So the cells of the training values
    tile the line, the nearest training value gives v back, and on an even lattice the noise is
    one spacing wide and centred. The log-probability of v itself is bounded below by the mean of
    log p over its cell plus log((l + h)/2). (Theis, van den Oord & Bethge 2016, section 3.1.)

    column: values (m,).  training: the training split's (n,), not all equal.  rows: int64 (m,),
    the rows' places in the file: with `place`, that of the column, and the seed they fix U.
    """
    lattice = np.unique(training)
    padded = np.concatenate([[-np.inf], lattice, [np.inf]])
    low = column - padded[np.searchsorted(lattice, column, "left")]
    high = padded[np.searchsorted(lattice, column, "right") + 1] - column
    low, high = np.where(np.isinf(low), high, low), np.where(np.isinf(high), low, high)
    ids = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.int64))
    u = uniform(seed, Purpose.DATA, place, ids, ())
    return column - 0.5 * low + u.numpy() * 0.5 * (low + high)
