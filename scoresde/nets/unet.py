"""A residual U-Net for images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention, silu

from scoresde.errors import OptionError
from scoresde.nets import options
from scoresde.nets.embedding import Embedding, zeroed


class _ResidualBlock(nn.Module):
    r"""skip(h) + conv(dropout(silu(a * norm(conv(silu(norm(h)))) + b))).

    (a - 1, b) is an affine map of the embedding. The second convolution starts at zero, so every
    block starts as its skip.
    """

    def __init__(self, enter: int, leave: int, embedded: int, groups: int, dropout: float):
        super().__init__()
        self.norm_enter = nn.GroupNorm(groups, enter)
        self.enter = nn.Conv2d(enter, leave, 3, padding=1)
        self.film = nn.Linear(embedded, 2 * leave)
        self.norm_leave = nn.GroupNorm(groups, leave)
        self.dropout = nn.Dropout(dropout)
        self.leave = zeroed(nn.Conv2d(leave, leave, 3, padding=1))
        self.skip = nn.Conv2d(enter, leave, 1) if enter != leave else nn.Identity()

    def forward(self, h: Tensor, embedded: Tensor) -> Tensor:
        gain, bias = self.film(embedded)[:, :, None, None].chunk(2, dim=1)
        r = self.enter(silu(self.norm_enter(h)))
        r = silu(torch.addcmul(bias, self.norm_leave(r), 1.0 + gain))
        return self.skip(h) + self.leave(self.dropout(r))


class _Attention(nn.Module):
    r"""h + W_o softmax(q k^T / sqrt(d)) v over one image's pixels, heads of about 32 features."""

    def __init__(self, channels: int, groups: int, head: int = 32):
        super().__init__()
        self.heads = max(1, channels // head)
        while channels % self.heads:
            self.heads -= 1
        self.norm = nn.GroupNorm(groups, channels)
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
        return h + self.leave(mixed).reshape(batch, height, width, channels).permute(0, 3, 1, 2)


class _Stage(nn.Module):
    """Residual blocks at one resolution, each with attention after it where asked."""

    def __init__(self, blocks: list[_ResidualBlock], attention: list[nn.Module]):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.attention = nn.ModuleList(attention)

    def down(self, h: Tensor, embedded: Tensor) -> list[Tensor]:
        kept = []
        for block, attention in zip(self.blocks, self.attention, strict=True):
            h = attention(block(h, embedded))
            kept.append(h)
        return kept

    def up(self, h: Tensor, embedded: Tensor, kept: list[Tensor]) -> Tensor:
        for block, attention in zip(self.blocks, self.attention, strict=True):
            h = attention(block(torch.cat([h, kept.pop()], dim=1), embedded))
        return h


class UNet(nn.Module):
    r"""Residual blocks down a pyramid of resolutions and up again, with every state kept across.

    U-Net (Ronneberger et al. 2015) in the residual form of Ho et al. 2020, conditioned by
    feature-wise affine maps (Dhariwal & Nichol 2021, section 3). A level halves height and width,
    rounding up, by a convolution of stride 2; the way up takes nearest neighbours to the size of
    what was kept, so every size works. Convolutions run in the channels-last layout: on CPUs
    several times faster.

    Args:
        event_shape: (channels, height, width) of one image.
        channels: features at full resolution.
        multipliers: features of each level, as multiples of `channels`; one entry a resolution.
        blocks: residual blocks a level on the way down, and as many on the way up.
        attention: levels (0 = full resolution) with self-attention after each block.
        groups: groups of every GroupNorm; divides the features of every level.
        dropout: rate inside the blocks while training.
    Raises:
        OptionError: an option out of its range, or more levels than the image can be halved.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        channels: int = 64,
        multipliers: tuple[int, ...] = (1, 2),
        blocks: int = 2,
        attention: tuple[int, ...] = (),
        groups: int = 8,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.event_shape = _check(event_shape, channels, multipliers, blocks, attention, groups)
        options.probability("dropout", dropout)
        widths = [channels * multiplier for multiplier in multipliers]
        width_embedded = 4 * channels

        def stage(level: int, enters: list[int]) -> _Stage:
            leave = widths[level]
            mixed = level in attention
            return _Stage(
                [_ResidualBlock(c, leave, width_embedded, groups, dropout) for c in enters],
                [_Attention(leave, groups) if mixed else nn.Identity() for _ in enters],
            )

        last = len(widths) - 1
        self.embedding = nn.Sequential(Embedding(width_embedded), nn.SiLU())
        self.enter = nn.Conv2d(self.event_shape[0], widths[0], 3, padding=1)
        self.down = nn.ModuleList(stage(i, [w] * blocks) for i, w in enumerate(widths))
        self.shrink = nn.ModuleList(
            nn.Conv2d(widths[i], widths[i + 1], 3, stride=2, padding=1) for i in range(last)
        )
        self.middle = stage(last, [widths[last]])
        self.up = nn.ModuleList(stage(i, [2 * w] * blocks) for i, w in enumerate(widths))
        self.grow = nn.ModuleList(
            nn.Conv2d(widths[i + 1], widths[i], 3, padding=1) for i in range(last)
        )
        self.norm = nn.GroupNorm(groups, widths[0])
        self.leave = zeroed(nn.Conv2d(widths[0], self.event_shape[0], 3, padding=1))
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:  # (B, C, H, W), (B,)
        embedded = self.embedding(condition.to(x.dtype))
        h = self.enter(x.contiguous(memory_format=torch.channels_last))
        kept = []
        for level, stage in enumerate(self.down):
            kept.append(stage.down(h, embedded))
            h = kept[-1][-1]
            if level < len(self.shrink):
                h = self.shrink[level](h)
        h = self.middle.down(h, embedded)[-1]
        for level in reversed(range(len(self.up))):
            if level < len(self.grow):
                h = self.grow[level](interpolate(h, size=kept[level][-1].shape[2:]))
            h = self.up[level].up(h, embedded, kept[level])
        return self.leave(silu(self.norm(h))).to(x.dtype)


def _check(
    event_shape: tuple[int, ...],
    channels: int,
    multipliers: tuple[int, ...],
    blocks: int,
    attention: tuple[int, ...],
    groups: int,
) -> tuple[int, ...]:
    shape = options.event(event_shape)
    if len(shape) != 3:
        raise OptionError(
            f"net 'unet' takes images (channels, height, width), got events of shape {shape}; "
            "net 'mlp' takes any"
        )
    options.at_least("channels", channels, 1)
    options.at_least("blocks", blocks, 1)
    options.at_least("groups", groups, 1)
    if not multipliers:
        raise OptionError("multipliers has one entry a resolution, got none")
    for multiplier in multipliers:
        options.at_least("multipliers", multiplier, 1)
        if channels * multiplier % groups:
            raise OptionError(
                f"groups {groups} does not divide the {channels * multiplier} features of a level "
                f"(channels {channels} times {multiplier})"
            )
    # a level of one pixel can be kept, but not halved
    most = (min(shape[1:]) - 1).bit_length() + 1
    if len(multipliers) > most:
        raise OptionError(
            f"{len(multipliers)} multipliers halve {shape[1]}x{shape[2]} images below one pixel; "
            f"give at most {most}"
        )
    for level in attention:
        if (
            isinstance(level, bool)
            or not isinstance(level, int)
            or not (0 <= level < len(multipliers))
        ):
            raise OptionError(f"attention names levels 0 to {len(multipliers) - 1}, got {level!r}")
    return shape
