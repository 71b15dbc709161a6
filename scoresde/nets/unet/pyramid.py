"""The way down a pyramid of resolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scoresde.nets import options
from scoresde.nets.recompute import run
from scoresde.nets.unet.block import Layer, Style, add, resampling
from scoresde.nets.unet.resample import blur


class Pyramid(nn.Module):
    r"""x -> the states of every level, (B, w_l, ceil(H / 2^l), ceil(W / 2^l)), as lists by level.

    Each level is `blocks` residual blocks; its states are what these leave, preceded with
    `keep_entry` by the state that entered the level (Ho et al. 2020). With `progressive` the
    image itself goes down beside them and is added in at each level: p_0 = x,
    p_l = s (h_l + conv(blur(p_{l-1}))) of stride 2, h_l = p_l (Song et al. 2021, appendix H,
    residual progressive growing of the input).

    Args:
        channels: of the image.
        widths: features of each level.
        blocks: residual blocks a level.
        attention: levels with attention after each block.
        style: of the blocks.
        keep_entry: keep the state that enters a level too, and widen in a level's first block
            instead of between levels.
        progressive: add the image to the states of every level.
        recompute: keep the blocks' inputs alone for the gradient.
    """

    def __init__(
        self,
        channels: int,
        widths: list[int],
        blocks: int,
        attention: tuple[int, ...],
        style: Style,
        keep_entry: bool = False,
        progressive: bool = False,
        recompute: bool = False,
    ):
        super().__init__()
        options.at_least("blocks", blocks, 1)
        self.keep_entry, self.style = keep_entry, style
        self.recompute = options.switch("recompute", recompute)
        options.switch("progressive", progressive)
        enters = [widths[0], *(widths[:-1] if keep_entry else widths[1:])]
        self.kept = [[w] * (blocks + 1) for w in widths]
        for row, enter in zip(self.kept, enters, strict=True):
            row[0] = enter
        self.enter = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.levels = nn.ModuleList(
            nn.ModuleList(
                Layer(enters[i] if j == 0 else w, w, style, i in attention) for j in range(blocks)
            )
            for i, w in enumerate(widths)
        )
        self.shrink = nn.ModuleList(
            resampling(widths[i], enters[i + 1], style, "half") for i in range(len(widths) - 1)
        )
        self.images = nn.ModuleList(
            nn.Conv2d(channels if i == 1 else enters[i - 1], enters[i], 3, stride=2, padding=1)
            for i in range(1, len(widths))
            if progressive
        )
        if not keep_entry:
            self.kept = [row[1:] for row in self.kept]

    def forward(self, x: Tensor, embedded: Tensor) -> list[list[Tensor]]:
        x = x.contiguous(memory_format=torch.channels_last)
        h, image = self.enter(x), x
        kept = []
        for i, level in enumerate(self.levels):
            if i > 0:
                h = run(self.shrink[i - 1], h, embedded, recompute=self.recompute)
                if self.images:
                    image = blur(image) if self.style.resample == "fir" else image
                    h = image = add(h, self.images[i - 1](image), self.style.scale)
            states = [h] if self.keep_entry else []
            for layer in level:
                h = run(layer, h, embedded, recompute=self.recompute)
                states.append(h)
            kept.append(states)
        return kept
