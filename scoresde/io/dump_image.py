"""Image of a fresh dump: HDF5 lays the file out in memory, and never writes to the disk itself.

HDF5 2.0 ends the process with a segmentation fault when the disk fills under it. Here it writes
its few kilobytes of metadata into a sparse image in memory; the disk then sees only
`posix_fallocate` and `pwrite`, whose refusals are ordinary errors.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass

import h5py
import numpy as np

from scoresde.io.dump_layout import FACTS, SCHEMA, SCHEMA_VERSION, Column, Layout
from scoresde.io.placement import write_at

_PAGE = 4096
_FILL_BYTES = 1 << 22
# From HDF5 1.8 on, metadata carry checksums, so that a damaged file is refused, not misread.
_FORMAT = ("v108", "v108")


@dataclass(frozen=True)
class Image:
    """A dump before it is a file: metadata by page, and columns with their offsets in bytes."""

    size: int
    pages: dict[int, bytearray]
    columns: tuple[tuple[Column, int], ...]
    layout: Layout

    def write(self, descriptor: int) -> None:
        """Claim the space first, then write metadata, fills and sample ids.

        Raises OSError if there is no room, before anything is written where the system can tell.
        """
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(descriptor, 0, self.size)
            except OSError as error:
                # A file system without preallocation: the fills below claim the space instead.
                if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}:
                    raise
        os.ftruncate(descriptor, self.size)
        for page, data in sorted(self.pages.items()):
            start = page * _PAGE
            write_at(descriptor, bytes(data[: self.size - start]), start)
        for column, offset in self.columns:
            self._write_initial(descriptor, column, offset)

    def _write_initial(self, descriptor: int, column: Column, offset: int) -> None:
        rows = max(1, _FILL_BYTES // column.row_bytes)
        for start in range(0, self.layout.rows, rows):
            count = min(rows, self.layout.rows - start)
            if column.name == "sample_id":
                first = self.layout.first_id + start
                block = np.arange(first, first + count, dtype=column.dtype)
            else:
                block = np.full((count, *column.shape), column.fill, column.dtype)
            write_at(descriptor, block.data, offset + start * column.row_bytes)


def build(layout: Layout, attributes: Mapping[str, object]) -> Image:
    """The image of an empty dump; equal arguments give equal bytes (no time is recorded)."""
    memory = _SparseFile()
    aligned = {"alignment_threshold": 1, "alignment_interval": 8}
    with h5py.File(memory, "w", libver=_FORMAT, **aligned) as file:
        file.attrs["schema"] = SCHEMA
        file.attrs["schema_version"] = SCHEMA_VERSION
        for name, value in attributes.items():
            file.attrs[name] = value
        if layout.facts:
            file.create_group(FACTS)
        columns = tuple((column, _allocate(file, column, layout)) for column in layout.columns())
    return Image(memory.size, memory.pages, columns, layout)


def _allocate(file: h5py.File, column: Column, layout: Layout) -> int:
    """Create the dataset of `column`, contiguous and allocated at once; its offset in the file."""
    create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    create.set_layout(h5py.h5d.CONTIGUOUS)
    create.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    create.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    create.set_fill_value(np.array(column.fill, column.dtype))
    create.set_obj_track_times(False)
    kind = h5py.h5t.py_create(np.dtype(column.dtype))
    space = h5py.h5s.create_simple((layout.rows, *column.shape))
    dataset = h5py.h5d.create(file.id, column.name.encode(), kind, space, create)
    return dataset.get_offset()


class _SparseFile:
    """The file object that HDF5 writes metadata into: pages in memory, holes for the data."""

    def __init__(self) -> None:
        self.pages: dict[int, bytearray] = {}
        self.size = 0
        self._position = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Nothing is held back."""

    def truncate(self, size: int | None = None) -> int:
        self.size = self._position if size is None else size
        return self.size

    def write(self, data: bytes) -> int:
        view = memoryview(data).cast("B")
        while view:
            page, within = divmod(self._position, _PAGE)
            part = view[: _PAGE - within]
            self.pages.setdefault(page, bytearray(_PAGE))[within : within + len(part)] = part
            self._position += len(part)
            view = view[len(part) :]
        self.size = max(self.size, self._position)
        return len(data)

    def readinto(self, buffer: memoryview) -> int:
        view = memoryview(buffer).cast("B")
        length = len(view)
        while view:
            page, within = divmod(self._position, _PAGE)
            count = min(_PAGE - within, len(view))
            view[:count] = self.pages.get(page, bytes(_PAGE))[within : within + count]
            self._position += count
            view = view[count:]
        return length

    def read(self, size: int) -> bytes:
        buffer = bytearray(size)
        self.readinto(memoryview(buffer))
        return bytes(buffer)
