"""The density of a file, as a member of the family: fitted models within configurations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from scoresde.densities.affine import affine
from scoresde.densities.base import Density
from scoresde.densities.derived import Derived
from scoresde.densities.stored import density_of
from scoresde.errors import CapabilityError, CheckpointError, OptionError
from scoresde.io import checkpoint


@dataclass(kw_only=True)
class Stored(Derived):
    """The density that `scoresde fit`, `densities.save` or `estimators.save` wrote at `path`.

    In `units` of "data" it is the law of the data as they were given to the fit; in those of
    "model", the law that was fitted, of scaled data (the same where the file tells no scaling).
    `sha256` is that of the file: found where it is not given, so that a resolved configuration
    names the very density, and compared where it is. Stored again, a file keeps the density
    itself. Raises `CheckpointError` for a file that is missing, holds no density or is another,
    `CapabilityError` for a law that the scaling's columns cannot be undone on.
    """

    path: str
    units: Literal["data", "model"] = "data"
    sha256: str | None = None

    def __post_init__(self) -> None:
        if self.units not in ("data", "model"):
            raise OptionError(f"units of a stored density are data or model, got {self.units!r}")
        found = checkpoint.sha256(self.path)
        if self.sha256 not in (None, found):
            raise CheckpointError(
                f"{self.path} is another file than the one that was named: its sha256 is {found}, "
                f"not {self.sha256}; leave sha256 out to take it as it is"
            )
        self.sha256 = found
        tensors, metadata = checkpoint.load(self.path)
        density = density_of(self.path, tensors, metadata)
        scaling = metadata.get("scaling")
        if self.units == "data" and scaling is not None:
            scale, shift = (
                np.broadcast_to(np.asarray(scaling[name], dtype=np.float64), density.event_shape)
                for name in ("scale", "shift")
            )
            if (scale != 1.0).any() or (shift != 0.0).any():
                density = _undone(density, scale.copy(), shift.copy(), self.path)
        self.density = density
        self.event_shape = tuple(density.event_shape)

    def for_file(self) -> Density:
        return self.density.for_file()


def _undone(density: Density, scale: np.ndarray, shift: np.ndarray, path: str) -> Density:
    try:
        return affine(density, scale=scale, shift=shift)
    except CapabilityError as error:
        raise CapabilityError(
            f"{path} holds the law of data scaled by column, which cannot be undone ({error}); "
            'take it in units = "model"'
        ) from None
