"""A residual U-Net for images, plain or in the shapes of DDPM, NCSN++ and ADM."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scoresde.errors import OptionError
from scoresde.nets import options
from scoresde.nets.embedding import Conditions, zeroed
from scoresde.nets.recompute import run
from scoresde.nets.unet.block import Layer, Style, resampling, silu
from scoresde.nets.unet.pyramid import Pyramid

LAYOUTS = ("lean", "ddpm")


class UNet(nn.Module):
    r"""Residual blocks down a pyramid of resolutions and up again, with every state kept across.

    U-Net (Ronneberger et al. 2015) in the residual form of Ho et al. 2020. A level halves height
    and width, rounding up; the way up goes to the size of what was kept, so every size works.
    Convolutions run in the channels-last layout: on CPUs several times faster. docs/nets.md says
    which options make which paper's network.

    Args:
        event_shape: (channels, height, width) of one image.
        channels: features at full resolution.
        multipliers: features of each level, as multiples of `channels`; one entry a resolution.
        blocks: residual blocks a level on the way down.
        attention: levels (0 = full resolution) with self-attention after each block.
        groups: groups of every GroupNorm; divides the features of every level.
        dropout: rate inside the blocks while training.
        layout: "lean" keeps what the blocks leave, has as many on the way up, and one block in
            the middle; "ddpm" (Ho et al. 2020) keeps what enters a level too, has one block a
            level more on the way up, and two around an attention in the middle.
        resample: "convolution" of stride 2 and after nearest neighbours; "block", residual blocks
            that average and repeat pixels (Dhariwal & Nichol 2021); "fir", such blocks with the
            filter [1, 3, 3, 1] (Song et al. 2021).
        head_width: features of an attention head.
        scale_shift: tell the blocks by an affine map after a norm (Dhariwal & Nichol 2021), not
            by an addition before it.
        rescale: multiply sums of two branches by 1/sqrt 2 (Song et al. 2021).
        progressive: add the image, made smaller, to the states of every level (Song et al. 2021).
        recompute: keep the blocks' inputs alone for the gradient.
        classes: number of class labels that it can be given.
        features: length of the vectors that it can be given.
    Raises:
        OptionError: an option out of its range, or more levels than the image can be halved; when
            called, a condition that it cannot take.
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
        layout: str = "lean",
        resample: str = "convolution",
        head_width: int = 32,
        scale_shift: bool = True,
        rescale: bool = False,
        progressive: bool = False,
        recompute: bool = False,
        classes: int = 0,
        features: int = 0,
    ):
        super().__init__()
        self.event_shape = options.image("net 'unet'", event_shape)
        self.classes, self.features = classes, features
        widths = options.levels(self.event_shape, channels, multipliers, attention, groups)
        if layout not in LAYOUTS:
            raise OptionError(f"layout is one of {', '.join(LAYOUTS)}, got {layout!r}")
        style = Style(
            embedded=4 * channels,
            groups=groups,
            dropout=dropout,
            head_width=head_width,
            scale_shift=scale_shift,
            rescale=rescale,
            resample=resample,
        )
        ddpm, last = layout == "ddpm", len(widths) - 1
        self.recompute = recompute
        self.told = Conditions(4 * channels, classes, features)
        self.down = Pyramid(
            self.event_shape[0],
            widths,
            blocks,
            attention,
            style,
            keep_entry=ddpm,
            progressive=progressive,
            recompute=recompute,
        )
        self.middle = nn.ModuleList(
            Layer(widths[last], widths[last], style, mixed)
            for mixed in ([True, False] if ddpm else [last in attention])
        )
        self.up = nn.ModuleList()
        self.grow = nn.ModuleList()
        for i, width in enumerate(widths):
            enter = widths[i + 1] if ddpm and i < last else width
            level = nn.ModuleList()
            for kept in reversed(self.down.kept[i]):
                level.append(Layer(enter + kept, width, style, i in attention))
                enter = width
            self.up.append(level)
        for i in range(last):
            leave = widths[i + 1] if ddpm else widths[i]
            self.grow.append(resampling(widths[i + 1], leave, style, "double"))
        self.norm = nn.GroupNorm(groups, widths[0])
        self.leave = zeroed(nn.Conv2d(widths[0], self.event_shape[0], 3, padding=1))
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, noise: Tensor, given: Tensor | None = None) -> Tensor:
        embedded = self.told(noise, given, x.dtype)
        kept = self.down(x, embedded)
        h = kept[-1][-1]
        for layer in self.middle:
            h = run(layer, h, embedded, recompute=self.recompute)
        for i in reversed(range(len(self.up))):
            if i < len(self.grow):
                shape = kept[i][-1].shape[2:]
                h = run(self.grow[i], h, embedded, None, shape, recompute=self.recompute)
            for layer in self.up[i]:
                h = run(layer, h, embedded, kept[i].pop(), recompute=self.recompute)
        return self.leave(silu(self.norm(h))).to(x.dtype)
