"""What laws made of several parts share: their check, and noise that no two parts share."""

from __future__ import annotations

import torch

from scoresde.densities.base import Density
from scoresde.errors import OptionError
from scoresde.kernels import Purpose, uniform

_STEP = 2**32 - 1  # of the key that seeds of parts come from; no density draws there
_STRIDE = 0x9E3779B9  # odd, so that the seeds of 2^32 parts differ


def checked_parts(parts, whose: str) -> tuple[Density, ...]:
    """A tuple of at least one density; raises `OptionError` for anything else."""
    parts = tuple(parts) if isinstance(parts, list | tuple) else (parts,)
    if not parts:
        raise OptionError(f"parts of a {whose} are one density or more, got none")
    for i, part in enumerate(parts):
        if not isinstance(part, Density):
            raise OptionError(f"parts.{i} of a {whose} is a density, got {type(part).__name__}")
    return parts


def part_seed(seed: int, i: int) -> int:
    """The seed under which part i draws: (w + i 0x9E3779B9) mod 2^32.

    w is the Philox word of the key (seed, DATA, step 2^32 - 1, id 0). Under the whole's own seed
    parts would repeat each other's numbers, and those by which a mixture chooses among them.
    """
    u = uniform(seed, Purpose.DATA, _STEP, torch.zeros(1, dtype=torch.int64, device="cpu"), (1,))
    return (int(u.item() * 2.0**32) + i * _STRIDE) % 2**32
