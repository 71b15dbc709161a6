r"""argmin_k |y - c_k|, exact: screened in float32, decided in float64 where float32 cannot tell.

|y - c_k|^2 / 2 = |y|^2 / 2 + s_k with s_k = |c_k|^2 / 2 - y . c_k, one matrix product for a block.
A dot product of length d, rounded to unit u, is off by at most d u |y| |c| (Higham 2002, eq. 3.5),
and rounding y, c and the sum adds a few u more, so two scores further apart than

    e = 2 (d + 8) u (|y| + C)^2,    C = max_k |c_k|,

are in their true order. The other rows are compared by explicit differences in float64.

A row whose own centre is nearer than any other by a lead keeps it while the centres move little:
its own by a and the others by at most b shorten the lead by at most a + b (Hamerly 2010).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scoresde.data.dataset import Rows
from scoresde.errors import DataError
from scoresde.estimators.base import checked
from scoresde.estimators.kmeans.centred import Centred, Frame, screening_dtype

PIECE = 2**18  # scores computed at once, at most: 1 MB of float32, which a core's cache holds
BEYOND = 1e30  # more than any score in a frame, whose values are at most 1e6
EXPLICIT = "donot_use_mm_for_euclid_dist"  # no expanded square, which cancels


def distances(y: Tensor, centres: Tensor) -> Tensor:
    """|y - c_k| by explicit differences, (m, K)."""
    return torch.cdist(y, centres, compute_mode=EXPLICIT)


class Nearest:
    """Tells the nearest of the centres (K, d) of a frame; of equals the first."""

    def __init__(self, centres: Tensor):
        dtype = screening_dtype()
        k, d = centres.shape
        squares = centres.square().sum(1)
        self.centres = centres
        self._rounded = centres.to(dtype)
        self._halves = (0.5 * squares)[:, None].to(dtype)
        self._reach = float(squares.max().sqrt())
        self._share = (d + 8) * torch.finfo(dtype).eps
        self._least = d * torch.finfo(dtype).tiny  # for products that underflow
        self._one = 2 * k  # so a sum of codes in [2K, 3K) is of one alone
        self._codes = torch.arange(2 * k, 3 * k, device=centres.device, dtype=dtype)[None]

    def of(self, y: Tensor) -> Tensor:
        """The nearest centre of rows (m, d) in float64, by explicit differences."""
        return distances(y, self.centres).argmin(1)

    def screened(
        self, y: Tensor, norms: Tensor, exact: Callable[[Tensor], Tensor], *, leads: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """(the nearest centre of rows y (m, d), its lead), of norms |y| (m,), both rounded.

        `exact(rows)` gives some of the rows in float64. By the lead, at least, is every other
        centre further from the row than the nearest,

            |y - r| - |y - c| = 2 (s_r - s_c) / (|y - r| + |y - c|);

        it is zero where another may be as near. Leads take a third of the time more.
        """
        error, k = self._error(norms), len(self.centres)
        found, own, rival = torch.empty(3, len(y), dtype=y.dtype, device=y.device)
        pieces = -(-len(y) * k // PIECE)
        step = -(-len(y) // max(1, pieces))
        room = y.new_empty(2 if leads else 1, k, step)  # new pages cost as much as the scores
        scores, closest = room[0], room[-1]
        parts = zip(*(a.split(step) for a in (y, error, found, own, rival)), strict=True)
        for rows, slack, code, least, second in parts:
            if len(rows) < step:  # the last
                scores, closest = (
                    r.view(-1)[: k * len(rows)].view(k, -1) for r in (scores, closest)
                )
            torch.addmm(self._halves, self._rounded, rows.T, alpha=-1.0, out=scores)
            torch.amin(scores, 0, out=least)
            torch.le(scores, least + slack, out=closest)
            torch.mm(self._codes, closest, out=code[None])
            if leads:
                torch.amin(scores.add_(closest, alpha=BEYOND), 0, out=second)
        found -= self._one
        rows = ((found < 0.0) | (found >= k)).nonzero()[:, 0]  # a sum of 0 where scores overflow
        labels = found.long()
        if len(rows):
            labels[rows] = self.of(exact(rows))
        if not leads:
            return labels, None
        squares = norms.square() + error  # not less than |y|^2, for lengths that are not too short
        lengths = (squares + 2.0 * own).sqrt_() + (squares + 2.0 * rival).sqrt_()
        ahead = (rival - own - error) / lengths * 1.999  # for 2, less the roundings here
        return labels, ahead.index_fill_(0, rows, 0.0)

    def _error(self, norms: Tensor) -> Tensor:
        return (norms + self._reach).square_().mul_(self._share).add_(self._least)


def nearest_of(x: Tensor | Rows, centres: Tensor, event_shape: tuple[int, ...]) -> Tensor:
    """The nearest centre (int64) of data x (n, *event), centres (K, d) in the data's units.

    Raises `DataError` for another event shape and for values that are not finite.
    """
    x = fitting(x, event_shape)
    frame = Frame.around(centres)
    return labels_of(Centred(x, frame, keep=False), frame(centres))


def labels_of(data: Centred, centres: Tensor) -> Tensor:
    """The nearest of the centres (K, d) of the frame for all data, (n,) of int64."""
    nearest = Nearest(centres)
    labels = torch.empty(len(data), dtype=torch.int64, device=centres.device)
    for begin, y, norms in data.screening():
        new, _ = nearest.screened(y, norms, lambda rows, b=begin: data.rows(b + rows), leads=False)
        labels[begin : begin + len(y)] = new
    return labels


def fitting(x: Tensor | Rows, event_shape: tuple[int, ...]) -> Tensor | Rows:
    """Data as `checked` gives them; raises `DataError` for another event shape as well."""
    x = checked(x, least=0)
    if tuple(x.shape[1:]) != tuple(event_shape):
        raise DataError(
            f"the model was fitted to events of shape {tuple(event_shape)}, got x of shape "
            f"{tuple(x.shape)}"
        )
    return x
