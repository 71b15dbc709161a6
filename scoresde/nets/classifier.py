"""Classifiers of noisy samples: networks that say which class an x at some noise comes from.

Made as `Classifier(event_shape, *, classes, options...)` and called as `net(x, noise)`, with x and
noise as for a net; the result is logits (B, classes), equal for all classes before training.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from scoresde.nets import options
from scoresde.nets.embedding import Conditions, zeroed
from scoresde.nets.mlp import Trunk
from scoresde.nets.unet import Pyramid, Style


class MLPClassifier(nn.Module):
    r"""W_out silu(norm(h_L)): the residual blocks of `MLP` with a linear head.

    Args:
        event_shape: shape of one sample.
        classes: number of classes, at least 2.
        width: features of every hidden layer.
        blocks: residual blocks, two linear layers each.
        dropout: rate inside the blocks while training.
    Raises:
        OptionError: an option out of its range.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        classes: int,
        width: int = 128,
        blocks: int = 3,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.event_shape = options.event(event_shape)
        self.classes = options.at_least("classes", classes, 2)
        self.told = Conditions(options.at_least("width", width, 2))
        self.trunk = Trunk(math.prod(self.event_shape), width, blocks, dropout, recompute=False)
        self.leave = zeroed(nn.Linear(width, classes))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:  # (B, *event), (B,) -> (B, classes)
        return self.leave(self.trunk(x.flatten(1), self.told(noise, None, x.dtype))).to(x.dtype)


class UNetClassifier(nn.Module):
    r"""W_out mean(silu(norm(h))): the way down of `UNet`, averaged over the pixels that it leaves.

    Half a U-Net as Dhariwal & Nichol 2021 (section 4) use it, with their "average pooling" of the
    last level.

    Args:
        event_shape: (channels, height, width) of one image.
        classes: number of classes, at least 2.
        channels: features at full resolution.
        multipliers: features of each level, as multiples of `channels`; one entry a resolution.
        blocks: residual blocks a level.
        attention: levels (0 = full resolution) with self-attention after each block.
        groups: groups of every GroupNorm; divides the features of every level.
        dropout: rate inside the blocks while training.
        resample: as of `UNet`.
        head_width: features of an attention head.
        recompute: keep the blocks' inputs alone for the gradient.
    Raises:
        OptionError: an option out of its range, or more levels than the image can be halved.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        classes: int,
        channels: int = 32,
        multipliers: tuple[int, ...] = (1, 2),
        blocks: int = 2,
        attention: tuple[int, ...] = (),
        groups: int = 8,
        dropout: float = 0.0,
        resample: str = "convolution",
        head_width: int = 32,
        recompute: bool = False,
    ):
        super().__init__()
        self.event_shape = options.image("classifier 'unet'", event_shape)
        self.classes = options.at_least("classes", classes, 2)
        widths = options.levels(self.event_shape, channels, multipliers, attention, groups)
        style = Style(
            embedded=4 * channels,
            groups=groups,
            dropout=dropout,
            head_width=head_width,
            resample=resample,
        )
        self.told = Conditions(4 * channels)
        self.down = Pyramid(
            self.event_shape[0], widths, blocks, attention, style, recompute=recompute
        )
        self.norm = nn.GroupNorm(groups, widths[-1])
        self.leave = zeroed(nn.Linear(widths[-1], classes))
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:  # (B, C, H, W), (B,) -> (B, classes)
        h = self.down(x, self.told(noise, None, x.dtype))[-1][-1]
        return self.leave(silu(self.norm(h)).mean(dim=(2, 3))).to(x.dtype)
