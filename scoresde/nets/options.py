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


def switch(name: str, value: bool) -> bool:
    if not isinstance(value, bool):
        raise OptionError(f"{name} is true or false, got {value!r}")
    return value


def event(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The event shape as a tuple of positive whole numbers."""
    shape = tuple(shape)
    if not shape or math.prod(shape) < 1 or any(size < 1 for size in shape):
        raise OptionError(f"event_shape has one or more positive sizes, got {shape}")
    return shape


def image(name: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(channels, height, width) of the images that the net `name` takes."""
    shape = event(shape)
    if len(shape) != 3:
        raise OptionError(
            f"{name} takes images (channels, height, width), got events of shape {shape}; "
            "'mlp' takes any"
        )
    return shape


def levels(
    shape: tuple[int, int, int],
    channels: int,
    multipliers: tuple[int, ...],
    attention: tuple[int, ...],
    groups: int,
) -> list[int]:
    """The features of each level of a pyramid of resolutions, channels times multiplier."""
    at_least("channels", channels, 1)
    at_least("groups", groups, 1)
    if not multipliers:
        raise OptionError("multipliers has one entry a resolution, got none")
    for multiplier in multipliers:
        at_least("multipliers", multiplier, 1)
        if channels * multiplier % groups:
            raise OptionError(
                f"groups {groups} does not divide the {channels * multiplier} features of a level "
                f"(channels {channels} times {multiplier})"
            )
    # a level of one pixel can be kept, but not halved
    most = (min(shape[1:]) - 1).bit_length() + 1
    if len(multipliers) > most:
        raise OptionError(
            f"{len(multipliers)} multipliers halve {shape[1]}x{shape[2]} images below one pixel; "
            f"give at most {most}"
        )
    for level in attention:
        if (
            isinstance(level, bool)
            or not isinstance(level, int)
            or not (0 <= level < len(multipliers))
        ):
            raise OptionError(f"attention names levels 0 to {len(multipliers) - 1}, got {level!r}")
    return [channels * multiplier for multiplier in multipliers]
