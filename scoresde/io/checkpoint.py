"""Checkpoint: a safetensors file of named tensors with metadata, put in place whole.

    8 bytes, length of the header | header, JSON | tensors, little-endian, one after another

The header's `__metadata__` has one entry, `scoresde-checkpoint`: the JSON text of
{"schema_version": 1, "digest": ..., "metadata_digest": ..., "metadata": ...} (one entry, since
safetensors writes several in no fixed order; so equal checkpoints have equal bytes). The digests
are the SHA-256 of the tensors and of the metadata's text, so that nothing damaged is taken for
good. Reading one runs no code: there is no pickle, and no other format is tried. Any safetensors
reader opens it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO

from scoresde.errors import CheckpointError
from scoresde.io.failure import explain
from scoresde.io.placement import staged, write_at

if TYPE_CHECKING:
    import torch

SCHEMA = "scoresde-checkpoint"
SCHEMA_VERSION = 1
_HEADER_LIMIT = 100_000_000


def save(
    path: str | os.PathLike, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, object]
) -> None:
    """Write a checkpoint in the place of the old one, if any, which stays until the new is whole.

    tensors: any devices, strides and shared storage; each is stored contiguous and on its own.
    metadata: what JSON can hold (tuples come back as lists).

    Raises CheckpointError for metadata that JSON cannot hold, tensors that safetensors cannot
    (complex128, sparse), and when the system refuses to write; the old file is then intact.
    """
    import safetensors.torch
    import torch

    refusals = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)
    try:
        text = json.dumps(dict(metadata))
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"the metadata of checkpoint {path} do not fit into JSON ({error}); "
            "use text, numbers, lists and dicts"
        ) from error
    try:
        if "__metadata__" in tensors:
            raise ValueError("the name __metadata__ is taken by the format")
        owned = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in tensors.items()
        }
        start = f'{{"schema_version": {SCHEMA_VERSION}, "digest": "{_digest(owned)}"'
        start += f', "metadata_digest": "{_text_digest(text)}"'
        data = safetensors.torch.save(owned, {SCHEMA: f'{start}, "metadata": {text}}}'})
    except (*refusals, safetensors.SafetensorError) as error:
        raise CheckpointError(
            f"the tensors of checkpoint {path} cannot be stored ({error}); "
            "use dense tensors of a dtype that safetensors has"
        ) from error
    try:
        with staged(path, overwrite=True) as descriptor:
            write_at(descriptor, data, 0)
    except OSError as error:
        raise CheckpointError(
            f"cannot write the checkpoint {path}: {explain(error, path)} (a checkpoint that was "
            "there before is intact)"
        ) from error


def load(path: str | os.PathLike) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """(tensors on the CPU, metadata), as saved.

    Raises CheckpointError for a file that is missing, unreadable, truncated, foreign or of a
    newer schema.
    """
    import safetensors.torch

    with _readable(path) as file:
        data = file.read()
        envelope = _envelope(path, io.BytesIO(data), len(data))
        try:
            tensors = safetensors.torch.load(data)
        except (RuntimeError, safetensors.SafetensorError) as error:
            raise _damaged(path, str(error)) from error
    if _digest(tensors) != envelope["digest"]:
        raise _damaged(path, "its tensors are not those that were written (SHA-256 differs)")
    return tensors, envelope["metadata"]


def metadata(path: str | os.PathLike) -> dict[str, object]:
    """The metadata alone, from the header and without torch; the file's length is checked.

    Raises CheckpointError as `load`.
    """
    with _readable(path) as file:
        return _envelope(path, file, os.fstat(file.fileno()).st_size)["metadata"]


def digest(path: str | os.PathLike) -> str:
    """The stored SHA-256 of the tensors alone: equal where two runs ended in the same state."""
    with _readable(path) as file:
        return _envelope(path, file, os.fstat(file.fileno()).st_size)["digest"]


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over name, dtype, shape and bytes of every tensor, in the order of the names."""
    import torch

    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()


def sha256(path: str | os.PathLike) -> str:
    """Hexadecimal SHA-256 of the file, which names the exact weights. Raises CheckpointError."""
    with _readable(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _readable(path: str | os.PathLike) -> Iterator[BinaryIO]:
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        reason = explain(error, path)
        raise CheckpointError(f"cannot read the checkpoint {path}: {reason}") from error
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(path, "its header is no safetensors header") from error


def _envelope(path: str | os.PathLike, file: BinaryIO, size: int) -> dict:
    """Digest and metadata of an open file of `size` bytes, its schema and lengths found right."""
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(size - 8, _HEADER_LIMIT):
        raise _damaged(path, "its header is cut off or missing")
    header = json.loads(file.read(length))
    text = header.pop("__metadata__", {}).get(SCHEMA)
    if text is None:
        raise CheckpointError(
            f"{path} is a safetensors file but not a scoresde checkpoint (no {SCHEMA!r} in its "
            "metadata); name a file that `scoresde train` wrote"
        )
    envelope = json.loads(text)
    version = envelope["schema_version"]
    if version > SCHEMA_VERSION:
        raise CheckpointError(
            f"the checkpoint {path} has schema version {version}, this scoresde reads up to "
            f"{SCHEMA_VERSION}; upgrade scoresde"
        )
    expected = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if size - 8 - length != expected:
        raise _damaged(path, f"it holds {size - 8 - length} of {expected} bytes of tensors")
    found = envelope["metadata"]
    if envelope["metadata_digest"] != _text_digest(json.dumps(found)):
        raise _damaged(path, "its metadata are not those that were written (SHA-256 differs)")
    return {"digest": envelope["digest"], "metadata": found}


def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _damaged(path: str | os.PathLike, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is not a readable checkpoint: {reason}; it is truncated or of another kind: "
        "copy it again, use an earlier checkpoint or train anew"
    )
