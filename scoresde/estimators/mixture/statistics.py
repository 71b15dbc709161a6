r"""Sufficient statistics of a mixture: what one pass over the data leaves for every update.

With responsibilities r_nk = softmax_k of a log joint and centres c_k (the current means),

    counts_k = sum_n r_nk,   sums_k = sum_n r_nk (x_n - c_k),
    squares_k = sum_n r_nk (x_n - c_k)(x_n - c_k)^T   (or the part that the structure needs).

About centres near the data's components nothing cancels, wherever the data lie. The r of all
data are never held: rows come a block at a time, and a block's r go with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scoresde.data.dataset import Rows, blocks
from scoresde.densities import GaussianMixture
from scoresde.errors import OptionError
from scoresde.estimators.base import flat

ELEMENTS = 2**18  # numbers of a block's responsibilities and rows: 2 MB, which a cache holds
ROWS = 256  # at least: matrices are shifted once a block
SHARE = 2**16  # numbers of the differences of a block from several centres at once
PRODUCTS = 2**18  # numbers of the products of columns of some rows
CANCELLED = 1e6  # second moments may exceed a column's pooled variance so far: ten digits stay
MATRIX_CANCELLED = 1e4  # those of matrices, whose narrow directions need the digits

LogJoint = Callable[[Tensor], Tensor]
"""Rows (batch, d) in float64 to log joints (batch, K), up to whatever the caller leaves out."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Statistics:
    """Moments of data under responsibilities, about `centres` (K, d); all tensors are float64.

    counts (K,); sums (K, d); squares by the structure: spherical (K,) of |x - c|^2, diagonal
    (K, d), full and low-rank (K, d, d), tied (d, d), summed over the components.
    `log_normaliser` is the sum over the data of the log joint's logsumexp, `entropy` that of
    -sum_k r log r where it was asked for, `rows` the number of data; all scale together.
    """

    structure: str
    counts: Tensor
    sums: Tensor
    squares: Tensor
    log_normaliser: float
    rows: float
    centres: Tensor
    entropy: float | None = None

    def __add__(self, other: Statistics) -> Statistics:
        """Of both parts of the data; raises `OptionError` for other centres or structures."""
        if self.structure != other.structure or not torch.equal(self.centres, other.centres):
            raise OptionError(
                "statistics add up about equal centres in one structure; use recentred(centres)"
            )
        without = self.entropy is None or other.entropy is None
        return replace(
            self,
            counts=self.counts + other.counts,
            sums=self.sums + other.sums,
            squares=self.squares + other.squares,
            log_normaliser=self.log_normaliser + other.log_normaliser,
            rows=self.rows + other.rows,
            entropy=None if without else self.entropy + other.entropy,
        )

    def scaled(self, c: float) -> Statistics:
        """As if every datum were there c times: N/B makes those of a minibatch unbiased."""
        return replace(
            self,
            counts=self.counts * c,
            sums=self.sums * c,
            squares=self.squares * c,
            log_normaliser=self.log_normaliser * c,
            rows=self.rows * c,
            entropy=None if self.entropy is None else self.entropy * c,
        )

    def recentred(self, centres: Tensor) -> Statistics:
        """The same moments about other centres (K, d)."""
        step = self.centres - centres
        moved = self.sums + self.counts[:, None] * step
        squares = self.squares + _shift(self.structure, self.sums, moved, step)
        return replace(self, sums=moved, squares=squares, centres=centres)


def log_joint_of(mixture: GaussianMixture) -> LogJoint:
    """log w_k + log N(x; mu_k, Sigma_k) of rows (batch, d), whatever the shape of an event."""
    return lambda rows: mixture.log_joint(rows.reshape(len(rows), *mixture.event_shape))


def gather(
    x: Tensor | Rows,
    log_joint: LogJoint,
    structure: str,
    centres: Tensor,
    *,
    entropy: bool = False,
) -> Statistics:
    """The statistics of rows x (n, *event) in one pass, in memory for a few blocks of rows."""
    k, d = centres.shape
    origin = centres.mean(0)
    total = _empty(structure, k, d, centres)
    normaliser, disorder = centres.new_zeros(()), centres.new_zeros(())
    rows, step = 0, max(ROWS, ELEMENTS // (k + d))
    for block in blocks(x):
        for part in block.split(step):
            part = flat(part).to(centres.device)
            joint = log_joint(part)
            log_total = joint.logsumexp(-1)
            r = (joint - log_total[:, None]).exp()
            normaliser += log_total.sum()
            if entropy:
                disorder += torch.special.entr(r).sum()
            for held, new in zip(
                total, _moments(structure, r, part, centres, origin), strict=True
            ):
                held += new
            rows += len(part)
    counts, sums, squares = total
    return Statistics(
        structure=structure,
        counts=counts,
        sums=sums,
        squares=squares,
        log_normaliser=float(normaliser),
        rows=rows,
        centres=centres,
        entropy=float(disorder) if entropy else None,
    )


def _empty(structure: str, k: int, d: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    shapes = {"spherical": (k,), "diagonal": (k, d), "tied": (d, d)}
    squares = like.new_zeros(shapes.get(structure, (k, d, d)))
    return like.new_zeros(k), like.new_zeros(k, d), squares


def _moments(structure: str, r: Tensor, x: Tensor, centres: Tensor, origin: Tensor):
    """(counts, sums, squares) of a block about the centres.

    Where matrix products about one origin are quicker, they are taken and shifted, unless that
    would cancel too much of a column's pooled variance in this block.
    """
    y, offsets = x - origin, origin - centres
    counts, about = r.sum(0), r.mT @ y
    sums = about + counts[:, None] * offsets
    k, d = centres.shape
    whole = structure in ("full", "low-rank")
    if whole and (k < 16 or d > 128):
        return counts, sums, _by_component(structure, r, x, centres)
    if structure == "spherical":
        raw = y.square().sum(-1) @ r
    elif structure == "diagonal":
        raw = r.mT @ y.square()
    else:
        raw = _products(r, y) if whole else y.mT @ y
    squares = raw + _shift(structure, about, sums, offsets)
    if structure == "tied":
        own, pooled = raw.diagonal(), squares.diagonal()
    else:
        own, pooled = (s.diagonal(dim1=1, dim2=2) if whole else s for s in (raw, squares))
        share = counts.clamp(min=1e-300).reshape(-1, *[1] * (own.ndim - 1))
        own, pooled = own / share, pooled.sum(0) / counts.sum()
    most = MATRIX_CANCELLED if whole or structure == "tied" else CANCELLED
    if bool((own > most * pooled.clamp(min=0.0)).any()):
        squares = _by_component(structure, r, x, centres)
    return counts, sums, squares


def _products(r: Tensor, y: Tensor) -> Tensor:
    """sum_n r_nk y_n y_n^T (K, d, d): the products of columns once for all k, in one triangle."""
    d, k = y.shape[1], r.shape[1]
    pairs = d * (d + 1) // 2
    few = max(128, PRODUCTS // pairs)
    packed, space = y.new_zeros(pairs, k), y.new_empty(pairs * few)
    for weight, rows in zip(r.split(few), y.mT.split(few, dim=1), strict=True):
        rows = rows.contiguous()
        products, begin = space[: pairs * rows.shape[1]].view(pairs, -1), 0
        for i in range(d):
            torch.mul(rows[i:], rows[i], out=products[begin : begin + d - i])
            begin += d - i
        packed.addmm_(products, weight)
    upper, lower = torch.triu_indices(d, d, device=y.device)
    out = y.new_empty(k, d, d)
    out[:, upper, lower] = packed.mT
    out[:, lower, upper] = packed.mT
    return out


def _shift(structure: str, before: Tensor, after: Tensor, step: Tensor) -> Tensor:
    """What squares gain when centres move by -step and sums go from `before` to `after`.

    sum r (y + a)(y + a)^T - sum r y y^T = s a^T + a s'^T, with s before, s' after, a the step.
    """
    if structure == "spherical":
        return ((before + after) * step).sum(-1)
    if structure == "diagonal":
        return (before + after) * step
    if structure == "tied":
        return before.mT @ step + step.mT @ after
    return before[:, :, None] * step[:, None, :] + step[:, :, None] * after[:, None, :]


def _by_component(structure: str, r: Tensor, x: Tensor, centres: Tensor) -> Tensor:
    """Squares by explicit differences from every centre, a few components at a time."""
    parts, few = [], max(1, SHARE // x.numel())
    for weight, c in zip(r.mT.split(few), centres.split(few), strict=True):
        gap = x - c[:, None]  # (few, B, d)
        if structure in ("spherical", "diagonal"):
            part = (weight[:, None] @ gap.square())[:, 0]
            parts.append(part.sum(-1) if structure == "spherical" else part)
        else:
            part = (gap * weight[:, :, None]).mT @ gap
            parts.append(part.sum(0, keepdim=True) if structure == "tied" else part)
    joined = torch.cat(parts)
    return joined.sum(0) if structure == "tied" else joined
