"""A job into a dump, block by block."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from scoresde.errors import DumpError, OptionError, ScoresdeError
from scoresde.io import dump

_HDF5 = b"\x89HDF\r\n\x1a\n"  # the first bytes of every HDF5 file

DTYPES = {"float32": torch.float32, "float64": torch.float64}


class Job(Protocol):
    """Rows by id, in blocks of `batch` aligned to id // batch, and the dump that holds them."""

    first_id: int
    n: int
    batch: int

    def rows(self, ids: Tensor) -> dict[str, np.ndarray]: ...

    def layout(self) -> dict: ...

    def attributes(self) -> dict: ...


def dtype_named(name: str) -> torch.dtype:
    if name not in DTYPES:
        raise OptionError(f"dtype is float32 or float64, got {name!r}")
    return DTYPES[name]


def check_batch(batch: int) -> int:
    if batch < 1:
        raise OptionError(f"batch is at least 1, got {batch}")
    return batch


def into_dump(
    job: Job,
    path: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> dump.Dump:
    """Compute a job's rows into a dump and read it back.

    `resume` computes only blocks that are missing, `overwrite` starts anew; otherwise a file that
    exists is a `DumpError`, and so is one to be replaced that is no dump. `progress` is told the
    rows done after each block. A dump is replaced only when the first block is there to be
    written; one into which nothing came before an error is removed.
    """
    attributes, layout = job.attributes(), job.layout()
    first: dict[str, np.ndarray] | None = None
    if overwrite and Path(path).exists():
        _check_replaceable(path)
        end = min(job.n, job.batch - job.first_id % job.batch)
        first = job.rows(torch.arange(job.first_id, job.first_id + end))
    if resume and Path(path).exists():
        writer = dump.resume(path, attributes, **layout)
    else:
        writer = dump.create(path, attributes=attributes, overwrite=overwrite, **layout)
    with writer:
        try:
            for begin, end in writer.missing(job.batch):
                ids = torch.arange(job.first_id + begin, job.first_id + end)
                rows, first = job.rows(ids) if first is None else first, None
                writer.write(begin, **rows)
                if progress is not None:
                    progress(int(writer.done.sum()))
        except ScoresdeError:
            if not resume and not writer.done.any():
                Path(path).unlink()  # nothing is in it, and it would bar the corrected call
            raise
    return dump.read(path)


def _check_replaceable(path: str | Path) -> None:
    """A slip in a path must not cost a checkpoint or a configuration; a folder is told later."""
    if Path(path).is_file():
        with open(path, "rb") as stream:
            head = stream.read(len(_HDF5))
        if head not in (b"", _HDF5):
            raise DumpError(
                f"{path} is no dump and is not replaced; write to another file, or remove it first"
            )


def to_numpy(columns: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.cpu().numpy() for name, value in columns.items()}
