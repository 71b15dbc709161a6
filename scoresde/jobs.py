"""A job into a dump, block by block."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from scoresde.errors import OptionError, ScoresdeError
from scoresde.io import dump

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
    exists is a `DumpError`. `progress` is told the rows done after each block. A dump into which
    nothing came before an error is removed.
    """
    attributes, layout = job.attributes(), job.layout()
    if resume and Path(path).exists():
        writer = dump.resume(path, attributes, **layout)
    else:
        writer = dump.create(path, attributes=attributes, overwrite=overwrite, **layout)
    with writer:
        try:
            for begin, end in writer.missing(job.batch):
                ids = torch.arange(job.first_id + begin, job.first_id + end)
                writer.write(begin, **job.rows(ids))
                if progress is not None:
                    progress(int(writer.done.sum()))
        except ScoresdeError:
            if not resume and not writer.done.any():
                Path(path).unlink()  # nothing is in it, and it would bar the corrected call
            raise
    return dump.read(path)


def to_numpy(columns: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.cpu().numpy() for name, value in columns.items()}
