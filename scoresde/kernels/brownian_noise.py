r"""Noise whose steps are increments of one Brownian path a sample, whatever the grid.

B runs on the clock SNR = alpha^2/sigma^2, on which the reverse SDE's noise is Brownian motion: in
y = alpha x/sigma^2 it reads dy = E[x0|y] dSNR + dB(SNR). With l = log SNR,

    B(e^l) = e^(l/2) U(l),  U the stationary Ornstein-Uhlenbeck process, cov = exp(-|l - l'|/2),

so numbers of order 1 stand for B over all decades of the clock. An increment over h = l_1 - l_0,

    (B(SNR_1) - B(SNR_0))/sqrt(SNR_1 - SNR_0) = (U(l_1) - e^(-h/2) U(l_0))/sqrt(1 - e^-h)

keeps its relative precision. U comes by descent of a dyadic tree over l in [-128, 128], the bridge
of B in these variables: at the middle m of [m - a, m + a], and at l = left + u = right - v of a
finest interval,

    U(m) = (U(m - a) + U(m + a))/(2 cosh a/2) + sqrt(tanh a/2) n(node),
    U(l) = [sinh(v/2) U(left) + sinh(u/2) U(right)]/sinh((u + v)/2)
           + sqrt((1 - e^-u)(1 - e^-v)/(1 - e^-(u + v))) n(leaf).

Points in different finest intervals, 2^-17 = 7.6e-6 wide, have exactly the joint law of the path;
those in one share its normal. Counter layout (`Purpose.LEVELS`): the `step` word holds the node as
in a heap: 0 is U(-128), 2^26 is U(128), 1 the first middle, the children of k are 2k and 2k + 1,
the leaves start at 2^25. (Virtual Brownian tree: Li et al. 2020; the bridge at the leaf: Jelinčič,
Foster & Kidger 2024.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.kernels.noise import (
    DRAWN_AHEAD,
    Key,
    Noise,
    Purpose,
    check_seed,
    normal,
    normals,
    uniform,
)

DEPTH = 25
AHEAD = 4 * DRAWN_AHEAD  # more than `Noise`: points drawn together share most of their nodes
LARGEST = 128.0  # the tree holds log SNRs in [-LARGEST, LARGEST]
_LEAF = 2.0 * LARGEST / 2**DEPTH
_LAST = 2 ** (DEPTH + 1)  # the node of U(LARGEST)


@dataclass(frozen=True)
class BrownianNoise:
    """As `Noise`, and the increments of one Brownian path a sample on the clock SNR.

    Numbers that belong to no interval (starts, churn, corrections) are those of `Noise` with the
    same seed. An increment costs 15 to 25 normals where `Noise` draws one: use it to compare
    grids, step sizes and solvers on the same path.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self.seed)

    def __call__(self, step: int, purpose: int, ids: Tensor, shape: tuple[int, ...]) -> Tensor:
        return normal(self.seed, purpose, step, ids, shape)

    def uniform(self, step: int, purpose: int, ids: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Uniform numbers in (0, 1), those of `Noise`."""
        return uniform(self.seed, purpose, step, ids, shape)

    def increment(
        self,
        log_snr_0: float | Tensor,
        log_snr_1: float | Tensor,
        ids: Tensor,
        shape: tuple[int, ...],
    ) -> Tensor:
        """(B(SNR_1) - B(SNR_0))/sqrt(SNR_1 - SNR_0) of each id, float64 (len(ids), *shape).

        The ends are floats, or float64 tensors (len(ids),) where rows have intervals of their
        own; log_snr_0 may be -inf (SNR 0, where B = 0). 0 where the two are equal. Raises
        `OptionError` unless log_snr_0 <= log_snr_1 and both lie in the tree.
        """
        if not isinstance(log_snr_0, Tensor) and not isinstance(log_snr_1, Tensor):
            (increment,) = self.increments([(log_snr_0, log_snr_1)], ids, shape)
            return increment
        ends = [
            torch.as_tensor(end, dtype=torch.float64, device=ids.device).expand(len(ids))
            for end in (log_snr_0, log_snr_1)
        ]
        _check_rows(*ends)
        start, end = (_by_row(self.seed, end.clamp(min=-LARGEST), ids, shape) for end in ends)
        # numpy's exp has the same bits in any batch; torch's differs in a vector's tail
        fall = (ends[0] - ends[1]).cpu().numpy()
        decay, variance = (
            _there(of, ids).reshape(-1, *[1] * len(shape))
            for of in (np.exp(0.5 * fall), -np.expm1(fall))
        )
        return _normalised(start, end, decay, variance)

    def increments(
        self,
        intervals: Sequence[tuple[float, float]],
        ids: Tensor,
        shape: tuple[int, ...],
    ) -> Iterator[Tensor]:
        """`increment` over each interval in turn, several computed at a time."""
        together = max(1, AHEAD // max(1, len(ids) * math.prod(shape)))
        for pair in intervals:
            _check(*pair)
        known: dict[float, Tensor] = {}
        for i in range(0, len(intervals), together):
            some = intervals[i : i + together]
            ends = {end for pair in some for end in pair if end > -math.inf}
            known = {end: u for end, u in known.items() if end in ends}
            new = sorted(ends - known.keys())
            if new:
                values = _for_all(self.seed, new, ids, shape)
                known.update(zip(new, values.unbind(), strict=True))
            for start, end in some:
                fall = start - end
                before = known.get(start, known[end])  # weight 0 at SNR 0
                yield _normalised(before, known[end], math.exp(0.5 * fall), -math.expm1(fall))

    def many(
        self, keys: Sequence[Key], ids: Tensor, shape: tuple[int, ...], dtype=torch.float64
    ) -> Iterator[Tensor]:
        """The normals of each key in turn: increments for those with an interval."""
        plain = [key for key in keys if key[2] is None]
        normals = Noise(self.seed).many(plain, ids, shape, dtype)
        paths = self.increments([key[2] for key in keys if key[2] is not None], ids, shape)
        for _, _, interval in keys:
            yield next(normals) if interval is None else next(paths).to(dtype)


def _check(log_snr_0: float, log_snr_1: float) -> None:
    inside = log_snr_0 == -math.inf or log_snr_0 >= -LARGEST
    if not (inside and log_snr_0 <= log_snr_1 and -LARGEST <= log_snr_1 <= LARGEST):
        raise OptionError(
            f"a Brownian increment runs from log SNR -inf or {-LARGEST:g} at least up to "
            f"{LARGEST:g} at most, got {log_snr_0} to {log_snr_1}; set log_snr_min or "
            "final='min' on the grid, or take Noise, which knows no paths"
        )


def _check_rows(log_snr_0: Tensor, log_snr_1: Tensor) -> None:
    inside = (log_snr_0 == -math.inf) | (log_snr_0 >= -LARGEST)
    inside &= (log_snr_0 <= log_snr_1) & (log_snr_1 >= -LARGEST) & (log_snr_1 <= LARGEST)
    if not bool(inside.all()):
        row = int((~inside).nonzero()[0, 0])
        _check(float(log_snr_0[row]), float(log_snr_1[row]))


def _normalised(before: Tensor, after: Tensor, decay, variance) -> Tensor:
    """(U_1 - decay U_0)/sqrt(variance); 0 where the interval is empty."""
    if isinstance(variance, Tensor):
        rise = (after - decay * before) / variance.sqrt()
        return torch.where(variance > 0.0, rise, 0.0)
    if variance == 0.0:
        return torch.zeros_like(after)
    return torch.sub(after, before, alpha=decay).mul_(1.0 / math.sqrt(variance))


def _for_all(seed: int, points: list[float], ids: Tensor, shape: tuple[int, ...]) -> Tensor:
    """U at points that all ids share, (points, len(ids), *shape); each node is drawn once."""
    place = torch.tensor(points, dtype=torch.float64)
    leaf, offset = _leaf(place)
    leaf, inverse = np.unique(leaf.numpy(), return_inverse=True)
    descent, parents = [], [np.unique(leaf >> DEPTH - d) for d in range(DEPTH + 1)]
    for d in range(DEPTH):
        index = np.searchsorted(parents[d], parents[d + 1] >> 1)
        right = (parents[d + 1] & 1).astype(bool)[:, None]
        descent.append((parents[d][:, None], index, right))
    there = [[_there(a, ids) for a in arrays] for arrays in descent]
    ends = _descend(seed, there, _there(leaf[:, None], ids), ids, shape)
    left, right, n = (end[_there(inverse, ids)] for end in ends)
    return _bridge(left, right, n, _there(offset.numpy(), ids).reshape(-1, 1, *[1] * len(shape)))


def _by_row(seed: int, points: Tensor, ids: Tensor, shape: tuple[int, ...]) -> Tensor:
    """U at a point (len(ids),) of each id's own, (len(ids), *shape)."""
    leaf, offset = _leaf(points)
    descent = [
        ((leaf >> DEPTH - d)[None], None, (leaf >> DEPTH - d - 1 & 1).bool()[None])
        for d in range(DEPTH)
    ]
    ends = _descend(seed, descent, leaf[None], ids, shape)
    return _bridge(*ends, offset.reshape(1, -1, *[1] * len(shape)))[0]


def _leaf(points: Tensor) -> tuple[Tensor, Tensor]:
    """The finest interval of each point, and how far right of its left end the point lies."""
    at = ((points + LARGEST) / _LEAF).floor().clamp(0, 2**DEPTH - 1)
    return at.to(torch.int64), points - (at * _LEAF - LARGEST)


def _there(array: np.ndarray, ids: Tensor) -> Tensor:
    there = torch.from_numpy(array)
    if ids.device.type == "cpu":
        return there
    return there.pin_memory().to(ids.device, non_blocking=True)


def _descend(seed, descent, leaf: Tensor, ids: Tensor, shape) -> tuple[Tensor, Tensor, Tensor]:
    """(U at the left end, U at the right end, the bridge's normal) of finest intervals `leaf`.

    `descent` has for each depth the intervals entered (m, 1 or ids), and for those of the next
    depth which of them they halve (None: each its own) and whether they are the right half.
    """
    roots = leaf.new_full((2, 1), 0)
    roots[1] = _LAST
    nodes = [roots, *(2**d + at for d, (at, _, _) in enumerate(descent)), 2**DEPTH + leaf]
    draws = _drawn(seed, nodes, ids, shape)
    left, right = (end[None] for end in next(draws))
    a = LARGEST
    for _, parent, is_right in descent:
        middle = (left + right).mul_(0.5 / math.cosh(0.5 * a))
        middle.add_(next(draws), alpha=math.sqrt(math.tanh(0.5 * a)))
        if parent is not None:
            left, middle, right = left[parent], middle[parent], right[parent]
        is_right = is_right.reshape(*is_right.shape, *[1] * len(shape))
        left, right = torch.where(is_right, middle, left), torch.where(is_right, right, middle)
        a *= 0.5
    return left, right, next(draws)


def _drawn(seed: int, nodes: list[Tensor], ids: Tensor, shape) -> Iterator[Tensor]:
    """The normals (m, len(ids), *shape) of each depth's nodes, several depths at a time."""
    most = max(1, AHEAD // max(1, len(ids) * math.prod(shape)))
    while nodes:
        taken, count = [], 0
        while nodes and (not taken or count + len(nodes[0]) <= most):
            count += len(nodes[0])
            taken.append(nodes.pop(0).expand(-1, len(ids)))
        steps = torch.cat(taken).reshape(-1)
        drawn = normals(seed, int(Purpose.LEVELS), steps, ids.repeat(count), shape)
        yield from drawn.reshape(count, len(ids), *shape).split([len(t) for t in taken])


def _bridge(left: Tensor, right: Tensor, n: Tensor, u: Tensor) -> Tensor:
    """U at a distance u from the left of a finest interval.

    There u < 1e-5, and the first terms of sinh and expm1 are exact to rounding; additions and
    multiplications alone give every row the same bits in any batch.
    """
    u = u.clamp(0.0, _LEAF)
    v = _LEAF - u
    spread = (_decay(u) * _decay(v)).div_(_decay(_LEAF)).sqrt_()
    mean = _half_sinh(v) / _half_sinh(_LEAF) * left + _half_sinh(u) / _half_sinh(_LEAF) * right
    return mean.add_(spread * n)


def _decay(u):
    """1 - e^-u."""
    return u * (1.0 - u * (0.5 - u / 6.0))


def _half_sinh(u):
    """2 sinh(u/2)."""
    return u * (1.0 + u * u / 24.0)
