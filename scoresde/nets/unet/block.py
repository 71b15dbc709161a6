"""What a U-Net is made of: residual blocks, attention, changes of size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import scaled_dot_product_attention

from scoresde.errors import OptionError
from scoresde.nets import options
from scoresde.nets.embedding import zeroed
from scoresde.nets.unet.resample import double, halve

RESAMPLE = ("convolution", "block", "fir")


@dataclass(frozen=True, kw_only=True)
class Style:
    """The options that all blocks of a net have in common; see `UNet`."""

    embedded: int  # width of the embedding that the blocks are told
    groups: int = 8
    dropout: float = 0.0
    head_width: int = 32
    scale_shift: bool = True
    rescale: bool = False
    resample: str = "convolution"

    def __post_init__(self):
        options.probability("dropout", self.dropout)
        options.at_least("head_width", self.head_width, 1)
        options.switch("scale_shift", self.scale_shift)
        options.switch("rescale", self.rescale)
        if self.resample not in RESAMPLE:
            raise OptionError(f"resample is one of {', '.join(RESAMPLE)}, got {self.resample!r}")

    @property
    def scale(self) -> float:
        """The factor of a sum of two branches that keeps its variance, or one."""
        return math.sqrt(0.5) if self.rescale else 1.0


class ResidualBlock(nn.Module):
    r"""s (skip(h) + conv(dropout(silu(a * norm(conv(silu(norm(h)))) + b)))).

    (a - 1, b) is an affine map of the embedding; without `scale_shift` b is added before the norm
    instead and a = 1. The second convolution starts at zero, so every block starts as its skip.
    s is 1, or 1/sqrt 2 with `rescale`. `size` "half" or "double" changes both branches' size
    before they meet (Brock et al. 2019, BigGAN). A state kept from the way down stands beside h
    as further features.
    """

    def __init__(self, enter: int, leave: int, style: Style, size: str = "same"):
        super().__init__()
        self.style, self.size = style, size
        self.norm_enter = nn.GroupNorm(style.groups, enter)
        self.enter = nn.Conv2d(enter, leave, 3, padding=1)
        self.film = nn.Linear(style.embedded, leave * (2 if style.scale_shift else 1))
        self.norm_leave = nn.GroupNorm(style.groups, leave)
        self.dropout = nn.Dropout(style.dropout)
        self.leave = zeroed(nn.Conv2d(leave, leave, 3, padding=1))
        self.skip = nn.Conv2d(enter, leave, 1) if enter != leave else nn.Identity()

    def forward(
        self,
        h: Tensor,
        embedded: Tensor,
        kept: Tensor | None = None,
        shape: tuple[int, int] | None = None,
    ) -> Tensor:
        h = h if kept is None else torch.cat([h, kept], dim=1)
        r = silu(self.norm_enter(h))
        if self.size != "same":
            h, r = self._resized(h, shape), self._resized(r, shape)
        r = self.enter(r)
        told = self.film(embedded)[:, :, None, None]
        if self.style.scale_shift:
            gain, bias = told.chunk(2, dim=1)
            r = torch.addcmul(bias, self.norm_leave(r), 1.0 + gain)
        else:
            r = self.norm_leave(r + told)
        return add(self.skip(h), self.leave(self.dropout(silu(r))), self.style.scale)

    def _resized(self, h: Tensor, shape: tuple[int, int] | None) -> Tensor:
        filtered = self.style.resample == "fir"
        return halve(h, filtered) if self.size == "half" else double(h, shape, filtered)


class Attention(nn.Module):
    r"""s (h + W_o softmax(q k^T / sqrt(d)) v) over one image's pixels, heads of about d features.

    d is `head_width`, or the next width above it that divides the features; one head where it is
    larger than they are.
    """

    def __init__(self, channels: int, style: Style):
        super().__init__()
        self.scale = style.scale
        self.heads = max(1, channels // style.head_width)
        while channels % self.heads:
            self.heads -= 1
        self.norm = nn.GroupNorm(style.groups, channels)
        self.enter = nn.Linear(channels, 3 * channels)
        self.leave = zeroed(nn.Linear(channels, channels))

    def forward(self, h: Tensor) -> Tensor:
        batch, channels, height, width = h.shape
        tokens = self.norm(h).permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.enter(tokens).chunk(3, dim=2)
        )
        mixed = scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        out = self.leave(mixed).reshape(batch, height, width, channels).permute(0, 3, 1, 2)
        return add(h, out, self.scale)


class Layer(nn.Module):
    """A residual block, with attention after it where asked."""

    def __init__(self, enter: int, leave: int, style: Style, attention: bool):
        super().__init__()
        self.block = ResidualBlock(enter, leave, style)
        self.attention = Attention(leave, style) if attention else nn.Identity()

    def forward(self, h: Tensor, embedded: Tensor, kept: Tensor | None = None) -> Tensor:
        return self.attention(self.block(h, embedded, kept))


class Resample(nn.Module):
    """A change of size by one convolution: of stride 2, or after taking nearest neighbours."""

    def __init__(self, enter: int, leave: int, size: str):
        super().__init__()
        stride = 2 if size == "half" else 1
        self.layer = nn.Conv2d(enter, leave, 3, stride=stride, padding=1)

    def forward(
        self,
        h: Tensor,
        embedded: Tensor,
        kept: None = None,
        shape: tuple[int, int] | None = None,
    ) -> Tensor:
        return self.layer(h if shape is None else double(h, shape, filtered=False))


def resampling(enter: int, leave: int, style: Style, size: str) -> nn.Module:
    """The change of size that the style asks for, called (h, embedded, None, shape)."""
    if style.resample == "convolution":
        return Resample(enter, leave, size)
    return ResidualBlock(enter, leave, style, size)


def silu(h: Tensor) -> Tensor:
    """silu of a state that nobody else holds: in its place where no gradient will want it."""
    return functional.silu(h, inplace=not torch.is_grad_enabled())


def add(one: Tensor, other: Tensor, scale: float) -> Tensor:
    return one + other if scale == 1.0 else (one + other) * scale
