"""The affine map between data as they were given and data as a model sees them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from scoresde.errors import DataError

Array = TypeVar("Array", np.ndarray, Tensor)
Number = float | tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Scaling:
    r"""model = (raw - shift) / scale, raw = model * scale + shift.

    Each of shift and scale is one number, or a tuple with one entry a column (the last axis).
    Arithmetic is in the dtype of the array given.

    Raises:
        DataError: a shift or scale that is not finite, or a scale that is not positive.
    """

    shift: Number = 0.0
    scale: Number = 1.0

    def __post_init__(self) -> None:
        for name in ("shift", "scale"):
            object.__setattr__(self, name, _numbers(name, getattr(self, name)))
        if min(np.atleast_1d(self.scale)) <= 0.0:
            raise DataError(f"a scaling's scale is positive, got {self.scale}")

    def apply(self, raw: Array) -> Array:
        """Model space: (raw - shift) / scale; raw (..., columns)."""
        return (raw - _like(self.shift, raw)) / _like(self.scale, raw)

    def undo(self, x: Array) -> Array:
        """Raw space: x * scale + shift; x (..., columns)."""
        return x * _like(self.scale, x) + _like(self.shift, x)

    def log_volume(self, event_shape: tuple[int, ...]) -> float:
        """log |d raw / d model| on one event: log p_raw(x_raw) = log p_model(x) - log_volume."""
        return float(self.log_volumes(event_shape).sum())

    def log_volumes(self, event_shape: tuple[int, ...]) -> np.ndarray:
        """log |d raw / d model| of each element of the flattened event, float64 (d,)."""
        scale = np.asarray(self.scale, dtype=np.float64)
        return np.log(np.broadcast_to(scale, event_shape)).reshape(-1)

    def to_dict(self) -> dict:
        """Plain numbers and lists, fit for JSON."""
        return {"shift": _plain(self.shift), "scale": _plain(self.scale)}

    @classmethod
    def from_dict(cls, record: dict) -> Scaling:
        """The inverse of `to_dict`; raises `DataError` on any other record."""
        if not isinstance(record, dict) or record.keys() != {"shift", "scale"}:
            raise DataError(f"a scaling's record has the keys shift and scale, got {record!r}")
        return cls(shift=record["shift"], scale=record["scale"])

    @classmethod
    def standardising(cls, raw: np.ndarray) -> Scaling:
        """Mean zero by column, unit root-mean-square deviation over all: what is round stays so.

        raw (n, d) float64. `Moments` has the scalings with a scale for each column.
        """
        mean = raw.mean(axis=0)
        std = np.sqrt(np.square(raw - mean).mean())
        return cls(shift=mean.tolist(), scale=or_one(std, mean))


def or_one(scale: np.ndarray, shift: np.ndarray) -> float | list[float]:
    """The scale, or 1 where it is zero but for the rounding of a shift of that size."""
    # a constant column's mean is off by its rounding, so its deviation is not quite zero
    floor = 1e-13 * np.abs(shift).max(initial=0.0) if scale.ndim == 0 else 1e-13 * np.abs(shift)
    return np.where(scale <= floor, 1.0, scale).tolist()


def _numbers(name: str, value: object) -> Number:
    many = isinstance(value, list | tuple)
    entries = value if many else [value]
    real = (isinstance(v, int | float) and not isinstance(v, bool) for v in entries)
    if not entries or not all(real) or not all(map(math.isfinite, entries)):
        raise DataError(f"a scaling's {name} is a finite number or a list of them, got {value!r}")
    return tuple(float(v) for v in entries) if many else float(value)


def _plain(value: Number) -> float | list[float]:
    return list(value) if isinstance(value, tuple) else value


def _like(value: Number, array: Array) -> Array:
    if isinstance(array, Tensor):
        return torch.tensor(value, dtype=array.dtype, device=array.device)
    return np.asarray(value, dtype=array.dtype)


PIXELS = Scaling(shift=127.5, scale=127.5)  # 0..255 to [-1, 1]
