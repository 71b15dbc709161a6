r"""Sums of Gaussian kernels over data: log-sum-exp, attention read-out, leaving one out.

The weights of the data x_i at a state z and a level (alpha, v) are

    softmax_i(l_i),   l_i = log w_i - |z - alpha x_i|^2 / 2v.

Less a term of z alone, l_i is an inner product of a query and a key that holds -|x_i|^2/2 and
log w_i beside x_i, so weighted means are scaled dot-product attention with the keys for values.
The expanded square loses digits where reach = alpha |x_i| max(|z|, alpha |x_i|) / v is large; data
are centred, and each row goes by the cheapest arithmetic that is good for its reach.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from scoresde.errors import OptionError

# Largest reach of an expanded square. On 8x8 digits, midway between neighbours, the worst error
# of a score was 7e-5 of its norm at 400 in float32, and in float64 1.6e-11 at 1e4, 8e-10 at 1e7.
SINGLE_IN_SINGLE = 5e2
SINGLE_IN_DOUBLE = 5e10
DOUBLE_IN_DOUBLE = 1e4
FEW = 2**16  # numbers of data up to which single-precision states are computed in float64 too
ROWS, COLUMNS = 128, 1024  # a tile of states and data: 1 MB of float64, which a cache holds
LOWEST = -1e300  # below every logarithm that can occur

Tiles = Iterator[tuple[Tensor, Callable[[Tensor], Tensor] | None]]


def fold(tiles: Tiles) -> tuple[Tensor, Tensor | None]:
    """(log sum_i exp l_i, (sum_i exp(l_i) f_i) / sum_i exp(l_i)) over tiles of the last axis.

    A tile is l (..., n) and the function that takes weights (..., n) to sum_i weight_i f_i
    (..., k), or None. The largest l so far is carried along (online softmax; Milakov & Gimelshein
    2018).
    """
    top, total, weighted = LOWEST, 0.0, None
    for logs, read in tiles:
        higher = logs.detach().amax(-1, keepdim=True).clamp(min=top)
        weights = (logs - higher).exp()
        shrink = (top - higher).exp()
        total = total * shrink + weights.sum(-1, keepdim=True)
        if read is not None:
            weighted = read(weights) + (0.0 if weighted is None else weighted * shrink)
        top = higher
    return (top + total.log()).squeeze(-1), None if weighted is None else weighted / total


def chunks(count: int, size: int) -> list[slice]:
    """Slices that cover 0..count-1, at least one."""
    return [slice(i, i + size) for i in range(0, max(1, count), size)]


class KernelSums:
    """Data (n, d) and their log-weights (n,), both float64, laid out as keys.

    `alpha` and `variance` (v > 0) are (batch, 1) of float64. States x (batch, d) may be of any
    floating dtype; results are float64, with digits enough for that dtype.
    """

    def __init__(self, points: Tensor, log_weights: Tensor):
        self.count, self.dim = points.shape
        self.centre = points.mean(0)
        centred = points - self.centre
        farthest = float(centred.square().sum(1).max().sqrt())
        if not math.isfinite(farthest):
            raise OptionError("points lie too far apart for their squares; scale them down")
        # a power of two, so that dividing by it is exact, and no square leaves float32's range
        self.unit = 2.0 ** math.frexp(farthest)[1]
        width = -(-(self.dim + 2) // 8) * 8  # kernels of attention want whole vectors of 8
        keys = points.new_zeros(self.count, width)
        keys[:, : self.dim] = centred.div_(self.unit)
        keys[:, self.dim] = -0.5 * centred.square().sum(1)
        keys[:, self.dim + 1] = log_weights
        self.keys = keys
        self.single = keys.to(torch.float32) if self.count * self.dim > FEW else None

    def to(self, device) -> Self:
        moved = object.__new__(type(self))
        for name, value in vars(self).items():
            setattr(moved, name, value.to(device) if isinstance(value, Tensor) else value)
        return moved

    @property
    def squared_spread(self) -> float:
        """The mean over the data of |x_i - mean|^2."""
        return -2.0 * self.unit**2 * float(self.keys[:, self.dim].mean())

    def log_sum(self, x: Tensor, alpha: Tensor, variance: Tensor) -> Tensor:
        """log sum_i w_i exp(-|z - alpha x_i|^2 / 2v), (batch,); autograd gives its gradient."""
        return self._each_way(x, alpha, variance, self._log_sum, single=False)

    def average(self, x: Tensor, alpha: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """(sum_i p_i x_i (batch, d), sum_i p_i |z - alpha x_i|^2 (batch,)), p = softmax(l).

        The second loses digits where the first is computed by attention; it serves as a bound.
        """
        means = self._each_way(x, alpha, variance, self._means, single=True)
        x0, half_square = means[:, : self.dim], means[:, self.dim]
        within = (-2.0 * half_square - x0.square().sum(1)).clamp(min=0.0)
        q = self._in_units(x, alpha)
        square = (q - alpha * x0).square().sum(1) + alpha[:, 0].square() * within
        return self.centre + self.unit * x0, self.unit**2 * square

    def nearest(self, x: Tensor, alpha: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """(min_i |z - alpha x_i|^2, entropy of the weights in nats), (batch,) each."""
        q, v = self._in_units(x, alpha), variance / self.unit**2
        squares, entropies = [], []
        for some in chunks(len(q), ROWS):
            least = []
            log_sum, mean = fold(self._near_tiles(q[some], alpha[some], v[some], least))
            squares.append(torch.stack(least).amin(0))
            entropies.append((log_sum - mean[:, 0]).clamp(min=0.0))
        return self.unit**2 * torch.cat(squares), torch.cat(entropies)

    def _near_tiles(self, q: Tensor, alpha: Tensor, v: Tensor, least: list[Tensor]) -> Tiles:
        """Tiles of l_i with f_i = l_i, by differences; `least` collects the smallest squares."""
        for part in chunks(self.count, COLUMNS):
            square = self._differences(q, part, alpha)
            least.append(square.amin(1))
            logs = self.keys[part, self.dim + 1] - square / (2.0 * v)
            yield logs, lambda p, logs=logs: (p * logs).sum(-1, keepdim=True)

    def nearest_other(self, rows: Tensor) -> Tensor:
        """min_{j != i} |x_i - x_j|^2 of the data i in `rows` (m,), (m,); zero for copies alone.

        The nearest is found by expanded squares and its distance taken by differences.
        """
        parts, found = chunks(self.count, COLUMNS), []
        for some in rows.split(ROWS):
            least = [self._to_others(some, part, exact=False).min(1) for part in parts]
            block = torch.stack([m.values for m in least]).argmin(0)
            column = torch.stack([m.indices for m in least]).gather(0, block[None])[0]
            other = self.keys[block * COLUMNS + column] - self.keys[some]
            found.append(other[:, : self.dim].square().sum(1))
        return self.unit**2 * torch.cat(found)

    def left_out(self, rows: Tensor, bandwidths: Tensor) -> tuple[Tensor, Tensor]:
        """For data i in `rows` (m,) and each h in `bandwidths` (b,), over all j != i:

        (log sum_j w_j exp(-|x_i - x_j|^2 / 2h^2), sum_j p_j |x_i - x_j|^2), each (b, m).
        """
        v = (bandwidths / self.unit).square()[:, None, None]
        together = max(1, ROWS // len(bandwidths))
        sums = [fold(self._other_tiles(some, v)) for some in rows.split(together)]
        log_sums, means = zip(*sums, strict=True)
        return torch.cat(log_sums, 1), self.unit**2 * torch.cat(means, 1)[..., 0]

    def _other_tiles(self, rows: Tensor, v: Tensor) -> Tiles:
        """Tiles (b, rows, n) of l_j with f_j = |x_i - x_j|^2 in units, j != i."""
        exact = bool((v * DOUBLE_IN_DOUBLE < 1.0).any())
        for part in chunks(self.count, COLUMNS):
            square = self._to_others(rows, part, exact=exact)
            logs = self.keys[part, self.dim + 1] - square / (2.0 * v)
            square = square.nan_to_num(posinf=0.0)
            yield logs, lambda p, square=square: torch.einsum("brn,rn->br", p, square)[..., None]

    def _in_units(self, x: Tensor, alpha: Tensor) -> Tensor:
        """z - alpha (mean of the data), in units."""
        return (x.to(torch.float64) - alpha * self.centre) / self.unit

    def _each_way(self, x: Tensor, alpha, variance, compute, *, single: bool) -> Tensor:
        """compute(q, alpha, v, keys) of each row; keys are None for explicit differences."""
        q, v = self._in_units(x, alpha), variance / self.unit**2
        with torch.no_grad():
            reach = (alpha * torch.linalg.vector_norm(q, dim=1, keepdim=True).maximum(alpha)) / v
        ways = [(DOUBLE_IN_DOUBLE, self.keys), (math.inf, None)]
        if x.dtype != torch.float64:
            ways[0] = (SINGLE_IN_DOUBLE, self.keys)
            if single and self.single is not None:
                ways.insert(0, (SINGLE_IN_SINGLE, self.single))
        # a reach of NaN goes with the last way
        chosen = sum((~(reach[:, 0] <= limit)).to(torch.int64) for limit, _ in ways[:-1])
        used = chosen.unique().tolist() or [0]
        if len(used) == 1:
            return compute(q, alpha, v, ways[used[0]][1])
        out = None
        for way in used:
            rows = (chosen == way).nonzero()[:, 0]
            part = compute(q[rows], alpha[rows], v[rows], ways[way][1])
            out = part.new_zeros(len(q), *part.shape[1:]) if out is None else out
            out = out.index_copy(0, rows, part)
        return out

    def _query(self, q: Tensor, alpha: Tensor, v: Tensor) -> Tensor:
        one = torch.ones_like(v)
        filling = v.new_zeros(len(q), self.keys.shape[1] - self.dim - 2)
        return torch.cat([q * (alpha / v), alpha * alpha / v, one, filling], dim=1)

    def _differences(self, q: Tensor, part: slice, alpha: Tensor) -> Tensor:
        """|q - alpha x_i|^2 by explicit differences, (rows, block)."""
        # where alpha is 0 no difference is asked for, but by `nearest`, which it then serves
        alpha = alpha.clamp(min=1e-60)
        exact = "donot_use_mm_for_euclid_dist"
        distance = torch.cdist(q / alpha, self.keys[part, : self.dim], compute_mode=exact)
        return (distance * alpha).square()

    def _to_others(self, rows: Tensor, part: slice, *, exact: bool) -> Tensor:
        """|x_i - x_j|^2 in units, i in `rows`, j in a block; infinite where j = i."""
        own, others = self.keys[rows, : self.dim], self.keys[part, : self.dim]
        if exact:
            square = torch.cdist(own, others, compute_mode="donot_use_mm_for_euclid_dist").square()
        else:
            halves = self.keys[rows, self.dim, None] + self.keys[part, self.dim]
            square = (-2.0 * (own @ others.T + halves)).clamp(min=0.0)
        column = torch.arange(part.start, part.start + len(others), device=rows.device)
        return square.masked_fill(rows[:, None] == column, math.inf)

    def _log_sum(self, q: Tensor, alpha: Tensor, v: Tensor, keys: Tensor | None) -> Tensor:
        tiles = [
            self._tiles(q[some], alpha[some], v[some], exact=keys is None, values=False)
            for some in chunks(len(q), ROWS)
        ]
        return torch.cat([fold(t)[0] for t in tiles])

    def _means(self, q: Tensor, alpha: Tensor, v: Tensor, keys: Tensor | None) -> Tensor:
        """sum_i p_i key_i, (rows, width), float64."""
        if keys is None:
            tiles = [
                self._tiles(q[some], alpha[some], v[some], exact=True, values=True)
                for some in chunks(len(q), ROWS)
            ]
            return torch.cat([fold(t)[1] for t in tiles])
        # off the host, float64 has no fused kernel and holds all weights of a call
        together = len(q) if q.device.type == "cpu" else 2**24 // self.count
        queries = self._query(q, alpha, v).to(keys.dtype).split(max(1, together))
        wide = keys[None, None]
        means = [
            scaled_dot_product_attention(query[None, None], wide, wide, scale=1.0)[0, 0]
            for query in queries
        ]
        return torch.cat(means).to(torch.float64)

    def _tiles(self, q: Tensor, alpha: Tensor, v: Tensor, *, exact: bool, values: bool) -> Tiles:
        """Tiles of l_i, with f_i = key_i or none."""
        query = None if exact else self._query(q, alpha, v)
        own = q.square().sum(1, keepdim=True) / (2.0 * v)
        for part in chunks(self.count, COLUMNS):
            keys = self.keys[part]
            if exact:
                logs = keys[:, self.dim + 1] - self._differences(q, part, alpha) / (2.0 * v)
            else:
                logs = query @ keys.T - own
            yield logs, (lambda p, keys=keys: p @ keys) if values else None
