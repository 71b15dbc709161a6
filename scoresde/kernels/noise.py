r"""Noise as a function, not a state.

Number j of sample `id` at `step` for a `purpose` under a `seed` is a fixed number, whatever else
is drawn beside it: no batch size, order, worker count, restart or device changes a bit of it.

Bit layout (every word 32 bits):

    key      k0 = seed               k1 = purpose
    counter  c0 = j // 4             c1 = step
             c2 = id mod 2^32        c3 = id // 2^32

The four words w0..w3 of a block serve the elements j = 4 c0 + 0..3 of the sample, in the row-major
order of its event. Integer to real: u = (w + 1/2) / 2^32, in (0, 1), exact in float64.
Normals by Box & Muller 1958 in float64, from the pairs (w0, w1) and (w2, w3):

    r = sqrt(-2 log u_a),   n_a = r cos(2 pi u_b),   n_b = r sin(2 pi u_b).

log, cos and sin are evaluated here by series of additions, multiplications and divisions alone.
Those are correctly rounded everywhere, a library's log and cos are not (and differ between a
vector's body and its tail), so equal keys give equal bits on every device. float32 normals are
the same numbers, rounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.kernels.philox import philox


class Purpose(IntEnum):
    """What a number is for; distinct purposes never share a number."""

    START = 0  # the state at the first level
    STEP = 1  # the noise of a move
    CHURN = 2  # the noise of a move upwards
    PROPOSAL = 3  # a Langevin proposal
    ACCEPT = 4  # a Metropolis test
    PATH = 5  # a Brownian path
    ORDER = 6  # the order of the training data
    TIME = 7  # training times
    TRAIN = 8  # training noise
    VALIDATE = 9  # noise for held-out losses
    DATA = 10  # draws from an exact density
    PROJECTION = 11  # directions of sliced score matching
    LABEL = 12  # labels dropped in training
    FLIP = 13  # images mirrored in training


def check_seed(seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise OptionError(f"a seed is an integer in [0, 2^32), got {seed!r}")
    return seed


def _words(seed: int, purpose: int, step: int, ids: Tensor, count: int) -> Tensor:
    """(len(ids), 4 * ceil(count / 4)) words."""
    if not 0 <= step < 2**32:
        raise OptionError(f"the step of a noise key lies in [0, 2^32), got {step}")
    blocks = torch.arange(-(-count // 4), dtype=torch.int64, device=ids.device)
    low, high = (ids & 0xFFFFFFFF)[:, None], (ids >> 32 & 0xFFFFFFFF)[:, None]
    words = philox(blocks[None, :], int(step), low, high, check_seed(seed), int(purpose))
    return torch.stack(torch.broadcast_tensors(*words), dim=-1).reshape(len(ids), -1)


def _to_unit(words: Tensor) -> Tensor:
    return (words.to(torch.float64) + 0.5) * 2.0**-32


def _horner(x: Tensor, coefficients: list[float]) -> Tensor:
    """c_0 + x (c_1 + x (c_2 + ...)), one rounding an operation."""
    total = torch.full_like(x, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total.mul_(x).add_(c)
    return total


_LOG_SERIES = [2.0 / (2 * k + 1) for k in range(12)]  # 2 atanh(s)/s in s^2, |s| <= 0.172
_COS_SERIES = [(-1.0) ** k / math.factorial(2 * k) for k in range(10)]
_SIN_SERIES = [(-1.0) ** k / math.factorial(2 * k + 1) for k in range(10)]


def _log(u: Tensor) -> Tensor:
    """log u = e log 2 + 2 atanh((m - 1)/(m + 1)), u = m 2^e with m in [sqrt 1/2, sqrt 2)."""
    m, e = torch.frexp(u)
    low = m < math.sqrt(0.5)
    m = torch.where(low, m * 2.0, m)
    e = (e - low.to(e.dtype)).to(torch.float64)
    s = (m - 1.0) / (m + 1.0)
    return _horner(s * s, _LOG_SERIES).mul_(s).add_(e * math.log(2.0))


def _cos_sin_turn(u: Tensor) -> tuple[Tensor, Tensor]:
    """(cos 2 pi u, sin 2 pi u): quadrant q = round(4 u), angle 2 pi (u - q/4) in [-pi/4, pi/4]."""
    q = torch.round(u * 4.0)
    angle = (u - q * 0.25) * (2.0 * math.pi)
    square = angle * angle
    cos = _horner(square, _COS_SERIES)
    sin = _horner(square, _SIN_SERIES).mul_(angle)
    q = q.to(torch.int64) & 3
    odd = (q & 1).bool()
    c, s = torch.where(odd, sin, cos), torch.where(odd, cos, sin)
    return (
        torch.where((q == 1) | (q == 2), -c, c),
        torch.where(q >= 2, -s, s),
    )


def uniform(seed: int, purpose: int, step: int, ids: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Uniform numbers in (0, 1), float64, of shape (len(ids), *shape)."""
    count = math.prod(shape)
    words = _words(seed, purpose, step, ids, count)[:, :count]
    return _to_unit(words).reshape(len(ids), *shape)


def normal(seed: int, purpose: int, step: int, ids: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Standard normal numbers, float64, of shape (len(ids), *shape).

    `ids` is an int64 tensor of sample ids in [0, 2^63); `step` lies in [0, 2^32).
    """
    count = math.prod(shape)
    pairs = _to_unit(_words(seed, purpose, step, ids, count)).reshape(len(ids), -1, 2)
    radius = (_log(pairs[..., 0].contiguous()) * -2.0).sqrt_()
    cos, sin = _cos_sin_turn(pairs[..., 1].contiguous())
    numbers = torch.stack([cos * radius, sin * radius], dim=-1).reshape(len(ids), -1)
    return numbers[:, :count].reshape(len(ids), *shape)


@dataclass(frozen=True)
class Noise:
    """A run's noise source: ``noise(step, purpose, ids, shape)``, float64 (len(ids), *shape).

    Any callable of this form can stand in its place (recorded noise, say).
    """

    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self.seed)

    def __call__(self, step: int, purpose: int, ids: Tensor, shape: tuple[int, ...]) -> Tensor:
        return normal(self.seed, purpose, step, ids, shape)

    def uniform(self, step: int, purpose: int, ids: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Uniform numbers in (0, 1) under the same key."""
        return uniform(self.seed, purpose, step, ids, shape)
