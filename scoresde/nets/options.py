"""Range checks that the nets share; each raises `OptionError` naming option, value and range."""

from __future__ import annotations

import math

from scoresde.errors import OptionError


def at_least(name: str, value: int, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise OptionError(f"{name} is a whole number >= {least}, got {value!r}")
    return value


def probability(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < 1.0:
        raise OptionError(f"{name} lies in [0, 1), got {value!r}")
    return float(value)


def event(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The event shape as a tuple of positive whole numbers."""
    shape = tuple(shape)
    if not shape or math.prod(shape) < 1 or any(size < 1 for size in shape):
        raise OptionError(f"event_shape has one or more positive sizes, got {shape}")
    return shape
