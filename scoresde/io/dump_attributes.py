"""Attributes of a dump: who made it, and which of them say that two runs are the same run.

They come in two groups. `identity` holds what the numbers depend on (seed, resolved config,
checkpoint hash, solver): a run is resumed only if it agrees. `provenance` holds what may change
between a run and its resumption (versions, git revision, platform): kept from the first run.

In the file all are attributes of the root, so that any HDF5 tool shows them: text, whole numbers,
reals and truth values as they are, everything else as JSON text. The attribute `manifest` (JSON)
lists which names form the identity and which values are JSON.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping

import numpy as np

from scoresde.errors import DumpError

GROUPS = ("identity", "provenance")
RESERVED = ("schema", "schema_version", "manifest")


def encode(attributes: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """Root attributes of the file, in the order given.

    Raises DumpError for a group other than `identity` and `provenance`, a name given twice or
    reserved, and a value that is neither text, number, truth value, None, list nor dict of such.
    """
    for group, values in attributes.items():
        if group not in GROUPS or not isinstance(values, Mapping):
            raise DumpError(
                f"dump attributes come as two dicts, {' and '.join(GROUPS)}; not {group!r}"
            )
    encoded, manifest = {}, {"identity": [], "json": []}
    for group in GROUPS:
        for name, value in attributes.get(group, {}).items():
            if not isinstance(name, str) or not name.isidentifier() or name in RESERVED:
                raise DumpError(f"a dump attribute cannot be named {name!r}: use a plain name")
            if name in encoded:
                raise DumpError(f"the dump attribute {name!r} is given twice: keep one of them")
            value = plain(value, name)
            if not _is_native(value):
                manifest["json"].append(name)
                value = json.dumps(value)
            if group == "identity":
                manifest["identity"].append(name)
            encoded[name] = value
    return {**encoded, "manifest": json.dumps(manifest)}


def decode(stored: Mapping[str, object]) -> tuple[dict[str, object], tuple[str, ...]]:
    """(all attributes as given, names of the identity), from the attributes of a file's root."""
    manifest = json.loads(stored["manifest"])
    values = {}
    for name, value in stored.items():
        if name in RESERVED:
            continue
        value = value.item() if isinstance(value, np.generic) else value
        values[name] = json.loads(value) if name in manifest["json"] else value
    return values, tuple(manifest["identity"])


def first_difference(ours: object, theirs: object, name: str = "") -> tuple | None:
    """(dotted name, our value, their value) where two plain values first differ, or None."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in dict.fromkeys([*ours, *theirs]):
            inner = f"{name}.{key}" if name else str(key)
            found = first_difference(ours.get(key, "(absent)"), theirs.get(key, "(absent)"), inner)
            if found:
                return found
        return None
    same = json.dumps(ours, sort_keys=True) == json.dumps(theirs, sort_keys=True)
    return None if same else (name, ours, theirs)


def plain(value: object, name: str) -> object:
    """`value` in JSON's types: tuples and arrays as lists, paths and non-finite reals as text.

    A real at the top of `name` stays a real even if not finite, since HDF5 can hold it.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): _nested(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_nested(item, f"{name}[{place}]") for place, item in enumerate(value)]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise DumpError(
        f"the dump attribute {name!r} is a {type(value).__name__}, which cannot be stored; "
        "give text, numbers, truth values, or lists and dicts of them"
    )


def _nested(value: object, name: str) -> object:
    value = plain(value, name)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _is_native(value: object) -> bool:
    """Whether HDF5 holds the value itself: 64-bit integers, and text without NUL or surrogates."""
    if isinstance(value, bool | float):
        return True
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    if not isinstance(value, str) or "\0" in value:
        return False
    return value.encode("utf-8", "ignore").decode("utf-8") == value
