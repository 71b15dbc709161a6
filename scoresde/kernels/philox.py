r"""Philox-4x32-10: random bits as a pure function of a counter and a key.

Salmon, Moraes, Dror & Shaw 2011, Parallel random numbers: as easy as 1, 2, 3. A block is four
32-bit words c0..c3 under a key of two, k0 and k1; ten rounds of

    (c0, c1, c2, c3) <- (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0)),

the key raised by the Weyl constants between rounds. Words are held in int64 tensors with values in
[0, 2^32), since torch has no arithmetic on unsigned 32-bit integers; the 64-bit product wraps to
the right bit pattern and an arithmetic shift leaves the upper half in its low bits.

A round keeps the products p = (M0 c0, M1 c2) whole: their low halves are the new c3 and c1, so

    (c2, c0) <- ((p >> 32) ^ p_previous ^ (k1, k0)) mod 2^32

is one pass over both halves, and its mask the only one. Arithmetic on the host is numpy's: the
same integers at a third to a half of the time, since its products and shifts of 64 bits are
vectorised and a call costs 0.5 us where torch's costs 2 us.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_MASK = 0xFFFFFFFF
_ROUNDS = 10
# numbers of the host with no dimension: they enter a kernel as arguments, on every device, and
# cost 1 to 2 us an operation less than Python's numbers, which torch wraps at each call
_TIMES_M0, _TIMES_M1, _HALF, _LOW = torch.tensor([_M0, _M1, 32, _MASK], device="cpu").unbind()

# arrays without dimension, for the like reason
_HOST_M0, _HOST_M1, _HOST_HALF, _HOST_LOW = (
    np.array(number, np.uint64) for number in (_M0, _M1, 32, _MASK)
)
_WEYL = [(round_ * _W0, np.array(round_ * _W1, np.uint64)) for round_ in range(_ROUNDS)]


def _raised(key: int | Tensor, weyl: int) -> list[Tensor]:
    """The key of every round, a tensor each."""
    if isinstance(key, Tensor):
        return [key + round_ * weyl & _MASK for round_ in range(_ROUNDS)]
    numbers = [key + round_ * weyl & _MASK for round_ in range(_ROUNDS)]
    return list(torch.tensor(numbers, device="cpu").unbind())


def rounds(
    c0: Tensor, c1: Tensor, c2: Tensor, c3: Tensor, k0: int, k1: int | Tensor
) -> tuple[Tensor, Tensor]:
    """The ten rounds: ((c2, c0) stacked, words in [0, 2^32); (c3, c1) stacked, in the low 32 bits
    of numbers whose upper bits are anything). Words broadcast; k1 may be a tensor like them."""
    if c0.device.type == "cpu":
        host = (word.numpy() for word in (c0, c1, c2, c3))
        key = k1.numpy() if isinstance(k1, Tensor) else k1
        words, before = rounds_on_host(*host, k0, key)
        return torch.from_numpy(words.view(np.int64)), torch.from_numpy(before.view(np.int64))
    return rounds_on_device(c0, c1, c2, c3, k0, k1)


def rounds_on_device(
    c0: Tensor, c1: Tensor, c2: Tensor, c3: Tensor, k0: int, k1: int | Tensor
) -> tuple[Tensor, Tensor]:
    """`rounds` by torch's operations, on any device."""
    lanes = torch.broadcast_shapes(c0.shape, c1.shape, c2.shape, c3.shape)
    size = 2 * lanes.numel()
    buffers = c0.new_empty(3, size + 72)[:, :size].unbind()
    before, product, words = (buffer.view(2, *lanes) for buffer in buffers)
    rows, others = product.unbind(), before.unbind()
    upper, lower = words.unbind()
    others[0].copy_(c3)
    others[1].copy_(c1)
    upper.copy_(c2)
    lower.copy_(c0)
    for key0, key1 in zip(_raised(k0, _W0), _raised(k1, _W1), strict=True):
        torch.mul(lower, _TIMES_M0, out=rows[0])
        torch.mul(upper, _TIMES_M1, out=rows[1])
        torch.bitwise_right_shift(product, _HALF, out=words)
        words.bitwise_xor_(before)
        upper.bitwise_xor_(key1)
        lower.bitwise_xor_(key0)
        words.bitwise_and_(_LOW)
        before, product, rows, others = product, before, others, rows
    return words, before


def rounds_on_host(c0, c1, c2, c3, k0: int, k1) -> tuple[np.ndarray, np.ndarray]:
    """`rounds` by numpy's operations: words in as int64, out as uint64."""
    lanes = np.broadcast_shapes(c0.shape, c1.shape, c2.shape, c3.shape)
    before, product, words = np.empty((3, 2, *lanes), np.uint64)
    before[0], before[1], words[0], words[1] = c3, c1, c2, c0
    rows, others = (product[0], product[1]), (before[0], before[1])
    upper, lower = words
    k1 = np.asarray(k1).astype(np.uint64)
    for weyl0, weyl1 in _WEYL:
        np.multiply(lower, _HOST_M0, rows[0])
        np.multiply(upper, _HOST_M1, rows[1])
        np.right_shift(product, _HOST_HALF, words)
        words ^= before
        upper ^= np.asarray(k1 + weyl1 & _HOST_LOW)
        lower ^= np.array(k0 + weyl0 & _MASK, np.uint64)
        words &= _HOST_LOW
        before, product, rows, others = product, before, others, rows
    return words, before


def philox(
    c0: Tensor, c1: Tensor | int, c2: Tensor | int, c3: Tensor | int, k0: int, k1: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four words of random bits for each counter; the words broadcast against one another.

    All words are int64 in [0, 2^32); the result has the broadcast shape.
    """
    counters = (c if isinstance(c, Tensor) else c0.new_tensor(c) for c in (c0, c1, c2, c3))
    (c2, c0), products = rounds(*counters, k0, k1)
    c3, c1 = products & _MASK
    return c0, c1, c2, c3
