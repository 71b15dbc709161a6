"""The embedding of a net's condition."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Embedding(nn.Module):
    r"""c -> W2 silu(W1 [cos(f_k c), sin(f_k c)]), f_k geometric from 1/4 to 16.

    The sinusoidal embedding (Vaswani et al. 2017, section 3.5) with frequencies for |c| <= 3: the
    lowest is monotone over that range, the highest turns about every 0.4. Fixed, not random, so
    that a checkpoint needs only the weights.

    c (B,) -> (B, width), in c's dtype.
    """

    def __init__(self, width: int, frequencies: int = 16):
        super().__init__()
        ladder = torch.linspace(math.log(0.25), math.log(16.0), frequencies, dtype=torch.float64)
        self.register_buffer("frequencies", ladder.exp().to(torch.float32), persistent=False)
        self.layers = nn.Sequential(
            nn.Linear(2 * frequencies, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, condition: Tensor) -> Tensor:  # (B,)
        angle = condition[:, None] * self.frequencies.to(condition.dtype)
        return self.layers(torch.cat([angle.cos(), angle.sin()], dim=1))


def zeroed(layer: nn.Module) -> nn.Module:
    """The layer with every parameter at zero: its branch starts as nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
