"""Labels as an array holds them: classes, or vectors to condition on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scoresde.errors import DataError, counted

MOST = 65_536  # classes; a label beyond it is a number of another sort


def labels_of(array: object, rows: int, what: str) -> Tensor:
    """int64 (n,) classes of an array (n,), float32 (n, k) vectors of an array (n, k).

    Classes are whole numbers from 0, of any real dtype. Vectors are taken as they are.

    Raises:
        DataError: a dtype, shape or length that does not fit, a class that is no whole number
            from 0 to 65,535, a vector that is not finite in float32; `what` names the array.
    """
    array = np.asarray(array)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{what} has dtype {array.dtype}; labels are numbers")
    if array.ndim not in (1, 2) or array.size == 0:
        raise DataError(
            f"{what} has shape {array.shape}; labels are (n,) for classes or (n, k) for vectors"
        )
    if len(array) != rows:
        raise DataError(f"{what} has {counted(len(array), 'label')} for {counted(rows, 'row')}")
    return _vectors(array, what) if array.ndim == 2 else _classes(array, what)


def _classes(array: np.ndarray, what: str) -> Tensor:
    whole = np.isfinite(array) & (array == np.floor(array))
    for wrong, why in (
        (~np.isfinite(array), "not finite"),
        (~whole, "not whole; classes are whole numbers from 0, vectors have the shape (n, k)"),
        (array < 0, "negative; classes are whole numbers from 0"),
        (array >= MOST, f"above {MOST - 1}; number the classes from 0"),
    ):
        if wrong.any():
            row = int(wrong.argmax())
            raise DataError(f"{what}: the label of row {row} is {array[row]}, {why}")
    return torch.from_numpy(array.astype(np.int64))


def _vectors(array: np.ndarray, what: str) -> Tensor:
    with np.errstate(over="ignore"):  # an overflow is found below, and named
        vectors = array.astype(np.float32)
    bad = ~np.isfinite(vectors)
    if bad.any():
        row, column = np.argwhere(bad)[0].tolist()
        raise DataError(
            f"{what}: the label of row {row} holds {array[row, column]} in column {column}; "
            "vectors to condition on are finite in float32"
        )
    return torch.from_numpy(vectors)
