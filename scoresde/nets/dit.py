"""A diffusion transformer for images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from scoresde.errors import OptionError
from scoresde.nets import options
from scoresde.nets.embedding import Conditions, zeroed
from scoresde.nets.recompute import run


def patchify(x: Tensor, patch: int) -> Tensor:
    """(B, C, H, W) -> (B, H W / p^2, C p^2): patches by rows, each as (C, p, p)."""
    batch, channels, height, width = x.shape
    x = x.reshape(batch, channels, height // patch, patch, width // patch, patch)
    return x.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def unpatchify(tokens: Tensor, shape: tuple[int, int, int], patch: int) -> Tensor:
    """The inverse of `patchify`, to images of the shape (C, H, W)."""
    channels, height, width = shape
    x = tokens.reshape(-1, height // patch, width // patch, channels, patch, patch)
    return x.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, height, width)


def positions(rows: int, columns: int, width: int) -> Tensor:
    """Fixed sinusoidal positions (rows * columns, width): half for the row, half for the column.

    [sin(w_k p), cos(w_k p)], w_k = 10000^(-4k/width), k < width/4 (Vaswani et al. 2017 in two
    dimensions).
    """
    quarter = width // 4
    rate = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    halves = []
    for place in torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"):
        angle = place.reshape(-1, 1) * rate
        halves += [angle.sin(), angle.cos()]
    return torch.cat(halves, dim=1).to(torch.float32)


class _Block(nn.Module):
    r"""h += g1 attention(a1 norm(h) + b1); h += g2 mlp(a2 norm(h) + b2), from the embedding.

    adaLN-Zero (Peebles & Xie 2023, section 3.2): the gates g start at zero, so that a block
    starts as the identity.
    """

    def __init__(self, width: int, heads: int, inner: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.told = zeroed(nn.Linear(width, 6 * width))
        self.enter = nn.Linear(width, 3 * width)
        self.leave = nn.Sequential(nn.Linear(width, width), nn.Dropout(dropout))
        self.mlp = nn.Sequential(
            nn.Linear(width, inner),
            nn.GELU(approximate="tanh"),
            nn.Dropout(dropout),
            nn.Linear(inner, width),
            nn.Dropout(dropout),
        )

    def forward(self, h: Tensor, embedded: Tensor) -> Tensor:
        b1, a1, g1, b2, a2, g2 = self.told(embedded)[:, None].chunk(6, dim=2)
        h = h + g1 * self._mixed(self.norm(h) * (1.0 + a1) + b1)
        return h + g2 * self.mlp(self.norm(h) * (1.0 + a2) + b2)

    def _mixed(self, h: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.enter(h).chunk(3, dim=2)
        )
        return self.leave(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class DiT(nn.Module):
    r"""x -> patches -> blocks of attention and an MLP, told by adaLN-Zero -> patches -> image.

    Diffusion transformer (Peebles & Xie 2023). Its S, B, L and XL are width 384, 768, 1024, 1152,
    depth 12, 12, 24, 28 and heads 6, 12, 16, 16; "/2" is patch 2.

    Args:
        event_shape: (channels, height, width) of one image.
        patch: height and width of a patch; divides those of the image.
        width: features of a token; a multiple of 4 and of `heads`.
        depth: blocks.
        heads: attention heads of a block.
        mlp_ratio: inner features of a block's MLP, as a multiple of `width`.
        dropout: rate after attention and in the MLPs while training.
        recompute: keep the blocks' inputs alone for the gradient.
        classes: number of class labels that it can be given.
        features: length of the vectors that it can be given.
    Raises:
        OptionError: an option out of its range, or a patch that does not divide the image; when
            called, a condition that it cannot take or an image of another size.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        patch: int = 2,
        width: int = 128,
        depth: int = 6,
        heads: int = 4,
        mlp_ratio: int = 4,
        dropout: float = 0.0,
        recompute: bool = False,
        classes: int = 0,
        features: int = 0,
    ):
        super().__init__()
        self.event_shape = options.image("net 'dit'", event_shape)
        self.classes, self.features = classes, features
        for name, value in (("patch", patch), ("depth", depth), ("mlp_ratio", mlp_ratio)):
            options.at_least(name, value, 1)
        options.at_least("width", width, 4)
        options.at_least("heads", heads, 1)
        options.probability("dropout", dropout)
        self.patch, self.recompute = patch, options.switch("recompute", recompute)
        channels, *size = self.event_shape
        if size[0] % patch or size[1] % patch:
            raise OptionError(f"patch {patch} does not divide images of {size[0]}x{size[1]}")
        if width % heads or width % 4:
            raise OptionError(f"width is a multiple of 4 and of heads {heads}, got {width}")
        self.told = Conditions(width, classes, features)
        self.enter = nn.Linear(channels * patch * patch, width)
        places = positions(size[0] // patch, size[1] // patch, width)
        self.register_buffer("positions", places, persistent=False)
        self.blocks = nn.ModuleList(
            _Block(width, heads, mlp_ratio * width, dropout) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.film = zeroed(nn.Linear(width, 2 * width))
        self.leave = zeroed(nn.Linear(width, channels * patch * patch))

    def forward(self, x: Tensor, noise: Tensor, given: Tensor | None = None) -> Tensor:
        if tuple(x.shape[1:]) != self.event_shape:
            raise OptionError(
                f"this 'dit' takes images of {self.event_shape}, got {tuple(x.shape[1:])}"
            )
        embedded = self.told(noise, given, x.dtype)
        h = self.enter(patchify(x, self.patch))
        h = h + self.positions.to(h.dtype)
        for block in self.blocks:
            h = run(block, h, embedded, recompute=self.recompute)
        bias, gain = self.film(embedded)[:, None].chunk(2, dim=2)
        tokens = self.leave(self.norm(h) * (1.0 + gain) + bias)
        return unpatchify(tokens, self.event_shape, self.patch).to(x.dtype)
