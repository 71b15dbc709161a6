r"""Normals from random bits, the same bits on every device (Box & Muller 1958).

Of two words w_a, w_b with u = (w + 1/2)/2^32 come

    n_a = r cos(2 pi u_b),   n_b = r sin(2 pi u_b),   r = sqrt(-2 log u_a).

log, cos and sin are series of additions, multiplications and divisions alone, one rounding each:

    -2 log u = -2 e log 2 - 4 atanh(s),  s = (m - 1)/(m + 1),  u = m 2^e, m in [sqrt 1/2, sqrt 2),
    2 pi u = q pi/2 + a,  a in [-pi/4, pi/4],  the quadrant q rotates (cos a, sin a).

m, e, q and a come from the bits of integers and floats, exactly. The three series run as the rows
of one tensor; a shorter one begins with zeros, which change no bit of it.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

_TERMS = 12
_LOG = [-4.0 / (2 * k + 1) for k in range(_TERMS)]  # -4 atanh(s)/s in s^2, |s| <= 0.172
_COS = [(-1.0) ** k / math.factorial(2 * k) for k in range(10)]
_SIN = [(-1.0) ** k / math.factorial(2 * k + 1) for k in range(10)]


def _number(value: float) -> Tensor:
    """A number of the host, which a kernel of any device takes as an argument."""
    return torch.tensor(value, device="cpu", dtype=torch.float64)


def _integer(value: int) -> Tensor:
    return torch.tensor(value, device="cpu", dtype=torch.int64)


_HALF, _ONE, _LOG_2 = _number(0.5), _number(1.0), _number(-2.0 * math.log(2.0))
_SCALE = _number(-32.0)
_TURN = _number(2.0 * math.pi / 2**32)  # a power of two times 2 pi: no rounding of its own
_BACK = _number(0.5 - 2**29)
_EXPONENT, _MANTISSA = _integer(0x3FE6A09E667F3BCD), _integer(52)  # the bits of sqrt(1/2)
_EIGHTH, _QUARTER, _PLACE = _integer(2**29), _integer(2**30), _integer(2**30 - 1)
_UP, _SIGN = _integer(32), _integer(-(2**63))


@cache
def _series(device: torch.device) -> tuple[Tensor, ...]:
    """The coefficients (3, 1) of each power, highest first: log, cos and sin."""
    with torch.inference_mode(False):
        columns = torch.zeros(_TERMS, 3, 1, dtype=torch.float64, device=device)
        for row, coefficients in enumerate((_LOG, _COS, _SIN)):
            for power, c in enumerate(coefficients):
                columns[_TERMS - 1 - power, row].fill_(c)  # asks nothing of the host
        return columns.unbind(0)


def box_muller(radius_words: Tensor, angle_words: Tensor) -> tuple[Tensor, Tensor]:
    """(n_a, n_b), float64 (n,), of words (n,) int64: the first in [0, 2^32), of the second only
    the low 32 bits count. Both are left alone."""
    squares = radius_words.new_empty(3, len(radius_words), dtype=torch.float64)
    s, e = _atanh_argument(radius_words)
    turned = angle_words + _EIGHTH  # round(4 u) = (w + 2^29) >> 30: w + 1/2 is never halfway
    angle = (turned & _PLACE).to(torch.float64).add_(_BACK).mul_(_TURN)
    torch.mul(s, s, out=squares[0])
    torch.mul(angle, angle, out=squares[1])
    squares[2] = squares[1]

    highest, second, *others = _series(squares.device)
    sums = (squares * highest).add_(second)
    for column in others:
        sums.mul_(squares).add_(column)
    log, cos, sin = sums.unbind(0)

    radius = log.mul_(s).add_(e.mul_(_LOG_2)).sqrt_()
    sin.mul_(angle)
    odd = (turned & _QUARTER).ne(0)
    n_a, n_b = torch.where(odd, sin, cos), torch.where(odd, cos, sin)
    _negate(n_b, turned)  # q = 2, 3
    _negate(n_a, turned.add_(_QUARTER))  # q = 1, 2
    return n_a.mul_(radius), n_b.mul_(radius)


def _atanh_argument(words: Tensor) -> tuple[Tensor, Tensor]:
    """(s, e) of u = (w + 1/2)/2^32, both float64."""
    m = words.to(torch.float64).add_(_HALF)
    bits = m.view(torch.int64)
    e = torch.bitwise_right_shift(bits - _EXPONENT, _MANTISSA)
    bits.sub_(torch.bitwise_left_shift(e, _MANTISSA))
    s = (m - _ONE).div_(m.add_(_ONE))
    return s, e.to(torch.float64).add_(_SCALE)


def _negate(x: Tensor, quadrants: Tensor) -> None:
    """x <- -x in place where bit 31 of `quadrants` is set."""
    x.view(torch.int64).bitwise_xor_(torch.bitwise_left_shift(quadrants, _UP).bitwise_and_(_SIGN))
