"""What a sample is given, a label or a vector: a function of its id."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scoresde.data import Scaling
from scoresde.errors import UsageError


@dataclass(frozen=True)
class Labels:
    """label(id) = cycle[id mod len(cycle)]; `text` says it in one word or as a list."""

    cycle: tuple[int, ...]
    text: str

    @classmethod
    def of(cls, label: int | str | tuple[int, ...], classes: int) -> Labels:
        """Labels of a class, of a cycle of classes, or of "all", that is id mod classes.

        A text is read as on the command line: "3", "0,1,1", "all". Raises `UsageError` for what
        is none of these and for labels outside 0..classes-1.
        """
        if label == "all":
            return cls(tuple(range(classes)), f"all {classes}")
        if isinstance(label, str):
            try:
                cycle = tuple(int(part) for part in label.split(","))
            except ValueError:
                raise UsageError(
                    "a label is a class (3), a list that is cycled by sample id (0,1,1) or 'all', "
                    f"got {label!r}"
                ) from None
        else:
            cycle = (label,) if isinstance(label, int) else tuple(label)
        for c in cycle:
            if isinstance(c, bool) or not isinstance(c, int) or not 0 <= c < classes:
                raise UsageError(
                    f"the label {c!r} is no class of this model, which has 0..{classes - 1}; "
                    "leave labels out for unconditional samples"
                )
        if not cycle:
            raise UsageError("a cycle of labels has one label or more")
        return cls(cycle, ",".join(map(str, cycle)))

    def at(self, ids: Tensor) -> Tensor:
        """The labels of these ids, int64 (len(ids),)."""
        cycle = torch.tensor(self.cycle, dtype=torch.int64, device=ids.device)
        return cycle[ids % len(self.cycle)]


@dataclass(frozen=True)
class Vector:
    """One vector for every sample, as the model sees it; `text` says it as it was asked for."""

    values: tuple[float, ...]
    text: str

    @classmethod
    def of(cls, raw: tuple[float, ...], features: int, scaling: Scaling) -> Vector:
        """A vector in the units of the data; raises `UsageError` for one that does not fit."""
        if len(raw) != features or not all(map(math.isfinite, raw)):
            raise UsageError(
                f"the model takes vectors of {features} finite numbers, got {list(raw)}"
                if features
                else "the model takes no vectors: leave them out, or train a net with `features`"
            )
        values = scaling.apply(np.asarray(raw, dtype=np.float64))
        text = ",".join(repr(float(v)).removesuffix(".0") for v in raw)  # gives the floats back
        return cls(tuple(values.tolist()), text)

    def at(self, ids: Tensor) -> Tensor:
        """The vector once for each id, float32 (len(ids), features)."""
        row = torch.tensor(self.values, dtype=torch.float32, device=ids.device)
        return row.expand(len(ids), -1)
