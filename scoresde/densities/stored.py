"""Densities in safe files: a checkpoint whose metadata tell the density."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from scoresde.densities.base import Density
from scoresde.densities.packed import pack, unpack
from scoresde.errors import CheckpointError
from scoresde.io import checkpoint

KEY = "density"  # of the metadata, and the first part of the tensors' names


def save(
    path: str | Path,
    density: Density,
    *,
    tensors: Mapping[str, Tensor] | None = None,
    metadata: Mapping[str, object] | None = None,
) -> None:
    """Write a density, with further tensors and metadata of the caller's, as a checkpoint.

    Raises `CapabilityError` for a density that cannot be stored, `CheckpointError` as
    `io.checkpoint.save`.
    """
    held = dict(tensors or {})
    plain = pack(density, KEY, held)
    checkpoint.save(path, held, {**(metadata or {}), KEY: plain})


def load(path: str | Path) -> Density:
    """The density of a file; raises `CheckpointError` for a file that holds none."""
    tensors, metadata = checkpoint.load(path)
    return density_of(path, tensors, metadata)


def density_of(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping) -> Density:
    """The density of a checkpoint that has been read."""
    if KEY not in metadata:
        raise CheckpointError(
            f"the checkpoint {path} holds a network, not a density; give a file that scoresde "
            "fit wrote"
        )
    density = unpack(metadata[KEY], dict(tensors))
    if not isinstance(density, Density):
        raise CheckpointError(f"the checkpoint {path} tells no density; copy it again")
    return density
