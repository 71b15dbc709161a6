"""Tables of numbers as text: comma-separated values, with or without a line of names."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass

import numpy as np

from scoresde.errors import DataError, counted
from scoresde.families import unknown


@dataclass(frozen=True)
class Columns:
    """How many columns a table has and what they are called; names may be empty."""

    count: int
    names: tuple[str, ...] = ()

    def place(self, column: int | str, source: str) -> int:
        """The place of a column by name or by place; -1 is the last."""
        if isinstance(column, str):
            if not self.names:
                raise DataError(f"{source} names no columns; give {column!r} by place, from 0")
            if column not in self.names:
                raise DataError(f"{source}: {unknown('column', column, list(self.names))}")
            return self.names.index(column)
        if not -self.count <= column < self.count:
            raise DataError(
                f"{source} has {counted(self.count, 'column')}, from 0; there is no {column}"
            )
        return column % self.count

    def called(self, column: int) -> str:
        return f"{column} ({self.names[column]!r})" if self.names else str(column)


def read_csv(
    path: str, delimiter: str, header: bool | None, *, missing: bool = False
) -> tuple[np.ndarray, Columns]:
    """((n, columns) float64, the columns) of a text file in UTF-8; blank lines are passed over.

    header: whether the first line holds names; None: it does if none of its cells is a number.
    missing: a cell that is empty or NaN gives NaN, for an entry that is missing.

    Raises:
        DataError: a cell that is empty, no number or not finite, named by line and column; lines
            of unequal length; names that occur twice; no rows; what is no text at all; another
            delimiter.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            lines = [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8 ({error}); write it as .csv") from None
    except (OSError, csv.Error) as error:
        raise DataError(f"cannot read {path} as a table: {error}") from None
    if not lines:
        raise DataError(f"{path} is empty; a table has one row of numbers a line")
    cells = lines[0][1]
    if header is None:
        header = all(_number(cell) is None for cell in cells)
    columns = Columns(len(cells), tuple(cell.strip() for cell in cells) if header else ())
    twice = {name for name in columns.names if columns.names.count(name) > 1}
    if twice:
        raise DataError(f"{path}: the name {min(twice)!r} heads two columns; rename one")
    rows = lines[1:] if header else lines
    if not rows:
        raise DataError(f"{path} has a line of names and no rows")
    other = next((d for d in ";\t|,:" if d != delimiter and d in rows[0][1][0]), None)
    if columns.count == 1 and other and _number(rows[0][1][0]) is None:
        raise DataError(
            f"{path}, line {rows[0][0]} is one cell under the delimiter {delimiter!r}; it looks "
            f"like several: set delimiter = {other!r}"
        )
    return np.array([_row(path, line, cells, columns, missing) for line, cells in rows]), columns


def _row(path: str, line: int, cells: list[str], columns: Columns, missing: bool) -> list[float]:
    if len(cells) != columns.count:
        raise DataError(
            f"{path}, line {line} has {counted(len(cells), 'cell')}, the first has "
            f"{columns.count}; is the delimiter right?"
        )
    numbers = [math.nan if missing and not cell.strip() else _number(cell) for cell in cells]
    for j, number in enumerate(numbers):
        if number is None or not (math.isfinite(number) or (missing and math.isnan(number))):
            what = "is no number" if number is None else "is not finite"
            what = what if cells[j].strip() else "is missing"
            raise DataError(
                f"{path}, line {line}, column {columns.called(j)}: {cells[j]!r} {what}; fill in "
                "or remove the row, or leave the column out of the file"
            )
    return numbers


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)  # Python alone reads 1_000 as a number
    except ValueError:
        return None
