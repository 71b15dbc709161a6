"""Data into a dump of latents, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scoresde.checkpointed import Source
from scoresde.config import Config
from scoresde.data import Scaling
from scoresde.errors import DumpError, OptionError
from scoresde.io.provenance import provenance
from scoresde.processes import NoiseLevel
from scoresde.samplers import Sampler
from scoresde.score import ScoreModel
from scoresde.transport.blocks import check_batch, dtype_named, to_numpy
from scoresde.transport.flow import certain, decode, encode, inverse_of, roundtrip_rms
from scoresde.transport.origin import DATA, LATENT, Origin


@dataclass(frozen=True, kw_only=True)
class Call:
    """How the rows of a dump are computed: by which method, how many at once, in what numbers.

    `method` has a [sampler] and a [grid]. `label` is the class that every row is given, -1 for
    none; by default rows are given their own, where the data have labels and the model takes them.
    """

    method: Config
    first_id: int | None = None
    n: int | None = None
    batch: int = 256
    dtype: str = "float32"
    device: str = "cpu"
    trajectory: bool = False
    label: int | None = None

    def __post_init__(self) -> None:
        check_batch(self.batch)
        dtype_named(self.dtype)


class _Carried:
    """What the two directions share: a source, its levels, a call, the data's or latents' origin."""

    def __init__(self, source: Source, call: Call, origin: Origin):
        self.source, self.call, self.origin = source, call, origin
        self.sampler: Sampler = call.method.build("sampler")
        self.levels: tuple[NoiseLevel, ...] = call.method.build("grid").levels(source.process)
        self.first_id, self.n = origin.chosen(call.first_id, call.n)
        self.batch = call.batch
        self.dtype = dtype_named(call.dtype)
        labels_of(source.model, torch.arange(1), call.label, None)  # refuses a label at once

    def bound(self, ids: Tensor) -> tuple[ScoreModel, Tensor | None]:
        """The model given the labels of these rows, and the labels."""
        model = self.source.model
        labels = labels_of(model, ids, self.call.label, self.origin.label_of)
        return (model if labels is None else model.given(labels)), labels

    def layout(self) -> dict:
        return {
            "rows": self.n,
            "first_id": self.first_id,
            "event_shape": tuple(self.source.model.event_shape),
            "dtype": self.call.dtype,
            "trajectory": len(self.levels) if self.call.trajectory else None,
            "label": bool(self.source.model.classes),
        }

    def attributes(self) -> dict:
        call, method = self.call, self.call.method.resolved()
        method.pop("seed")
        identity = {
            "model": self.source.identity,
            "process": self.source.process_table,
            **method,
            "batch": call.batch,
            "device": call.device,
            "stochastic": False,
            "noise_ratio": self.levels[0].noise_ratio,
            "given": "own labels" if call.label is None else f"label {call.label}",
        }
        described = {
            "description": self.source.description,
            "config": self.source.config.resolved(),
        }
        return {"identity": identity, "provenance": {**described, **provenance()}}

    def columns(self, columns: dict, labels: Tensor | None, trajectory: Tensor | None) -> dict:
        if trajectory is not None:
            columns["trajectory"] = self.source.scaling.undo(trajectory)
        if labels is not None:
            columns["label"] = labels
        return to_numpy(columns)


class Encoding(_Carried):
    """Data to latents, and back again for the error of the round trip.

    Facts of every row: `roundtrip_rms`, per element in the data's units; `latent_rms`, the root
    mean square of the latent's elements, 1 on average where the model is right; `nfe_decode`, the
    evaluations of the way back. `nfe` counts those of the way up.
    """

    def __init__(self, source: Source, call: Call, origin: Origin):
        super().__init__(source, call, origin)
        inverse_of(self.sampler)

    def rows(self, ids: Tensor) -> dict[str, np.ndarray]:
        raw = self.origin.read(ids).to(torch.float64)
        ids = ids.to(self.call.device)
        x = self.source.scaling.apply(raw).to(device=self.call.device, dtype=self.dtype)
        model, labels = self.bound(ids)
        way = (model, self.sampler, self.levels)
        up = encode(*way, x, ids=ids, trajectory=self.call.trajectory)
        back = decode(*way, up.x, ids=ids)
        undo = self.source.scaling.undo
        facts = {
            "roundtrip_rms": roundtrip_rms(undo(x), undo(back.x)),
            "latent_rms": roundtrip_rms(up.x, torch.zeros_like(up.x)),
            "nfe_decode": back.nfe,
        }
        return self.columns({"samples": up.x, "nfe": up.nfe, **facts}, labels, up.trajectory)

    def layout(self) -> dict:
        facts = {"roundtrip_rms": "float64", "latent_rms": "float64", "nfe_decode": "int64"}
        return {**super().layout(), "facts": facts}

    def attributes(self) -> dict:
        both = super().attributes()
        both["identity"] |= {
            "space": LATENT,
            "start": f"latents of {self.origin.start}",
            "data": self.origin.identity,
            "data_start": self.origin.start,
            "scaling": Scaling().to_dict(),
        }
        return both


class Decoding(_Carried):
    """Latents to data. `nfe` counts the evaluations of the way down."""

    def __init__(self, source: Source, call: Call, origin: Origin, recorded: dict):
        super().__init__(source, call, origin)
        certain(self.sampler)
        check_level(self.levels[0], recorded, origin.name)
        self.recorded = recorded

    def rows(self, ids: Tensor) -> dict[str, np.ndarray]:
        latents = self.origin.read(ids).to(device=self.call.device, dtype=self.dtype)
        ids = ids.to(self.call.device)
        model, labels = self.bound(ids)
        keep = self.call.trajectory
        down = decode(model, self.sampler, self.levels, latents, ids=ids, trajectory=keep)
        undo = self.source.scaling.undo
        return self.columns({"samples": undo(down.x), "nfe": down.nfe}, labels, down.trajectory)

    def attributes(self) -> dict:
        both = super().attributes()
        both["identity"] |= {
            "space": DATA,
            "start": str(self.recorded.get("data_start", self.origin.start)),
            "latents": self.origin.identity,
            "scaling": self.source.scaling.to_dict(),
        }
        return both


def labels_of(model: ScoreModel, ids: Tensor, label: int | None, own) -> Tensor | None:
    """The classes that rows are given, int64 (len(ids),), -1 for none; None for a model without.

    Raises `OptionError` for a class that the model does not have.
    """
    if not model.classes:
        if label is not None:
            raise OptionError(f"the model has no classes, so no label {label}; leave --label out")
        return None
    if label is None and own is not None:
        labels = own(ids).to(ids.device)
    else:
        labels = torch.full_like(ids, -1 if label is None else label)
    if not -1 <= int(labels.min()) <= int(labels.max()) < model.classes:
        raise OptionError(
            f"labels of this model are 0 to {model.classes - 1}, or -1 for none; got "
            f"{int(labels.min())} to {int(labels.max())}"
        )
    return labels


def check_level(level: NoiseLevel, recorded: dict, name: str) -> None:
    """`DumpError` unless latents were encoded at this sigma/alpha."""
    made = recorded.get("noise_ratio")
    if made is not None and not math.isclose(float(made), level.noise_ratio, rel_tol=1e-6):
        raise DumpError(
            f"the latents of {name} lie at sigma/alpha = {float(made):.6g}, this grid starts at "
            f"{level.noise_ratio:.6g}; take the grid and process that they were encoded with"
        )
