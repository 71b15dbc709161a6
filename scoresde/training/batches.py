"""Batches of a data set: rows, conditions and randomness as functions of (seed, step, place)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.data import Dataset
from scoresde.kernels import Noise, Purpose
from scoresde.objectives import Draws
from scoresde.training.order import batch_indices

Part = tuple[Draws, Tensor, Tensor | None]


@dataclass(frozen=True)
class Batches:
    """The batches of one split on a device; `parts(step)` gives one in equal parts.

    In training the rows follow the permuted order, images are mirrored where the data allow it,
    and a share `label_dropout` of the rows goes without its condition. Held out, every batch is
    the first `batch` rows as they are.
    """

    data: Dataset
    batch: int
    seed: int
    device: torch.device
    split: int = 1
    conditional: bool = False
    label_dropout: float = 0.0
    held_out: bool = False

    def parts(self, step: int) -> Iterator[Part]:
        """(draws, x (part, *event), condition (part,) or (part, features) or None) in turn."""
        rows = self.data.test if self.held_out else self.data.train
        labels = self.data.test_labels if self.held_out else self.data.train_labels
        if self.held_out:
            order = torch.arange(self.batch)
        else:
            order = batch_indices(self.seed, step, self.batch, len(rows))
        places = torch.arange(self.batch, device=self.device)
        size = -(-self.batch // self.split)
        for ids, index in zip(places.split(size), order.split(size), strict=True):
            draws = Draws(Noise(self.seed), step, ids, self.batch)
            index = index.to(rows.device if isinstance(rows, Tensor) else "cpu")
            x = rows[index].to(self.device, non_blocking=True)
            condition = None
            if self.conditional:
                condition = labels[index.to(labels.device)].to(self.device, non_blocking=True)
            yield draws, *self._changed(draws, x, condition)

    def _changed(self, draws: Draws, x: Tensor, condition: Tensor | None):
        if self.held_out:
            return x, condition
        if self.data.flip:
            mirrored = draws.uniform(Purpose.FLIP) < 0.5
            x = torch.where(mirrored.reshape(-1, *[1] * (x.ndim - 1)), x.flip(-1), x)
        if condition is not None and self.label_dropout > 0.0:
            dropped = draws.uniform(Purpose.LABEL) < self.label_dropout
            condition = condition.clone()
            condition[dropped] = torch.nan if condition.is_floating_point() else -1
        return x, condition
