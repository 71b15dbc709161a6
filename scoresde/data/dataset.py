"""What every data set loads to."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from scoresde.data.scaling import Scaling
from scoresde.errors import DataError, counted

BLOCK = 2**19  # elements in a block: 4 MB of float64


class Rows(Protocol):
    """Rows (n, *event) of float32 that need not lie in memory; a tensor offers the same.

    Rows that are no tensor also have `fingerprint`, a text that equal content alone shares. They
    may have `blocks()`, an iterator over all of them in the order that is quickest to read.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor | slice) -> Tensor: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Two splits in model space, and the scaling that leads back to the data as given.

    train (n, *event) and test (m, *event): float32 tensors, or `Rows` where memory would not hold
    them. Labels, where there are any: int64 (n,) for classes from 0, or float32 (n, k) for vectors
    that a sample may be conditioned on. `given_scaling` leads from such a vector (model) to the
    one that the user gave (raw); `class_names` are in the order of the labels.
    `attribution` names the makers and the licence, or says that the data come from a formula.
    `flip` says that an image may be mirrored left to right in training.

    Raises:
        DataError: labels of a wrong length, shape or dtype; `flip` where the rows are no images.
    """

    name: str
    train: Tensor | Rows
    test: Tensor | Rows
    scaling: Scaling
    attribution: str
    train_labels: Tensor | None = None
    test_labels: Tensor | None = None
    flip: bool = False
    given_scaling: Scaling = field(default_factory=Scaling)
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for split in ("train", "test"):
            _check(self.name, split, getattr(self, f"{split}_labels"), len(getattr(self, split)))
        if self.flip and len(self.event_shape) != 3:
            raise DataError(
                f"{self.name}: flip mirrors images (channels, height, width); these rows have the "
                f"shape {self.event_shape}; leave flip out"
            )

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(self.train.shape[1:])

    @property
    def classes(self) -> int:
        """Number of classes, the largest label of both splits plus one; 0 without classes."""
        labels = [y for y in self._labels() if not y.is_floating_point() and len(y)]
        return max((int(y.max()) + 1 for y in labels), default=0)

    @property
    def features(self) -> int:
        """Length k of the vectors that a sample may be conditioned on; 0 without them."""
        return max((y.shape[1] for y in self._labels() if y.is_floating_point()), default=0)

    @property
    def std(self) -> float:
        """Root-mean-square deviation of the training split's elements from their common mean.

        Blocks are merged by Chan, Golub & LeVeque 1983, eq. 2.1, in float64.
        """
        count, mean, squares = 0, 0.0, 0.0
        for block in blocks(self.train):
            block = block.double()
            n, gap = block.numel(), float(block.mean()) - mean
            squares += float(torch.var(block, correction=0)) * n
            squares += gap * gap * count * n / (count + n)
            mean += gap * n / (count + n)
            count += n
        return math.sqrt(squares / count) if count else math.nan

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content, in hexadecimal: of every split and its labels, not of names.

        A tensor enters by dtype, shape and bytes, other rows by their own fingerprint.
        """
        digest = hashlib.sha256()
        for part in (self.train, self.test, self.train_labels, self.test_labels):
            if part is None:
                digest.update(b"none;")
            elif isinstance(part, Tensor):
                digest.update(f"{part.dtype} {tuple(part.shape)};".encode())
                digest.update(part.detach().cpu().contiguous().numpy().reshape(-1).data)
            else:
                digest.update(f"{part.fingerprint};".encode())
        return digest.hexdigest()

    def _labels(self) -> list[Tensor]:
        return [y for y in (self.train_labels, self.test_labels) if y is not None]


def block_rows(event_shape: tuple[int, ...]) -> int:
    """How many rows make a block of about 4 MB in float64; at least one."""
    return max(1, BLOCK // max(1, math.prod(event_shape)))


def blocks(rows: Tensor | Rows) -> Iterator[Tensor]:
    """All rows, a block at a time; in their own quickest order where they have one."""
    if hasattr(rows, "blocks"):
        yield from rows.blocks()
        return
    step = block_rows(tuple(rows.shape[1:]))
    for begin in range(0, len(rows), step):
        yield rows[begin : begin + step]


def _check(name: str, split: str, labels: Tensor | None, rows: int) -> None:
    if labels is None:
        return
    if (labels.dtype, labels.ndim) not in ((torch.int64, 1), (torch.float32, 2)):
        raise DataError(
            f"{name}: {split} labels are int64 (n,) classes or float32 (n, k) vectors, got "
            f"{labels.dtype} of shape {tuple(labels.shape)}"
        )
    if labels.dtype == torch.int64 and len(labels) and int(labels.min()) < -1:
        raise DataError(
            f"{name}: a {split} label is {int(labels.min())}; classes run from 0, and -1 stands "
            "for a label not given"
        )
    if len(labels) != rows:
        raise DataError(
            f"{name}: {counted(len(labels), 'label')} for {counted(rows, 'row')} of the {split} "
            "split"
        )
