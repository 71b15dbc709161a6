"""Where data come from: a dump, a split of a data set, or draws from an exact density."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scoresde.config import Config
from scoresde.data import Scaling
from scoresde.densities import Density
from scoresde.errors import DataError, DumpError, OptionError, UsageError
from scoresde.io import dump
from scoresde.kernels import Noise, Purpose
from scoresde.kernels.noise import check_seed

UNSCALED = Scaling()
SPLITS = ("test", "train")
LATENT, DATA = "latent", "data"  # what the rows of a dump are; dumps that do not say hold data
_PLURAL = {LATENT: "latents", DATA: "data"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Origin:
    """Data by id, as given: `read(ids)` is (len(ids), *event) in the data's own units, or latents.

    `identity` is equal for equal data alone; `start` pairs dumps that begin from the same data.
    `count` is None where the data have no end. `label_of(ids)` are classes, int64, or None where
    the data have none. `scaling` is a data set's own; a trained model keeps that of its training.
    `path` is the dump that is read, if one is.
    """

    name: str
    identity: str
    start: str
    event_shape: tuple[int, ...]
    read: Callable[[Tensor], Tensor]
    first_id: int = 0
    count: int | None = None
    label_of: Callable[[Tensor], Tensor] | None = None
    scaling: Scaling = UNSCALED
    path: Path | None = None

    def chosen(self, first_id: int | None, n: int | None) -> tuple[int, int]:
        """(first id, number of rows), by default the first 64; `UsageError` where they are not."""
        first = self.first_id if first_id is None else first_id
        end = None if self.count is None else self.first_id + self.count
        room = 64 if end is None else min(64, end - first)
        n = max(room, 1) if n is None else n
        if n < 1 or first < 0:
            raise OptionError(f"n is at least 1 and first_id at least 0, got {n} and {first}")
        if end is not None and not self.first_id <= first <= first + n <= end:
            raise UsageError(
                f"ids {first} to {first + n - 1} are asked for; {self.name} has "
                f"{self.first_id} to {end - 1}; set --first-id and --n"
            )
        return first, n


def from_dump(path: str | Path, *, space: str = DATA) -> Origin:
    """The samples of a dump, all of whose rows are done.

    Raises `DumpError` for rows that are not, and for latents where data are wanted or the reverse.
    """
    found = dump.read(path, columns=())
    held = found.attributes.get("space", DATA)
    if held != space:
        way = "decode them first" if held == LATENT else "make some by scoresde encode"
        raise DumpError(f"the dump {path} holds {_PLURAL[held]}, not {_PLURAL[space]}; {way}")
    if not found.complete:
        raise DumpError(
            f"{found.rows_done} of {found.rows_total} rows of the dump {path} are done; complete "
            "it first (--resume of the command that made it)"
        )
    samples, first = found.samples, int(found.sample_id[0])
    digest = hashlib.sha256(f"{samples.dtype} {samples.shape} {first};".encode())
    digest.update(np.ascontiguousarray(samples).data)
    labels = None
    if "label" in dump.describe(path)["columns"]:
        labels = torch.from_numpy(dump.read(path, columns=["label"]).label)
    values = torch.from_numpy(samples)
    identity = f"dump sha256:{digest.hexdigest()}"
    return Origin(
        name=f"the dump {path}",
        identity=identity,
        start=str(found.attributes.get("start", identity)),
        event_shape=tuple(samples.shape[1:]),
        read=lambda ids: values[ids - first],
        first_id=first,
        count=len(samples),
        label_of=None if labels is None else lambda ids: labels[ids - first],
        path=Path(path),
    )


def from_density(density: Density, seed: int) -> Origin:
    """Draws of an exact density; id and seed give the row."""
    check_seed(seed)
    text = f"draws of the density under seed {seed}"
    return Origin(
        name=text,
        identity=text,
        start=text,
        event_shape=tuple(density.event_shape),
        read=lambda ids: density.sample(ids.cpu(), seed),
    )


def from_noise(seed: int, event_shape: tuple[int, ...]) -> Origin:
    """The normalised starts of a seed's samples: the latents that `sample` draws."""
    noise, shape, text = Noise(seed), tuple(event_shape), f"seed {seed}"
    return Origin(
        name=f"the starts of {text}",
        identity=text,
        start=text,
        event_shape=shape,
        read=lambda ids: noise(0, Purpose.START, ids, shape),
    )


def from_split(settings: Config, split: str) -> Origin:
    """A split of the configuration's data set; the id is the row."""
    try:
        data = settings.build("data").load()
    except DataError as error:
        raise DataError(f"{error}; or give the data as a dump (--data)") from None
    rows = getattr(data, split)
    labels = getattr(data, f"{split}_labels")
    if len(rows) == 0:
        raise DataError(f"the {split} split of {data.name} is empty; take the other (--data)")
    if labels is not None and labels.is_floating_point():
        labels = None  # vectors are no classes
    identity = f"{data.name} {split} sha256:{data.fingerprint}"
    return Origin(
        name=f"the {split} split of {data.name}",
        identity=identity,
        start=identity,
        event_shape=data.event_shape,
        read=lambda ids: data.scaling.undo(rows[ids.cpu()].to(torch.float64)),
        count=len(rows),
        label_of=None if labels is None else lambda ids: labels[ids.cpu()],
        scaling=data.scaling,
    )


def origin_of(
    settings: Config, data: str | None, *, seed: int, event_shape: tuple[int, ...] | None = None
) -> Origin:
    """The data of a configuration: draws of its density, or a split of its data set.

    `data` is `test` (the default), `train` or the path of a dump. Raises `UsageError` where the
    configuration names no data, `DataError` for events of another shape than the model's.
    """
    if data is not None and data not in SPLITS:
        origin = from_dump(data)
    elif "density" in settings and data is None:
        origin = from_density(settings.build("density"), seed)
    elif "data" in settings:
        origin = from_split(settings, data or "test")
    else:
        raise UsageError(
            f"the model has no data set, so there is no {data!r} split; leave --data out to take "
            "draws of its density, or give a dump"
            if data is not None
            else "the model names no data; give a dump (--data samples.h5)"
        )
    if event_shape is not None and origin.event_shape != tuple(event_shape):
        raise DataError(
            f"{origin.name} has events of shape {origin.event_shape}, the model has "
            f"{tuple(event_shape)}; give data of the model's shape"
        )
    return origin
