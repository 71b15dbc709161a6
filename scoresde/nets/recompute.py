"""Memory for time: a block's inner states are made again on the way back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def run(block: Callable[..., Tensor], *inputs, recompute: bool) -> Tensor:
    """block(*inputs); with `recompute`, only the inputs are kept for the gradient.

    Gradient checkpointing (Chen et al. 2016): about one more forward pass in a step of training,
    for the memory of the blocks' inner states. Dropout draws the same mask both times.
    """
    if recompute and torch.is_grad_enabled():
        return checkpoint(block, *inputs, use_reentrant=False)
    return block(*inputs)
