"""Which rows are trained on and which are held back."""

from __future__ import annotations

import numpy as np
from numpy.random import PCG64, Generator

from scoresde.errors import DataError, OptionError, counted


def check_split(train_fraction: float, seed: int) -> None:
    """Raises `OptionError` for a fraction outside (0, 1) or a seed below zero."""
    if not 0.0 < train_fraction < 1.0:
        raise OptionError(f"train_fraction lies between 0 and 1, got {train_fraction}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise OptionError(f"seed is a whole number >= 0, got {seed!r}")


def split(count: int, train_fraction: float, seed: int, source: str, way_out: str):
    """(rows to train on, rows to hold back): a permutation by the seed, cut at the fraction.

    int64 arrays that hold each of 0..count-1 once. Raises `DataError` where one would be empty;
    `source` and `way_out` are its words for where the rows are from and what else would do.
    """
    n_train = round(train_fraction * count)
    if n_train in (0, count):
        raise DataError(
            f"{source}: train_fraction {train_fraction} of {counted(count, 'row')} leaves a split "
            f"empty; give more rows or {way_out}"
        )
    order = Generator(PCG64(seed)).permutation(count)
    return order[:n_train], order[n_train:]


def first(index: np.ndarray, count: int, source: str) -> np.ndarray:
    """The first `count` rows of a training split, all for 0; `DataError` for more than it has."""
    if count > len(index):
        raise DataError(
            f"{source}: n_train is {count} and the training split has "
            f"{counted(len(index), 'row')}; ask for fewer, or for all by 0"
        )
    return index[:count] if count else index


def check_n_train(n_train: int) -> None:
    """Raises `OptionError` for anything but a whole number >= 0."""
    if isinstance(n_train, bool) or not isinstance(n_train, int) or n_train < 0:
        raise OptionError(f"n_train is a whole number >= 0 (0 for all rows), got {n_train!r}")
