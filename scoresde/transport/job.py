"""What every job on a model shares: how it is called, labels, the columns of a dump."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from scoresde.checkpointed import Source
from scoresde.config import Config
from scoresde.errors import DataError, DumpError, UsageError
from scoresde.guidance import cost
from scoresde.guided import conditions_of, guided
from scoresde.io.provenance import provenance
from scoresde.jobs import check_batch, dtype_named, to_numpy
from scoresde.processes import NoiseLevel
from scoresde.samplers import Sampler
from scoresde.score import ScoreModel
from scoresde.transport.origin import Origin

NO_LABEL = "none"


@dataclass(frozen=True, kw_only=True)
class Call:
    """How the rows of a dump are computed: by which method, how many at once, in what numbers.

    `method` has a [sampler] and a [grid], and may have a [guidance] and a [threshold]. `label` is
    a class, a cycle of classes by id or "all", and `vector` what a model of vectors is given, as
    for samples; the label "none" is no class. By default rows are given their own class, where
    they have one and the model takes it.
    """

    method: Config
    first_id: int | None = None
    n: int | None = None
    batch: int = 256
    dtype: str = "float32"
    device: str = "cpu"
    trajectory: bool = False
    label: int | str | tuple[int, ...] | None = None
    vector: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_batch(self.batch)
        dtype_named(self.dtype)
        if "kernel" in self.method or "sampler" not in self.method:
            raise UsageError(
                "a Langevin kernel carries no start to a sample; take a deterministic sampler"
            )


class Carried:
    """A source bound to a call and to the origin of what it carries; a `Job` but for `rows`.

    `guide` is the second model that the method's guidance may need.
    """

    def __init__(self, source: Source, call: Call, origin: Origin, guide: Source | None = None):
        self.source, self.call, self.origin, self.guide = source, call, origin, guide
        self.model = guided(source, call.method, guide)
        shape = tuple(self.model.event_shape)
        if origin.event_shape != shape:
            raise DataError(
                f"{origin.name} has events of shape {origin.event_shape}, the model has {shape}; "
                "give data of the model's shape"
            )
        self.sampler: Sampler = call.method.build("sampler")
        self.levels: tuple[NoiseLevel, ...] = call.method.build("grid").levels(source.process)
        self.batch, self.dtype = call.batch, dtype_named(call.dtype)
        self.first_id, self.n = origin.chosen(call.first_id, call.n)
        self.given_at, self.given = self._conditions()
        self.labelled = self.given_at is not None and call.vector is None

    def _conditions(self):
        """(what gives the conditions of ids, or None; the same in words)."""
        call, own = self.call, self.origin.label_of
        if call.label is None and call.vector is None and own is not None and self.model.classes:
            return own, "own"
        label = None if call.label == NO_LABEL else call.label
        scaling = self.source.given_scaling
        found = conditions_of(self.model, call.method, label, call.vector, scaling)
        return (None, NO_LABEL) if found is None else (found.at, found.text)

    def bound(self, ids: Tensor) -> tuple[ScoreModel, Tensor | None]:
        """The model given what these ids of the origin are given, and their labels if any.

        Raises `DataError` for rows of a class that the model does not know.
        """
        if self.given_at is None:
            return self.model, None
        if not self.labelled:
            return self.model.given(self.given_at(ids.to(self.call.device))), None
        labels = self.given_at(ids)
        if not -1 <= int(labels.min()) <= int(labels.max()) < self.model.classes:
            raise DataError(
                f"{self.origin.name} has labels from {int(labels.min())} to {int(labels.max())}, "
                f"the model has the classes 0..{self.model.classes - 1}; set --label"
            )
        return self.model.given(labels.to(self.call.device)), labels

    def layout(self) -> dict:
        return {
            "rows": self.n,
            "first_id": self.first_id,
            "event_shape": tuple(self.model.event_shape),
            "dtype": self.call.dtype,
            "trajectory": len(self.levels) if self.call.trajectory else None,
            "label": self.labelled,
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
            "given": self.given,
            "origin": self.origin.identity,
        }
        if self.guide is not None:
            identity["guide"] = self.guide.identity
        described = {
            "description": self.source.description,
            "evaluations_per_call": cost(self.model),
            "config": self.source.config.resolved(),
        }
        return {"identity": identity, "provenance": {**described, **provenance()}}

    def columns(
        self, columns: dict[str, Tensor], labels: Tensor | None, trajectory: Tensor | None
    ) -> dict[str, np.ndarray]:
        """Columns with the states of a trajectory in the data's units, and labels."""
        if trajectory is not None:
            columns["trajectory"] = self.source.scaling.undo(trajectory)
        if labels is not None:
            columns["label"] = labels
        return to_numpy(columns)


def check_level(level: NoiseLevel, recorded: Mapping[str, object], name: str) -> None:
    """`DumpError` unless latents were encoded at this sigma/alpha."""
    made = recorded.get("noise_ratio")
    if made is not None and not math.isclose(float(made), level.noise_ratio, rel_tol=1e-6):
        raise DumpError(
            f"{name} lies at sigma/alpha = {float(made):.6g}, this grid starts at "
            f"{level.noise_ratio:.6g}; take the grid and process of the encoding"
        )
