"""Rows that stay in an HDF5 file until they are asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from scoresde.data.dataset import block_rows
from scoresde.data.scaling import Scaling
from scoresde.errors import DataError

PROBES, PROBE_BYTES = 64, 2**16  # what of a file its fingerprint reads: at most 4 MB


@dataclass(frozen=True)
class StoredArray:
    """An array in an HDF5 file: shape, dtype, and rows by slice or index, always a copy.

    Nothing is held open between two reads. offset: where the elements begin, if they lie in one
    piece as numpy would write them; runs of rows are then read straight from the file (a memory
    map was measured to take 190 MB for 256 rows of 3 KB, the pages beside them included). Else
    rows are read by h5py, each once and in rising order.

    Raises:
        DataError: in reading, a file that is gone or is not the one that was opened.
    """

    path: str
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int | None
    size: int  # of the file, bytes
    changed: int  # time of the file's last change, nanoseconds

    @classmethod
    def of(cls, path: str, node: h5py.Dataset) -> StoredArray:
        status = Path(path).stat()
        shape = tuple(node.shape or ())  # an empty dataspace has the shape None
        place = _offset(node), status.st_size, status.st_mtime_ns
        return cls(path, node.name, shape, node.dtype, *place)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, where: slice | np.ndarray) -> np.ndarray:
        """Rows by a slice of step 1 or by an int64 array, in its order and with its repeats."""
        try:
            status = Path(self.path).stat()
            if (status.st_size, status.st_mtime_ns) != (self.size, self.changed):
                raise DataError(f"{self.path} has changed since it was opened; load it again")
            if isinstance(where, slice):
                begin, end, _ = where.indices(len(self))
                return self._runs([(begin, max(begin, end))])
            once, back = np.unique(where, return_inverse=True)
            breaks = np.flatnonzero(np.diff(once) != 1) + 1
            runs = [(int(run[0]), int(run[-1]) + 1) for run in np.split(once, breaks) if len(run)]
            return self._runs(runs)[back]
        except (OSError, KeyError, RuntimeError) as error:
            raise DataError(f"cannot read {self.name} of {self.path}: {error}") from error

    def _runs(self, runs: list[tuple[int, int]]) -> np.ndarray:
        """Rows begin..end - 1 of every run, one after the other."""
        out = np.empty((sum(b - a for a, b in runs), *self.shape[1:]), dtype=self.dtype)
        if self.offset is None:
            with h5py.File(self.path, "r") as file:
                done = 0
                for a, b in runs:
                    out[done : done + b - a] = file[self.name][a:b]
                    done += b - a
            return out
        row = out.nbytes // max(1, len(out))
        rest = memoryview(out.reshape(-1).view(np.uint8))
        with open(self.path, "rb", buffering=0) as file:
            for a, b in runs:
                file.seek(self.offset + a * row)
                end = (b - a) * row
                while end and (count := file.readinto(rest[:end])):
                    rest, end = rest[count:], end - count
                if end:
                    raise DataError(f"{self.path} ends within {self.name}; it is not complete")
        return out


class StoredRows:
    """Rows (n, *event) of a stored array in model space, float32, read when they are asked for.

    rows[index] takes int64 tensors (negative ones count from the end), boolean masks and slices.
    """

    def __init__(self, array: StoredArray, index: np.ndarray, scaling: Scaling):
        self._array, self._index, self._scaling = array, index, scaling

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self._index), *self._array.shape[1:])

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        if not isinstance(index, slice):
            index = torch.as_tensor(index).detach().cpu().numpy()
            if index.ndim != 1:
                raise IndexError(f"rows are asked for by a slice or (m,) index, got {index.shape}")
        return self._model(self._array[self._index[index]])

    def blocks(self) -> Iterator[Tensor]:
        """All rows in the order of the file, about 4 MB of float64 at a time."""
        chosen = np.zeros(len(self._array), dtype=bool)
        chosen[self._index] = True
        step = block_rows(self.shape[1:])
        for begin in range(0, len(chosen), step):
            mask = chosen[begin : begin + step]
            if mask.any():
                yield self._model(self._array[begin : begin + step][mask])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of shape, dtype, scaling, the file's size, the rows chosen and 64 probes.

        A probe is a run of rows of about 64 KB; the probes are evenly spread from the first row to
        the last. A change between two probes that keeps the size of the file is not seen.
        """
        array = self._array
        record = [array.shape, array.dtype.str, self._scaling.to_dict(), array.size]
        digest = hashlib.sha256(json.dumps(record).encode())
        digest.update(np.ascontiguousarray(self._index, dtype="<i8").data)
        row_bytes = array.dtype.itemsize * int(np.prod(array.shape[1:]))
        run = min(len(array), max(1, PROBE_BYTES // row_bytes))
        for begin in np.unique(np.linspace(0, len(array) - run, PROBES).round().astype(int)):
            digest.update(np.ascontiguousarray(array[int(begin) : int(begin) + run]).tobytes())
        return digest.hexdigest()

    def _model(self, raw: np.ndarray) -> Tensor:
        return torch.from_numpy(self._scaling.apply(raw.astype(np.float64)).astype(np.float32))


def _offset(node: h5py.Dataset) -> int | None:
    """Where the elements of a dataset begin in its file, if they lie there as numpy has them."""
    plain = node.chunks is None and node.external is None and not node.is_virtual
    if not plain or node.dtype.kind not in "biuf" or not node.size:
        return None
    # a type that h5py converts in reading (a float of 24 bits, say) is not numpy's own
    if node.id.get_type() != h5py.h5t.py_create(node.dtype, logical=True):
        return None
    return node.id.get_offset()
