r"""Normals from random bits, the same bits on every device (Box & Muller 1958).

Of two words w_a, w_b with u = (w + 1/2)/2^32 come

    n_a = r cos(2 pi u_b),   n_b = r sin(2 pi u_b),   r = sqrt(-2 log u_a).

log, cos and sin are series of additions, multiplications and divisions alone, one rounding each:

    -2 log u = -2 e log 2 - 4 atanh(s),  s = (m - 1)/(m + 1),  u = m 2^e, m in [sqrt 1/2, sqrt 2),
    2 pi u = q pi/2 + a,  a in [-pi/4, pi/4],  the quadrant q rotates (cos a, sin a).

m, e, q and a come from the bits of integers and floats, exactly. The three series run as the rows
of one tensor; a shorter one begins with zeros, which change no bit of it. On the host the same
operations are numpy's, at half the time.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

_TERMS = 12
_LOG = [-4.0 / (2 * k + 1) for k in range(_TERMS)]  # -4 atanh(s)/s in s^2, |s| <= 0.172
_COS = [(-1.0) ** k / math.factorial(2 * k) for k in range(10)]
_SIN = [(-1.0) ** k / math.factorial(2 * k + 1) for k in range(10)]


def _root(x: Tensor) -> Tensor:
    """sqrt x to the nearest double. On the CPU torch's own is one bit off for one double in 80."""
    return torch.from_numpy(np.sqrt(x.numpy())) if x.device.type == "cpu" else x.sqrt()


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
    if radius_words.device.type == "cpu":
        words = (w.numpy().view(np.uint64) for w in (radius_words, angle_words))
        n_a, n_b = box_muller_on_host(*words)
        return torch.from_numpy(n_a), torch.from_numpy(n_b)
    return box_muller_on_device(radius_words, angle_words)


def box_muller_on_device(radius_words: Tensor, angle_words: Tensor) -> tuple[Tensor, Tensor]:
    """`box_muller` by torch's operations, on any device."""
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

    radius = _root(log.mul_(s).add_(e.mul_(_LOG_2)))
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


def _unsigned(value: int) -> np.ndarray:
    return np.array(value, np.uint64)


# the same numbers as arrays without dimension: numpy takes 0.4 us to wrap one of Python's
_HOST_HALF, _HOST_ONE, _HOST_LOG_2, _HOST_SCALE, _HOST_TURN, _HOST_BACK = (
    number.numpy() for number in (_HALF, _ONE, _LOG_2, _SCALE, _TURN, _BACK)
)
_HOST_EXPONENT, _HOST_MANTISSA = _EXPONENT.numpy(), _MANTISSA.numpy()
_HOST_EIGHTH, _HOST_QUARTER, _HOST_PLACE = map(_unsigned, (2**29, 2**30, 2**30 - 1))
_HOST_UP, _HOST_SIGN = _unsigned(32), _unsigned(2**63)
_HOST_LOG, _HOST_COS, _HOST_SIN = (
    [np.array(c) for c in reversed(coefficients)] for coefficients in (_LOG, _COS, _SIN)
)


def box_muller_on_host(radius_words: np.ndarray, angle_words: np.ndarray):
    """`box_muller` by numpy's operations, of words in uint64."""
    s, e = _atanh_argument_on_host(radius_words)
    turned = angle_words + _HOST_EIGHTH
    angle = (turned & _HOST_PLACE).view(np.int64).astype(np.float64)
    angle += _HOST_BACK
    angle *= _HOST_TURN
    square = angle * angle
    cos, sin = _polynomial(_HOST_COS, square), _polynomial(_HOST_SIN, square)
    sin *= angle

    radius = _polynomial(_HOST_LOG, np.multiply(s, s, square))
    radius *= s
    e *= _HOST_LOG_2
    radius += e
    np.sqrt(radius, out=radius)
    odd = (turned & _HOST_QUARTER).astype(bool)
    n_a, n_b = np.where(odd, sin, cos), np.where(odd, cos, sin)
    _negate_on_host(n_b, turned)
    turned += _HOST_QUARTER
    _negate_on_host(n_a, turned)
    n_a *= radius
    n_b *= radius
    return n_a, n_b


def _polynomial(coefficients: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    highest, *others = coefficients
    total = np.multiply(x, highest)
    total += others[0]
    for c in others[1:]:
        total *= x
        total += c
    return total


def _atanh_argument_on_host(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    m = words.view(np.int64).astype(np.float64)
    m += _HOST_HALF
    bits = m.view(np.int64)
    e = bits - _HOST_EXPONENT
    e >>= _HOST_MANTISSA
    bits -= e << _HOST_MANTISSA
    s = m - _HOST_ONE
    m += _HOST_ONE
    s /= m
    e = e.astype(np.float64)
    e += _HOST_SCALE
    return s, e


def _negate_on_host(x: np.ndarray, quadrants: np.ndarray) -> None:
    signs = quadrants << _HOST_UP
    signs &= _HOST_SIGN
    bits = x.view(np.uint64)
    bits ^= signs
