"""Halving and doubling the size of images; each preserves constants, at the border too."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, interpolate, pad


def halve(h: Tensor, filtered: bool) -> Tensor:
    """(B, C, H, W) -> (B, C, ceil(H/2), ceil(W/2)): means of 2x2 pixels, or [1, 3, 3, 1] / 8.

    The filter, in each direction, is that of Zhang 2019 and Song et al. 2021. Where it hangs over
    the border, the weights inside are made to sum to one.
    """
    if filtered:
        return _filtered(h, tuple(1 + size % 2 for size in h.shape[2:]), stride=2)
    return avg_pool2d(h, 2, ceil_mode=True, count_include_pad=False)


def blur(h: Tensor) -> Tensor:
    """The filter of `halve` at every pixel: what stands before a convolution of stride 2."""
    return _filtered(h, (2, 2), stride=1)


def double(h: Tensor, size: tuple[int, int], filtered: bool) -> Tensor:
    """(B, C, H, W) -> (B, C, *size), size 2H or 2H - 1: nearest pixels, or [1, 3, 3, 1] / 4."""
    if not filtered:
        return interpolate(h, size=size)
    one = h.new_ones(1, 1, *h.shape[2:])
    out = conv_transpose2d(h, _kernel(h, h.shape[1]), stride=2, padding=1, groups=h.shape[1])
    out = out / conv_transpose2d(one, _kernel(h, 1), stride=2, padding=1)
    return out[:, :, : size[0], : size[1]]


def _filtered(h: Tensor, after: tuple[int, int], stride: int) -> Tensor:
    border = (1, after[1], 1, after[0])  # pad counts from the last direction
    inside = pad(h.new_ones(1, 1, *h.shape[2:]), border)
    out = conv2d(pad(h, border), _kernel(h, h.shape[1]), stride=stride, groups=h.shape[1])
    return out / conv2d(inside, _kernel(h, 1), stride=stride)


def _kernel(h: Tensor, channels: int) -> Tensor:
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=h.dtype, device=h.device)
    return torch.outer(row, row).expand(channels, 1, 4, 4)
