"""Tables: rows of numbers, standardised column by column."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from scoresde.data.arrays import check_file, open_npz
from scoresde.data.dataset import Dataset
from scoresde.data.lattice import dequantised, is_discrete
from scoresde.data.moments import Moments
from scoresde.data.scaling import Scaling
from scoresde.data.splits import check_split, split
from scoresde.data.table_file import Columns, read_csv
from scoresde.errors import DataError, OptionError, counted
from scoresde.families import unknown
from scoresde.kernels.noise import check_seed

Discrete = Literal["refuse", "dequantise", "keep"]
MASK = "test_mask"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of numbers from a .csv or .npz file; every column standardised by the training split.

    path: the file, .npz or text.  key: the array (n, columns) in an .npz file.
    split: in an .npz file, the column of `test_mask`, bool (n, splits), that is true for the rows
    to hold back; left out: split off 1 - train_fraction of the rows by the seed.
    given: columns that become vectors to condition on, standardised too, in place of data.
    drop: columns to leave out.  Columns go by place, from 0 (-1 is the last), or by name.
    discrete: what to do where a column's values repeat (`is_discrete`): "refuse"; "dequantise",
    noise as wide as the gap between neighbours (`dequantised`); or "keep" as it is.
    delimiter, header: of a text file; header left out: told by the first line (`read_csv`).

    Raises:
        OptionError: an option out of its range.
        DataError: a file, cell or column that cannot be used; the message says which and why.
    """

    path: str
    key: str = "data"
    split: int | None = None
    given: tuple[int | str, ...] = ()
    drop: tuple[int | str, ...] = ()
    discrete: Discrete = "refuse"
    train_fraction: float = 0.8
    delimiter: str = ","
    header: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.path:
            raise OptionError("path names the file to read; it is empty")
        if self.split is not None and (isinstance(self.split, bool) or self.split < 0):
            raise OptionError(f"split is the place of a split, from 0, got {self.split}")
        if self.discrete not in get_args(Discrete):
            raise OptionError(unknown("discrete", self.discrete, list(get_args(Discrete))))
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            raise OptionError(f"delimiter is one character, got {self.delimiter!r}")
        check_split(self.train_fraction, check_seed(self.seed))

    def load(self, *, missing: bool = False) -> Dataset:
        """The splits; `missing` lets empty cells and NaN pass, for entries that are missing."""
        check_file(self.path)
        if Path(self.path).suffix.lower() == ".npz":
            table, columns, held_back = self._archive(missing)
        elif self.split is not None:
            raise DataError(f"{self.path}: split {self.split} needs an .npz file with {MASK!r}")
        else:
            read = read_csv(self.path, self.delimiter, self.header, missing=missing)
            (table, columns), held_back = read, None
        if held_back is None:
            parts = split(
                len(table), self.train_fraction, self.seed, self.path, f"a split by {MASK!r}"
            )
        else:
            parts = np.flatnonzero(~held_back), np.flatnonzero(held_back)
        data, given = self._choose(columns)
        self._refuse_constant(table[parts[0]], columns, sorted([*data, *given]))
        table = self._spread(table, columns, parts[0], data)
        try:
            x, scaling = _standardised(table[:, data], parts)
            y, given_scaling = (
                _standardised(table[:, given], parts) if given else ((None,) * 2, None)
            )
        except DataError as error:
            raise DataError(
                f"{self.path}: a column's values are too large for their deviation in float64 "
                f"({error}); rescale them"
            ) from None
        return Dataset(
            name=Path(self.path).stem,
            train=x[0],
            test=x[1],
            scaling=scaling,
            attribution=f"the user's file {self.path}",
            train_labels=y[0],
            test_labels=y[1],
            given_scaling=given_scaling or Scaling(),
        )

    def _archive(self, missing: bool) -> tuple[np.ndarray, Columns, np.ndarray | None]:
        with open_npz(self.path) as readers:
            wanted = [self.key] + ([] if self.split is None else [MASK])
            for name in wanted:
                if name not in readers:
                    raise DataError(f"{self.path}: {unknown('array', name, list(readers))}")
            table, *mask = [readers[name]() for name in wanted]
        where = f"array {self.key!r} of {self.path}"
        if table.ndim != 2 or table.dtype.kind not in "biuf" or not table.size:
            raise DataError(
                f"{where} has shape {table.shape} and dtype {table.dtype}; a table is "
                "(n, columns) of real numbers"
            )
        table = table.astype(np.float64)
        bad = np.argwhere(np.isinf(table) if missing else ~np.isfinite(table))
        if len(bad):
            row, column = bad[0].tolist()
            raise DataError(
                f"{where} has {counted(len(bad), 'value')} not finite, the first in row {row}, "
                f"column {column}: {table[row, column]}; fill in or remove the rows"
            )
        columns = Columns(table.shape[1])
        return table, columns, self._mask(mask[0], len(table)) if mask else None

    def _mask(self, mask: np.ndarray, rows: int) -> np.ndarray:
        where = f"array {MASK!r} of {self.path}"
        if mask.dtype != bool or mask.ndim != 2 or len(mask) != rows:
            raise DataError(
                f"{where} is {mask.dtype} {mask.shape}; it is bool ({rows}, splits), true for "
                "the rows to hold back"
            )
        if self.split >= mask.shape[1]:
            raise DataError(
                f"{where} has {counted(mask.shape[1], 'split')}, from 0; no split {self.split}"
            )
        held_back = mask[:, self.split]
        if held_back.all() or not held_back.any():
            raise DataError(f"{where}: split {self.split} leaves one side empty")
        return held_back

    def _choose(self, columns: Columns) -> tuple[list[int], list[int]]:
        """(columns of the data, columns to condition on) by place."""
        given = [columns.place(c, self.path) for c in self.given]
        drop = [columns.place(c, self.path) for c in self.drop]
        for j in {*given, *drop}:
            if (given + drop).count(j) > 1:
                raise DataError(
                    f"{self.path}: column {columns.called(j)} is named twice in given and drop"
                )
        data = [j for j in range(columns.count) if j not in given and j not in drop]
        if not data:
            raise DataError(f"{self.path}: given and drop leave no column to model")
        return data, given

    def _refuse_constant(self, train: np.ndarray, columns: Columns, used: list[int]) -> None:
        ends = zip(np.fmin.reduce(train), np.fmax.reduce(train), strict=True)
        same = [low == high for low, high in ends]
        empty = [j for j in used if np.isnan(train[:, j]).all()]
        if empty:
            raise DataError(
                f"{self.path}: missing in every row of the training split: column "
                f"{', '.join(map(columns.called, empty))}; leave out by drop = {empty}"
            )
        constant = [j for j in used if same[j]]
        if constant:
            raise DataError(
                f"{self.path}: constant in the training split: column "
                f"{', '.join(map(columns.called, constant))}; leave out by drop = {constant}"
            )

    def _spread(
        self, table: np.ndarray, columns: Columns, ours: np.ndarray, data: list[int]
    ) -> np.ndarray:
        """The table with noise in its discrete columns, if that is asked for."""
        discrete = [j for j in data if is_discrete(seen(table[ours, j]))]
        if not discrete or self.discrete == "keep":
            return table
        if self.discrete == "refuse":
            raise DataError(
                f"{self.path}: few or much repeated values in column "
                f"{', '.join(map(columns.called, discrete))}; what is discrete has no density: "
                f"choose discrete = 'dequantise' (or 'keep'), drop = {discrete}, or condition on "
                f"them by given = {discrete}"
            )
        table, rows = table.copy(), np.arange(len(table))
        for j in discrete:
            here, training = rows[~np.isnan(table[:, j])], seen(table[ours, j])
            table[here, j] = dequantised(table[here, j], training, here, j, self.seed)
        return table


def seen(column: np.ndarray) -> np.ndarray:
    """The entries of a column that are not missing."""
    return column[~np.isnan(column)]


def _standardised(columns: np.ndarray, parts: tuple) -> tuple[list[torch.Tensor], Scaling]:
    """(the two splits in model space, the scaling), by the first of them."""
    moments = Moments(columns.shape[1:])
    with np.errstate(over="ignore"):  # a deviation that is not finite is refused by Scaling
        moments.add(columns[parts[0]])
        scaling = moments.standardising()
    scaled = scaling.apply(columns).astype(np.float32)
    return [torch.from_numpy(scaled[part]) for part in parts], scaling
