r"""Philox-4x32-10: random bits as a pure function of a counter and a key.

Salmon, Moraes, Dror & Shaw 2011, Parallel random numbers: as easy as 1, 2, 3. A block is four
32-bit words c0..c3 under a key of two, k0 and k1; ten rounds of

    (c0, c1, c2, c3) <- (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0)),

the key raised by the Weyl constants between rounds. Words are held in int64 tensors with values in
[0, 2^32), since torch has no arithmetic on unsigned 32-bit integers; the 64-bit product wraps to
the right bit pattern and an arithmetic shift with a mask reads its upper half.
"""

from __future__ import annotations

from torch import Tensor

_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_MASK = 0xFFFFFFFF
_ROUNDS = 10


def philox(
    c0: Tensor, c1: Tensor | int, c2: Tensor | int, c3: Tensor | int, k0: int, k1: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four words of random bits for each counter; the words broadcast against one another.

    All words are int64 in [0, 2^32); the result has the broadcast shape.
    """
    for round_ in range(_ROUNDS):
        key0 = (k0 + round_ * _W0) & _MASK
        key1 = (k1 + round_ * _W1) & _MASK
        product0 = c0 * _M0
        product1 = c2 * _M1
        c0 = (product1 >> 32 & _MASK) ^ c1 ^ key0
        c2 = (product0 >> 32 & _MASK) ^ c3 ^ key1
        c1 = product1 & _MASK
        c3 = product0 & _MASK
    return c0, c1, c2, c3
