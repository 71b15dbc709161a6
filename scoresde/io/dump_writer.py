"""Writer of a dump: rows by `pwrite` at the datasets' offsets, the done-mask last.

    data of the rows -> fdatasync -> done-mask of the rows -> fdatasync

`scoresde.io.dump` says why no crash can then mark a row that is not there.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import final

import numpy as np

from scoresde.errors import DumpError
from scoresde.io.dump_layout import BOOKKEEPING, Column
from scoresde.io.failure import explain
from scoresde.io.placement import sync_data, write_at


@final
class DumpWriter:
    """Writes rows of an existing dump; made by `dump.create` and `dump.resume`.

    Several processes may hold writers of one dump (each its own, or one inherited by fork) and
    write disjoint rows at once: a write touches no byte outside its rows, and no file position
    is shared. (Local file systems; NFS does not promise it.)
    """

    def __init__(
        self, path: str, columns: tuple[tuple[Column, int], ...], rows: int, first_id: int
    ) -> None:
        """columns: each with its offset in the file in bytes.

        Raises DumpError if the file cannot be opened for writing.
        """
        self.path = path
        self.rows = rows
        self.first_id = first_id
        self._columns = {column.keyword: (column, offset) for column, offset in columns}
        try:
            self._descriptor: int | None = os.open(path, os.O_RDWR)
        except OSError as error:
            raise DumpError(f"cannot write to the dump {path}: {explain(error, path)}") from error

    @property
    def expects(self) -> tuple[str, ...]:
        """The columns that every write gives."""
        return tuple(name for name in self._columns if name not in BOOKKEEPING)

    @property
    def done(self) -> np.ndarray:
        """Which rows are written, (rows,) bool, read from the file: also other processes' rows."""
        return self._read_done(0, self.rows)

    @property
    def complete(self) -> bool:
        return bool(self.done.all())

    def missing(self, block: int) -> list[tuple[int, int]]:
        """Ranges (start, stop) of rows in the blocks that have a row still to do.

        Blocks are those of the sample ids, id // block, whatever the first id: a resumed run then
        computes a row among the same batch-mates as an uninterrupted one, and gets equal bits.
        """
        if block < 1:
            raise DumpError(f"a block holds at least 1 row, not {block}")
        starts = [0, *range(block - self.first_id % block, self.rows, block)]
        ranges = zip(starts, [*starts[1:], self.rows], strict=True)
        done = self.done
        return [(a, b) for a, b in ranges if not done[a:b].all()]

    def write(self, start: int, **values: object) -> int:
        """Write rows from `start` on, durably; the number of rows that were new.

        values: `samples` (count, *event), `nfe`, and every other column of the dump, (count, …)
        each; a scalar serves for all rows. Rows that are done already are left as they are: what
        has been reported is never touched again.

        Raises DumpError for columns missing or unknown, wrong shapes or dtypes, rows outside the
        dump, non-finite samples (NaN means unwritten), and when the system refuses to write.
        """
        rows, count = self._checked(start, values)
        try:
            fresh = _runs(~self._read_done(start, count))
            for name, array in rows.items():
                column, offset = self._columns[name]
                for a, b in fresh:
                    place = offset + (start + a) * column.row_bytes
                    write_at(self._descriptor, array[a:b].data, place)
            sync_data(self._descriptor)
            _, offset = self._columns["done"]
            for a, b in fresh:
                write_at(self._descriptor, b"\1" * (b - a), offset + start + a)
            sync_data(self._descriptor)
        except OSError as error:
            raise DumpError(
                f"cannot write rows {start}:{start + count} of the dump {self.path}: "
                f"{explain(error, self.path)}, then go on with --resume (rows done are intact)"
            ) from error
        return sum(b - a for a, b in fresh)

    def close(self) -> None:
        """Give the file back; every write is already on the disk."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> DumpWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _checked(self, start: int, values: dict) -> tuple[dict[str, np.ndarray], int]:
        if set(values) != set(self.expects):
            raise DumpError(
                f"a write to {self.path} gives {', '.join(sorted(values)) or 'nothing'}; "
                f"it must give {', '.join(self.expects)}"
            )
        samples = np.asarray(values["samples"])
        count = len(samples) if samples.ndim else 0
        if count < 1 or start < 0 or start + count > self.rows:
            raise DumpError(
                f"rows {start}:{start + count} are not within the {self.rows} rows of {self.path}"
            )
        rows = {name: self._columns[name][0].rows(given, count) for name, given in values.items()}
        finite = np.isfinite(rows["samples"]).reshape(count, -1).all(axis=1)
        if not finite.all():
            bad = (self.first_id + start + np.flatnonzero(~finite))[:5].tolist()
            raise DumpError(
                f"samples with ids {bad} are not finite in {rows['samples'].dtype}, so they are "
                f"not written to {self.path}; look at the sampler's last step, or use float64"
            )
        return rows, count

    def _read_done(self, start: int, count: int) -> np.ndarray:
        if self._descriptor is None:
            raise DumpError(f"the writer of {self.path} is closed; open it again with resume")
        _, offset = self._columns["done"]
        mask = b""
        while len(mask) < count:
            part = os.pread(self._descriptor, count - len(mask), offset + start + len(mask))
            if not part:
                raise DumpError(f"the dump {self.path} was truncated while it was being written")
            mask += part
        return np.frombuffer(mask, np.uint8) == 1


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Ranges (start, stop) of consecutive true entries."""
    steps = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    return list(zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True))
