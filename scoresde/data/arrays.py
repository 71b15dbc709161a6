"""The user's own arrays: one array of rows in a file, and the archive of NumPy."""

from __future__ import annotations

import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from scoresde.data.dataset import Dataset, Rows, block_rows
from scoresde.data.labels import labels_of
from scoresde.data.moments import Moments, in_float32, survey
from scoresde.data.scaling import Scaling
from scoresde.data.splits import check_split, split
from scoresde.errors import DataError, OptionError, counted
from scoresde.families import unknown

ScalingName = Literal["standardise", "range", "none"]
Readers = dict[str, Callable[[], np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Arrays(ABC):
    """One array of rows (n, *event) in a file, split by the seed or beside an array to test on.

    path: the file.  key: the array's name; empty where the file holds one only.
    test_key: the test split's array; empty: split off 1 - train_fraction of the rows.
    label_key, test_label_key: arrays of labels, (n,) whole numbers from 0 for classes or (n, k)
    for vectors to condition on; the latter only beside a test_key.
    scaling, by the training split: "standardise" (mean zero, unit deviation), "range" (to
    [-1, 1]), either by column for vectors and over all else for other events, or "none".
    flip: images may be mirrored left to right in training.

    Raises:
        OptionError: an option out of its range.
        DataError: a file, array, row or label that cannot be used; the message says which and why.
    """

    path: str
    key: str = ""
    test_key: str = ""
    label_key: str = ""
    test_label_key: str = ""
    train_fraction: float = 0.8
    scaling: ScalingName = "standardise"
    flip: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.path:
            raise OptionError("path names the file to read; it is empty")
        check_split(self.train_fraction, self.seed)
        if self.scaling not in get_args(ScalingName):
            raise OptionError(unknown("scaling", self.scaling, list(get_args(ScalingName))))
        if bool(self.test_label_key) != bool(self.test_key and self.label_key):
            raise OptionError(
                "test_label_key names the labels of test_key's rows: give it where there are both "
                f"a test_key and a label_key, and only there; got test_key {self.test_key!r}, "
                f"label_key {self.label_key!r}, test_label_key {self.test_label_key!r}"
            )

    @abstractmethod
    def _open(self) -> AbstractContextManager[Readers]:
        """A context manager that gives {name: a way to read the array}."""

    def _rows(self, array: np.ndarray, index: np.ndarray, scaling: Scaling) -> Tensor | Rows:
        """Rows of an array in model space, float32 (len(index), *event)."""
        return in_memory(array, index, scaling)

    def load(self, *, missing: bool = False) -> Dataset:
        """The splits; `missing` lets NaN pass, for entries that are missing."""
        check_file(self.path)
        with self._open() as readers:
            rows = self._read(readers, self.key)
            test = self._read(readers, self.test_key) if self.test_key else rows
            labels = self._labels(readers, self.label_key, len(rows))
            test_labels = labels
            if self.test_key:
                test_labels = self._labels(readers, self.test_label_key, len(test))
        if rows.shape[1:] != test.shape[1:]:
            raise DataError(
                f"{self.path}: rows of {self.test_key!r} have shape {test.shape[1:]}, "
                f"those of {self.key!r} {rows.shape[1:]}"
            )
        ours, theirs = np.arange(len(rows)), np.arange(len(test))
        if not self.test_key:
            ours, theirs = split(
                len(rows), self.train_fraction, self.seed, self.path, "a test_key"
            )
        scaling = self._scaling(rows, test, ours, missing)
        return Dataset(
            name=Path(self.path).stem,
            train=self._rows(rows, ours, scaling),
            test=self._rows(test, theirs, scaling),
            scaling=scaling,
            attribution=f"the user's file {self.path}",
            train_labels=None if labels is None else labels[torch.from_numpy(ours)],
            test_labels=None if test_labels is None else test_labels[torch.from_numpy(theirs)],
            flip=self.flip,
        )

    def _scaling(
        self, rows: np.ndarray, test: np.ndarray, ours: np.ndarray, missing: bool
    ) -> Scaling:
        training = np.zeros(len(rows), dtype=bool)
        training[ours] = True
        fitted, everyone = survey(rows, training, self._name(self.key), missing=missing)
        surveyed = [everyone]
        if test is not rows:
            nobody = np.zeros(len(test), dtype=bool)
            name = self._name(self.test_key)
            surveyed.append(survey(test, nobody, name, missing=missing)[1])
        fitted.refuse_empty(self._name(self.key))
        try:
            with np.errstate(over="ignore"):  # found right after, and named
                scaling = self._fit(fitted)
        except DataError as error:
            raise DataError(
                f"{self.path}: no scaling {self.scaling!r} in float64 for values as large as "
                f"{float(np.max(fitted.high)):.3g} ({error}); rescale them"
            ) from None
        if not all(in_float32(part, scaling) for part in surveyed):
            raise DataError(
                f"{self.path}: values overflow float32 under scaling {self.scaling!r}; "
                "rescale them, or choose 'standardise'"
            )
        return scaling

    def _fit(self, train: Moments) -> Scaling:
        match self.scaling:
            case "standardise":
                return train.standardising()
            case "range":
                return train.to_unit_range()
        return Scaling()

    def _read(self, readers: Readers, key: str) -> np.ndarray:
        if not key:
            others = {self.test_key, self.label_key, self.test_label_key}
            names = [name for name in readers if name not in others]
            if len(names) != 1:
                raise DataError(
                    f"{self.path} holds {counted(len(names), 'array')} ({', '.join(names)}); "
                    "name one by key"
                )
            key = names[0]
        array = self._find(readers, key)()
        check_rows(array, self._name(key))
        return array

    def _labels(self, readers: Readers, key: str, rows: int) -> Tensor | None:
        if not key:
            return None
        array = self._find(readers, key)()
        return labels_of(array[:] if array.shape else array, rows, self._name(key))

    def _find(self, readers: Readers, key: str) -> Callable[[], np.ndarray]:
        if key not in readers:
            raise DataError(f"{self.path}: {unknown('array', key, list(readers))}")
        return readers[key]

    def _name(self, key: str) -> str:
        return f"array {key!r} of {self.path}" if key else f"the array of {self.path}"


@dataclass(frozen=True, kw_only=True)
class NpzArray(Arrays):
    """One array of rows (n, *event) in a NumPy archive (numpy.savez); options as for `Arrays`."""

    def _open(self) -> AbstractContextManager[Readers]:
        return open_npz(self.path)


def check_file(path: str | Path) -> None:
    """Raises `DataError` unless there is a file of that name."""
    if Path(path).is_dir():
        raise DataError(f"{path} is a folder, where a file of data is wanted")
    if not Path(path).is_file():
        raise DataError(f"there is no file {path}")


@contextmanager
def open_npz(path: str) -> Iterator[Readers]:
    """{name: a way to read the array} of a NumPy archive; no pickles, so that no code is run.

    Raises:
        DataError: a file that is not a whole archive; damage where an array is read.
    """
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is no complete .npz archive; write it with numpy.savez")
    try:
        with np.load(path, allow_pickle=False) as archive:
            yield {name: lambda name=name: archive[name] for name in archive.files}
    except DataError:
        raise
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}") from error


def check_rows(array: np.ndarray, what: str) -> None:
    """Raises `DataError` unless the array is one of real numbers, rows first, and not empty."""
    if array.dtype.kind not in "biuf":
        raise DataError(f"{what} has dtype {array.dtype}; real numbers are needed")
    if len(array.shape) < 2:
        raise DataError(
            f"{what} has shape {array.shape}; rows come first, then the event: (n, d) for "
            "vectors, (n, channels, height, width) for images"
        )
    if 0 in array.shape:
        raise DataError(f"{what} is empty: its shape is {array.shape}")


def in_memory(array: np.ndarray, index: np.ndarray, scaling: Scaling) -> Tensor:
    """Rows of an array in model space: scaled in float64, a block at a time, kept in float32."""
    event = tuple(array.shape[1:])
    out = np.empty((len(index), *event), dtype=np.float32)
    step = block_rows(event)
    for begin in range(0, len(index), step):
        rows = array[index[begin : begin + step]].astype(np.float64)
        out[begin : begin + step] = scaling.apply(rows)
    return torch.from_numpy(out)
