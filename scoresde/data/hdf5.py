"""Arrays in HDF5 files, in memory or read on demand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from torch import Tensor

from scoresde.data.arrays import Arrays, Readers
from scoresde.data.dataset import Rows
from scoresde.data.scaling import Scaling
from scoresde.data.stored import StoredArray, StoredRows
from scoresde.errors import DataError


@dataclass(frozen=True, kw_only=True)
class HDF5Array(Arrays):
    """One array of rows (n, *event) in an HDF5 file, named by path; options as for `Arrays`.

    lazy: leave the rows in the file and read those of a batch when they are asked for, for files
    larger than memory. Splits, scaling and rows are the same to the bit. A row's place and labels
    stay in memory, 16 bytes a row. Quick for an array stored in one piece without compression
    (h5py's own default); one in compressed chunks is unpacked a chunk for every row of a batch.
    """

    lazy: bool = False

    @contextmanager
    def _open(self) -> Iterator[Readers]:
        try:
            with h5py.File(self.path, "r") as file:
                readers: Readers = {}

                def note(name: str, node: object) -> None:
                    if isinstance(node, h5py.Dataset):
                        readers[name] = lambda: self._array(node)

                file.visititems(note)
                yield readers
        except DataError:
            raise
        except (OSError, RuntimeError) as error:
            raise DataError(f"cannot read {self.path} as HDF5: {error}") from error

    def _array(self, node: h5py.Dataset) -> np.ndarray | StoredArray:
        for source in node.virtual_sources() if node.is_virtual else ():
            # HDF5 gives its fill value, without a word, for what a missing file should hold
            place = Path(self.path).parent / source.file_name  # "." is the file itself
            if "%" not in source.file_name and not (
                place.exists() or Path(source.file_name).exists()
            ):
                raise DataError(
                    f"{self.path}: {node.name} is put together from {source.file_name}, which is "
                    f"not there; put it beside {self.path}"
                )
        return StoredArray.of(self.path, node) if self.lazy else np.asarray(node[()])

    def _rows(self, array: np.ndarray, index: np.ndarray, scaling: Scaling) -> Tensor | Rows:
        if isinstance(array, StoredArray):
            return StoredRows(array, index, scaling)
        return super()._rows(array, index, scaling)
