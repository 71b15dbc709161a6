"""The sample dump: whatever makes samples writes it, whatever judges them reads it.

Schema 1, an HDF5 file, one row a sample:

    samples     (n, *event)         float32 or float64, in the units of the data
    sample_id   (n,)                int64, consecutive
    nfe         (n,)                int64, model evaluations spent on the sample
    done        (n,)                uint8, 1 where the row is written
    label       (n,)                int64                                   optional
    trajectory  (n, T, *event)      as samples, states along the path       optional
    log_prob    (n,)                float64, natural logarithm              optional
    chain       (n, draws, *event)  as samples, draws of the sample's chain optional
    facts/NAME  (n,)                float32/64 or int32/64, one a sample    optional

Attributes of the root: schema ('scoresde-dump'), schema_version, manifest, and all that
identifies the run or tells where it came from (see `dump_attributes`). A row that is not done
carries NaN, or -1 in integers; its sample_id stands from the start. Samples are finite; the other
columns may hold NaN for what does not exist (an adaptive solver's unused states).

Why a crash harms nothing. The file is laid out in memory, its space claimed and filled under a
temporary name, synced, and only then given its own name: a dump exists whole or not at all, and
later writes need no new space. HDF5 never writes to it again, so its metadata cannot tear. Rows
go by `pwrite` straight to their places: data, fdatasync, done-mask, fdatasync. A mask byte can
reach the disk only after the data it vouches for, and bytes are not torn; so, wherever the
process or the power stops, a row marked done is whole, and a row reported by `write` is marked.
Done rows are never written again. Equal arguments give equal bytes (no time is recorded), so a
resumed dump equals an uninterrupted one byte for byte.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict

from scoresde.errors import DumpError
from scoresde.io.dump_attributes import GROUPS, encode, first_difference, plain
from scoresde.io.dump_image import build
from scoresde.io.dump_layout import SCHEMA, SCHEMA_VERSION, Column, Layout
from scoresde.io.dump_reader import Dump, describe, read, survey
from scoresde.io.dump_writer import DumpWriter
from scoresde.io.failure import explain, in_bytes
from scoresde.io.placement import staged

__all__ = [
    "SCHEMA",
    "SCHEMA_VERSION",
    "Column",
    "Dump",
    "DumpWriter",
    "Layout",
    "create",
    "describe",
    "read",
    "resume",
]


def create(
    path: str | os.PathLike,
    *,
    attributes: Mapping[str, Mapping[str, object]],
    overwrite: bool = False,
    **layout: object,
) -> DumpWriter:
    """A new dump with room for every row, and its writer.

    attributes: {'identity': {...}, 'provenance': {...}}; a run resumes only under an equal
    identity. layout: the fields of `Layout` (rows, event_shape, dtype, first_id, trajectory,
    chain, log_prob, label, facts).

    Raises DumpError if `path` exists (unless `overwrite`), for want of room or permission, and
    for attributes that cannot be stored; OptionError for a layout out of range.
    """
    image = build(Layout(**layout), encode(attributes))
    taken = DumpError(
        f"the dump {path} exists; go on with it by --resume, replace it by --force, "
        "or write to another file"
    )
    if os.path.lexists(path) and not overwrite:
        raise taken
    try:
        with staged(path, overwrite=overwrite) as descriptor:
            image.write(descriptor)
    except FileExistsError:
        raise taken from None
    except OSError as error:
        raise DumpError(
            f"cannot create the dump {path} of {in_bytes(image.size)}: {explain(error, path)}"
        ) from error
    return DumpWriter(os.fspath(path), image.columns, image.layout.rows, image.layout.first_id)


def resume(
    path: str | os.PathLike, attributes: Mapping[str, Mapping[str, object]], **layout: object
) -> DumpWriter:
    """A writer that goes on with a dump, after a crash or beside other processes.

    The identity in `attributes` must agree with the file's; its provenance is not looked at, and
    the file keeps that of the first run. Fields of `Layout` that are given must agree as well.

    Raises DumpError naming what differs, and as `read` for a file that is no dump.
    """
    found, columns, stored, identity = survey(path)
    encode(attributes)  # refuses what `create` would refuse
    ours = {name: plain(value, name) for name, value in attributes.get(GROUPS[0], {}).items()}
    theirs = {name: stored[name] for name in identity}
    wanted = asdict(Layout(**{**asdict(found), **layout}))
    for request, held in ((ours, theirs), (wanted, asdict(found))):
        difference = first_difference(request, held)
        if difference:
            name, asked, kept = difference
            raise DumpError(
                f"cannot resume the dump {path}: {name} is {kept!r} there and {asked!r} in this "
                "request; ask for the same, write to another file, or start anew with --force"
            )
    return DumpWriter(os.fspath(path), columns, found.rows, found.first_id)
