"""Fitted models in safe files: the density for every command, the model's own fields beside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from torch import Tensor

from scoresde.densities import stored
from scoresde.densities.packed import pack, unpack
from scoresde.errors import CheckpointError
from scoresde.estimators.base import Fitted
from scoresde.estimators.family import ESTIMATORS
from scoresde.io import checkpoint

KEY = "fitted"


def save(path: str | Path, model: Fitted, *, metadata: Mapping[str, object] | None = None) -> None:
    """Write a fitted model; raises `CheckpointError` as `io.checkpoint.save`."""
    tensors: dict[str, Tensor] = {}
    own = {f.name: getattr(model, f.name) for f in fields(model) if f.name != stored.KEY}
    plain = {"name": _name_of(model), "fields": pack(own, KEY, tensors)}
    stored.save(path, model.density, tensors=tensors, metadata={**(metadata or {}), KEY: plain})


def load(path: str | Path) -> Fitted:
    """The fitted model of a file, as saved.

    Raises `CheckpointError` for a file that holds none or one that cannot be made here.
    """
    tensors, metadata = checkpoint.load(path)
    if KEY not in metadata:
        raise CheckpointError(
            f"the checkpoint {path} holds no fitted model; give a file that scoresde fit wrote"
        )
    plain = metadata[KEY]
    if not isinstance(plain, dict) or not {"name", "fields"} <= plain.keys():
        raise CheckpointError(f"the checkpoint {path} tells no fitted model; copy it again")
    model = ESTIMATORS[plain["name"]].model
    own = unpack(plain["fields"], tensors)
    if any(f.name == stored.KEY for f in fields(model)):
        own[stored.KEY] = stored.density_of(path, tensors, metadata)
    try:
        return model(**own)
    except TypeError as error:
        raise CheckpointError(f"the fitted model of {path} cannot be made here: {error}") from None


def _name_of(model: Fitted) -> str:
    for name in ESTIMATORS.names():
        if ESTIMATORS[name].model is type(model):
            return name
    raise CheckpointError(
        f"{type(model).__name__} belongs to no estimator of the family and cannot be stored"
    )
