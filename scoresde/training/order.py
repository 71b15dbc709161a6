"""The order of the training data, as a function of the seed and the step."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from scoresde.kernels import Purpose, uniform


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, count: int) -> Tensor:
    """The order of one epoch: the data sorted by a uniform number each."""
    return uniform(seed, Purpose.ORDER, epoch, torch.arange(count), (1,))[:, 0].argsort()


def batch_indices(seed: int, step: int, batch: int, count: int) -> Tensor:
    """The indices of the batch at a step, int64 (batch,).

    Epochs are permutations laid end to end, and step k takes places k batch .. (k + 1) batch - 1,
    so every datum is seen once before any is seen twice, whatever the batch size.
    """
    places = torch.arange(step * batch, (step + 1) * batch)
    epochs = places // count
    parts = []
    for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
        parts.append(_permutation(seed, epoch, count)[places[epochs == epoch] % count])
    return torch.cat(parts)
