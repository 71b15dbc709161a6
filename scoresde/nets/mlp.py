"""A residual multilayer perceptron for vectors."""

from __future__ import annotations

import math

from torch import Tensor, nn

from scoresde.nets import options
from scoresde.nets.embedding import Conditions, zeroed
from scoresde.nets.recompute import run


class _Block(nn.Module):
    r"""h + W2 dropout(silu(a * norm(W1 h) + b)), (a - 1, b) an affine map of the embedding."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.enter = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.film = nn.Linear(width, 2 * width)
        self.leave = nn.Sequential(nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, width))

    def forward(self, h: Tensor, embedded: Tensor) -> Tensor:
        gain, bias = self.film(embedded).chunk(2, dim=1)
        return h + self.leave(self.norm(self.enter(h)) * (1.0 + gain) + bias)


class Trunk(nn.Module):
    r"""silu(norm(h_L)), h_0 = W_in x, h_{l+1} = block_l(h_l, embedded).

    x (B, size), embedded (B, width) -> (B, width). Raises `OptionError` for an option out of its
    range.
    """

    def __init__(self, size: int, width: int, blocks: int, dropout: float, recompute: bool):
        super().__init__()
        options.at_least("width", width, 2)
        options.at_least("blocks", blocks, 1)
        options.probability("dropout", dropout)
        self.recompute = options.switch("recompute", recompute)
        self.enter = nn.Linear(size, width)
        self.blocks = nn.ModuleList(_Block(width, dropout) for _ in range(blocks))
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.SiLU())

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        h = self.enter(x)
        for block in self.blocks:
            h = run(block, h, embedded, recompute=self.recompute)
        return self.leave(h)


class MLP(nn.Module):
    r"""W_out silu(norm(h_L)), h_0 = W_in x, h_{l+1} = h_l + block_l(h_l, told(noise, given)).

    Pre-activation residual blocks (He et al. 2016), conditioned by feature-wise affine maps
    (Perez et al. 2018, FiLM). Events of any rank are flattened and restored.

    Args:
        event_shape: shape of one sample.
        width: features of every hidden layer.
        blocks: residual blocks, two linear layers each.
        dropout: rate inside the blocks while training.
        recompute: keep the blocks' inputs alone for the gradient.
        classes: number of class labels that it can be given.
        features: length of the vectors that it can be given.
    Raises:
        OptionError: an option out of its range; when called, a condition that it cannot take.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        width: int = 128,
        blocks: int = 3,
        dropout: float = 0.0,
        recompute: bool = False,
        classes: int = 0,
        features: int = 0,
    ):
        super().__init__()
        self.event_shape = options.event(event_shape)
        self.classes, self.features = classes, features
        size = math.prod(self.event_shape)
        self.told = Conditions(options.at_least("width", width, 2), classes, features)
        self.trunk = Trunk(size, width, blocks, dropout, recompute)
        self.leave = zeroed(nn.Linear(width, size))

    def forward(self, x: Tensor, noise: Tensor, given: Tensor | None = None) -> Tensor:
        h = self.trunk(x.flatten(1), self.told(noise, given, x.dtype))
        return self.leave(h).to(x.dtype).reshape(x.shape)
