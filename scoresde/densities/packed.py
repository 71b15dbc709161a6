"""A density as plain data and named tensors, and back: what a file can hold.

A tensor stands in the plain data as {"$tensor": name}, a density as {"$density": its name in the
family, "options": its arguments}, packed within each other to any depth. A density that was read
from a file is packed as what it holds, so that the new file stands by itself.
"""

from __future__ import annotations

from torch import Tensor

from scoresde.densities.base import Density
from scoresde.densities.packable import PACKABLE
from scoresde.errors import CheckpointError, ScoresdeError

TENSOR, DENSITY = "$tensor", "$density"


def pack(value: object, name: str, tensors: dict[str, Tensor]) -> object:
    """Plain data for a value; its tensors go into `tensors` under names that begin with `name`.

    Raises `CapabilityError` for a density that does not tell its arguments.
    """
    if isinstance(value, Tensor):
        tensors[name] = value
        return {TENSOR: name}
    if isinstance(value, Density):
        value = value.for_file()
        options = {
            key: pack(inner, f"{name}.{key}", tensors) for key, inner in value.arguments().items()
        }
        return {DENSITY: PACKABLE.name_of(value), "options": options}
    if isinstance(value, dict):
        return {key: pack(inner, f"{name}.{key}", tensors) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [pack(inner, f"{name}.{i}", tensors) for i, inner in enumerate(value)]
    return value


def unpack(plain: object, tensors: dict[str, Tensor]) -> object:
    """The value of plain data; lists come back as tuples.

    Raises `CheckpointError` for a tensor that is missing or a density that cannot be made.
    """
    if isinstance(plain, list):
        return tuple(unpack(inner, tensors) for inner in plain)
    if not isinstance(plain, dict):
        return plain
    if TENSOR in plain:
        if plain[TENSOR] not in tensors:
            raise CheckpointError(f"the file lacks the tensor {plain[TENSOR]!r}; copy it again")
        return tensors[plain[TENSOR]]
    if DENSITY in plain:
        options = unpack(plain.get("options", {}), tensors)
        try:
            return PACKABLE[plain[DENSITY]](**options)
        except (ScoresdeError, TypeError) as error:
            raise CheckpointError(
                f"the file's density {plain[DENSITY]!r} cannot be made here: {error}"
            ) from None
    return {key: unpack(inner, tensors) for key, inner in plain.items()}
