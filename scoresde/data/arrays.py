"""The user's own arrays: NumPy archives and HDF5 files."""

from __future__ import annotations

import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import h5py
import numpy as np
import torch
from numpy.random import PCG64, Generator

from scoresde.data.dataset import Dataset
from scoresde.data.scaling import Scaling
from scoresde.errors import DataError, OptionError
from scoresde.families import unknown

ScalingName = Literal["standardise", "range", "none"]


@dataclass(frozen=True, kw_only=True)
class Arrays(ABC):
    """One array of rows (n, *event) in a file, split by the seed or beside an array to test on.

    path: the file.  key: the array's name; empty where the file holds one only.
    test_key: the test split's array; empty: split off 1 - train_fraction of the rows.
    scaling, by the training split: "standardise" (mean zero, unit deviation), "range" (to
    [-1, 1]), either by column for vectors and over all else for other events, or "none".

    Raises:
        OptionError: an option out of its range.
        DataError: a file, array or row that cannot be used; the message says which and why.
    """

    path: str
    key: str = ""
    test_key: str = ""
    train_fraction: float = 0.8
    scaling: ScalingName = "standardise"
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.path:
            raise OptionError("path names the file to read; it is empty")
        if not 0.0 < self.train_fraction < 1.0:
            raise OptionError(f"train_fraction lies between 0 and 1, got {self.train_fraction}")
        if self.scaling not in get_args(ScalingName):
            raise OptionError(unknown("scaling", self.scaling, list(get_args(ScalingName))))
        if self.seed < 0:
            raise OptionError(f"seed is a whole number >= 0, got {self.seed}")

    @abstractmethod
    def _open(self) -> object:
        """A context manager that gives {name: a way to read the array}."""

    def load(self) -> Dataset:
        train, test = self._splits()
        with np.errstate(over="ignore"):  # an overflow is found below, and named
            scaling = self._fit(train)
            splits = [scaling.apply(split).astype(np.float32) for split in (train, test)]
        if not all(np.isfinite(split).all() for split in splits):
            raise DataError(
                f"{self.path}: values overflow float32 under scaling {self.scaling!r}; "
                "rescale them, or choose 'standardise'"
            )
        return Dataset(
            name=Path(self.path).stem,
            train=torch.from_numpy(splits[0]),
            test=torch.from_numpy(splits[1]),
            scaling=scaling,
            attribution=f"the user's file {self.path}",
        )

    def _fit(self, train: np.ndarray) -> Scaling:
        match self.scaling:
            case "standardise":
                return Scaling.standardising(train, per_column=True)
            case "range":
                return Scaling.to_unit_range(train)
        return Scaling()

    def _splits(self) -> tuple[np.ndarray, np.ndarray]:
        if not Path(self.path).is_file():
            raise DataError(f"there is no file {self.path}")
        with self._open() as readers:
            rows = self._read(readers, self.key)
            if self.test_key:
                test = self._read(readers, self.test_key)
                if rows.shape[1:] != test.shape[1:]:
                    raise DataError(
                        f"{self.path}: rows of {self.test_key!r} have shape {test.shape[1:]}, "
                        f"those of {self.key!r} {rows.shape[1:]}"
                    )
                return rows, test
        n_train = round(self.train_fraction * len(rows))
        if n_train in (0, len(rows)):
            raise DataError(
                f"{self.path}: train_fraction {self.train_fraction} of {len(rows)} rows leaves a "
                "split empty; give more rows or a test_key"
            )
        order = Generator(PCG64(self.seed)).permutation(len(rows))
        return rows[order[:n_train]], rows[order[n_train:]]

    def _read(self, readers: dict, key: str) -> np.ndarray:
        if not key and len(readers) != 1:
            raise DataError(
                f"{self.path} holds {len(readers)} arrays ({', '.join(readers)}); name one by key"
            )
        key = key or next(iter(readers))
        if key not in readers:
            raise DataError(f"{self.path}: {unknown('array', key, list(readers))}")
        return _rows(readers[key](), f"array {key!r} of {self.path}")


@dataclass(frozen=True, kw_only=True)
class NpzArray(Arrays):
    """One array of rows (n, *event) in a NumPy archive (numpy.savez); options as for `Arrays`."""

    @contextmanager
    def _open(self) -> Iterator[dict]:
        if not zipfile.is_zipfile(self.path):
            raise DataError(f"{self.path} is no complete .npz archive; write it with numpy.savez")
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                yield {name: lambda name=name: archive[name] for name in archive.files}
        except DataError:
            raise
        except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"cannot read {self.path}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class HDF5Array(Arrays):
    """One array of rows (n, *event) in an HDF5 file, named by path; options as for `Arrays`."""

    @contextmanager
    def _open(self) -> Iterator[dict]:
        try:
            with h5py.File(self.path, "r") as file:
                readers: dict = {}

                def note(name: str, node: object) -> None:
                    if isinstance(node, h5py.Dataset):
                        readers[name] = lambda: node[()]

                file.visititems(note)
                yield readers
        except DataError:
            raise
        except (OSError, RuntimeError) as error:
            raise DataError(f"cannot read {self.path} as HDF5: {error}") from error


def _rows(array: object, what: str) -> np.ndarray:
    """The array as float64 rows (n, *event), or the `DataError` that says why not."""
    array = np.asarray(array)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{what} has dtype {array.dtype}; real numbers are needed")
    if array.ndim < 2:
        raise DataError(
            f"{what} has shape {array.shape}; rows come first, then the event: (n, d) for "
            "vectors, (n, channels, height, width) for images"
        )
    if array.size == 0:
        raise DataError(f"{what} is empty: its shape is {array.shape}")
    array = array.astype(np.float64)
    bad = ~np.isfinite(array)
    if bad.any():
        first = np.argwhere(bad)[0].tolist()
        raise DataError(
            f"{what} has {int(bad.sum())} values that are not finite, the first at index {first}"
        )
    return array
