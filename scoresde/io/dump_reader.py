"""Reader of a dump: the rows that are done, a description, or a DumpError; never a traceback."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import h5py
import numpy as np

from scoresde.errors import DumpError
from scoresde.io.dump_attributes import decode
from scoresde.io.dump_layout import FACTS, OPTIONAL, SCHEMA, SCHEMA_VERSION, Column, Layout
from scoresde.io.failure import explain


@dataclass(frozen=True, eq=False)
class Dump:
    """Samples that are done, in order of their ids, with what is known of each.

    samples: (n, *event); sample_id, nfe, label: (n,) int64; trajectory: (n, T, *event);
    log_prob: (n,) float64; chain: (n, draws, *event); facts: name -> (n,). Columns that the dump
    lacks, or that were not asked for, are None. rows_done and rows_total count the whole file.
    """

    path: str
    samples: np.ndarray
    sample_id: np.ndarray
    nfe: np.ndarray
    label: np.ndarray | None
    trajectory: np.ndarray | None
    log_prob: np.ndarray | None
    chain: np.ndarray | None
    facts: dict[str, np.ndarray]
    attributes: dict[str, object]
    rows_done: int
    rows_total: int

    @property
    def complete(self) -> bool:
        return self.rows_done == self.rows_total


def read(
    path: str | os.PathLike, *, rows: slice | None = None, columns: Sequence[str] | None = None
) -> Dump:
    """The rows of `path` that are done, or those of them within the slice `rows` of the file.

    columns: which of label, trajectory, log_prob, chain and the facts to load; all by default.
    Only what is asked for is read from the disk, so that a large dump can be taken in slices.

    Raises DumpError for a file that is missing, truncated, foreign, damaged or of a newer schema,
    for a slice with a step and for a column that the dump lacks.
    """
    with _opened(path) as file:
        placed = _columns(file)
        layout = _layout(file)
        optional = [column.keyword for column, _ in placed if column.name.startswith(FACTS)]
        optional += [name for name in OPTIONAL if name in file]
        wanted = set(optional if columns is None else columns)
        if not wanted <= set(optional):
            raise DumpError(
                f"the dump {path} has no {', '.join(sorted(wanted - set(optional)))}; besides "
                f"samples, sample_id and nfe it has {', '.join(optional) or 'nothing'}"
            )
        start, stop, step = (rows or slice(None)).indices(layout.rows)
        if step != 1:
            raise DumpError(f"rows of the dump {path} are read in order, not by steps of {step}")
        # The mask is read before the data: a row that is done now stays as it is.
        mask = file["done"][:] == 1
        chosen, stop = mask[start:stop], max(start, stop)
        always = {"samples", "sample_id", "nfe"}
        loaded = {
            column.name: _done_rows(file[column.name], start, stop, chosen)
            for column, _ in placed
            if column.keyword in wanted | always
        }
        return Dump(
            path=os.fspath(path),
            facts={n.removeprefix(FACTS + "/"): loaded[n] for n in loaded if n.startswith(FACTS)},
            **{name: loaded.get(name) for name in (*sorted(always), *OPTIONAL)},
            attributes=decode(file.attrs)[0],
            rows_done=int(mask.sum()),
            rows_total=layout.rows,
        )


def describe(path: str | os.PathLike) -> dict[str, object]:
    """What the dump holds, in JSON's types, without loading samples. Raises as `read`."""
    with _opened(path) as file:
        layout = _layout(file)
        attributes, identity = decode(file.attrs)
        done = int((file["done"][:] == 1).sum())
        return {
            "path": os.fspath(path),
            "schema": SCHEMA,
            "schema_version": int(file.attrs["schema_version"]),
            "bytes": os.path.getsize(path),
            "rows_done": done,
            "rows_total": layout.rows,
            "complete": done == layout.rows,
            "first_id": layout.first_id,
            "event_shape": list(layout.event_shape),
            "columns": {
                column.name: {
                    "shape": [layout.rows, *column.shape],
                    "dtype": np.dtype(column.dtype).name,
                }
                for column, _ in _columns(file)
            },
            "attributes": attributes,
            "identity": list(identity),
        }


def survey(
    path: str | os.PathLike,
) -> tuple[Layout, tuple[tuple[Column, int], ...], dict[str, object], tuple[str, ...]]:
    """(layout, columns with offsets in bytes, attributes, names of the identity) for a writer.

    Raises DumpError as `read`.
    """
    with _opened(path) as file:
        return (_layout(file), _columns(file), *decode(file.attrs))


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[h5py.File]:
    """The file, its schema checked; whatever HDF5 makes of a damaged one becomes a DumpError."""
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise DumpError(f"cannot read the dump {path}: {explain(error, path)}") from error
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("schema") != SCHEMA:
                raise DumpError(
                    f"{path} is an HDF5 file but not a sample dump (no attribute schema = "
                    f"{SCHEMA!r}); name a file that `scoresde sample` wrote"
                )
            version = int(file.attrs["schema_version"])
            if version > SCHEMA_VERSION:
                raise DumpError(
                    f"the dump {path} has schema version {version}, this scoresde reads up to "
                    f"{SCHEMA_VERSION}; upgrade scoresde"
                )
            yield file
    except DumpError:
        raise
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise DumpError(
            f"{path} is not a readable dump: truncated, damaged or no HDF5 file at all "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__}); "
            "copy it again, or remove it and make it anew"
        ) from error


def _layout(file: h5py.File) -> Layout:
    samples = file["samples"]
    facts = file.get(FACTS, {})
    return Layout(
        rows=samples.shape[0],
        event_shape=samples.shape[1:],
        dtype=samples.dtype.name,
        first_id=int(file["sample_id"][0]),
        trajectory=file["trajectory"].shape[1] if "trajectory" in file else None,
        chain=file["chain"].shape[1] if "chain" in file else None,
        log_prob="log_prob" in file,
        label="label" in file,
        facts={name: fact.dtype.name for name, fact in facts.items()},
    )


def _columns(file: h5py.File) -> tuple[tuple[Column, int], ...]:
    """Columns with their offsets; ValueError where a dataset is not as the layout says."""
    layout, placed = _layout(file), []
    for column in layout.columns():
        dataset = file[column.name]
        offset = dataset.id.get_offset()
        if dataset.shape != (layout.rows, *column.shape) or dataset.dtype.str != column.dtype:
            raise ValueError(f"{column.name} has shape {dataset.shape}, dtype {dataset.dtype}")
        if offset is None:
            raise ValueError(f"{column.name} is not contiguous")
        placed.append((column, offset))
    return tuple(placed)


def _done_rows(dataset: h5py.Dataset, start: int, stop: int, chosen: np.ndarray) -> np.ndarray:
    values = dataset[start:stop]
    return values if chosen.all() else values[chosen]
