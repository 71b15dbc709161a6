r"""EM for probabilistic PCA, x_n = W z_n + mean + eps, of rows with any entries missing.

For row n let o be its observed entries, W_o those rows of W, r_o = x_o - mean_o:

    M_n = W_o^T W_o + s2 I,   E[z_n] = M_n^{-1} W_o^T r_o,   cov[z_n] = s2 M_n^{-1}.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.data.dataset import BLOCK, Rows, blocks
from scoresde.densities.base import LOG_TWO_PI
from scoresde.errors import DataError
from scoresde.estimators.spectrum import variation

LEAST = 1e-12  # of the mean variance of a column: below it the noise counts as vanished


@dataclass(frozen=True, eq=False)
class Parameters:
    """mean (d,), factor W (d, m) and variance s2, all float64 tensors."""

    mean: Tensor
    factor: Tensor
    variance: Tensor  # ()


@dataclass(frozen=True, eq=False)
class Latent:
    """Law of z given the observed entries of each row.

    `mean` (batch, m); `triangle` (batch or 1, m, m), the Cholesky factor of M, of one matrix
    where all rows are complete; `log_prob` (batch,) of the observed entries, in nats.
    """

    mean: Tensor
    triangle: Tensor
    log_prob: Tensor


def infer(x: Tensor, seen: Tensor | None, at: Parameters) -> Latent:
    """The law of z, and log p(x_o), for rows x (batch, d) with zeros where not `seen`.

    `seen` (batch, d) is 1 where observed, else 0; None for complete rows.
    log det C_o = (|o| - m) log s2 + log det M, and the quadratic form is
    |r_o - W_o E[z]|^2 / s2 + |E[z]|^2, in which nothing cancels.
    """
    w, m = at.factor, at.factor.shape[1]
    eye = at.variance * torch.eye(m, dtype=torch.float64, device=w.device)
    if seen is None:
        residual, inner, count = x - at.mean, (w.T @ w)[None], float(x.shape[1])
    else:
        residual, count = torch.addcmul(x, seen, at.mean, value=-1.0), seen.sum(1)
        row, column, place = _packing(m, w.device)
        inner = (seen @ (w[:, row] * w[:, column]))[:, place]
    triangle = torch.linalg.cholesky(inner + eye)
    along = residual @ w
    if seen is None:
        z = torch.cholesky_solve(along.T, triangle[0]).T
        left = residual - z @ w.T
    else:
        z = torch.cholesky_solve(along[:, :, None], triangle)[:, :, 0]
        left = residual - seen * (z @ w.T)
    square = left.square().sum(1) / at.variance + z.square().sum(1)
    log_det = 2.0 * triangle.diagonal(dim1=1, dim2=2).log().sum(1)
    log_det = log_det + (count - m) * at.variance.log()
    return Latent(z, triangle, -0.5 * (count * LOG_TWO_PI + log_det + square))


@dataclass(frozen=True, eq=False)
class Columns:
    """Of the observed entries of each column (d,): count, mean and mean variance; and rows that
    have any."""

    count: Tensor
    mean: Tensor
    variance: Tensor  # ()
    rows: int


def columns(x: Tensor | Rows) -> Columns:
    """In two passes; raises `DataError` for a column or a data set without anything to learn."""
    count, total, rows = 0, 0.0, 0
    for block in blocks(x):
        seen = ~block.flatten(1).isnan()
        count = count + seen.sum(0)
        total = total + block.detach().flatten(1).nansum(0, dtype=torch.float64)
        rows += int(seen.any(1).sum())
    if bool((count == 0).any()):
        column = int((count == 0).nonzero()[0])
        raise DataError(
            f"column {column} (of the flattened event, from 0) is missing in every row; remove it"
        )
    mean, squares = total / count, 0.0
    for block in blocks(x):
        squares = squares + (block.detach().flatten(1) - mean).square().nansum()
    variance = squares / count.sum()
    if not variation(len(mean) * float(variance), mean) > 0.0:
        raise DataError("the data do not vary, so there is no noise to fit; PCA takes such data")
    return Columns(count, mean, variance, rows)


class Statistics:
    """What the E-step sums: per column j over the rows that observe it, with z~ = (E[z], 1)."""

    def __init__(self, d: int, m: int, like: Tensor):
        self.shared = like.new_zeros(m + 1, m + 1)  # sum E[z~ z~^T] over complete rows
        self.own: Tensor | None = None  # (d, m(m+1)/2 + m + 1), the same over the others, packed
        self.cross = like.new_zeros(d, m + 1)  # sum x_j z~
        self.squares = like.new_zeros(())  # sum x_j^2
        self.second = like.new_zeros(m, m)  # sum E[z z^T] over all rows
        self.first = like.new_zeros(m)
        self.log_prob = like.new_zeros(())
        self.rows = 0

    def add(self, x: Tensor, seen: Tensor | None, at: Parameters) -> None:
        """Take in rows (batch, d), zeros where missing; all complete where `seen` is None."""
        m = at.factor.shape[1]
        latent = infer(x, seen, at)
        z = torch.cat([latent.mean, latent.mean.new_ones(len(x), 1)], 1)
        spread = at.variance * torch.cholesky_inverse(latent.triangle)
        if seen is None:
            outer = z.T @ z
            outer[:m, :m] += len(x) * spread[0]
            self.shared += outer
            self.second += outer[:m, :m]
        else:
            row, column, place = _packing(m, x.device)
            outer = spread[:, row, column] + z[:, row] * z[:, column]
            if self.own is None:
                self.own = z.new_zeros(x.shape[1], len(row) + m + 1)
            self.own.addmm_(seen.T, torch.cat([outer, z], 1))
            self.second += outer.sum(0)[place]
        self.cross.addmm_(x.T, z)
        self.squares += x.square().sum()
        self.first += latent.mean.sum(0)
        self.log_prob += latent.log_prob.sum()
        self.rows += len(x)


def expect(x: Tensor | Rows, shift: Tensor, at: Parameters) -> Statistics:
    """The E-step, one pass over the data; rows without any entry are left out.

    `at` is the law of x - shift, whose sums lose no digits to a far mean.
    """
    d, m = at.factor.shape
    found = Statistics(d, m, at.factor)
    step = max(1, BLOCK // (d + 2 * m * m))
    for block in blocks(x):
        for part in block.detach().flatten(1).split(step):
            y = part - shift
            missing = y.isnan()
            empty = missing.any(1)
            if not bool(empty.any()):
                found.add(y, None, at)
                continue
            if not bool(empty.all()):
                found.add(y[~empty], None, at)
            some = empty & ~missing.all(1)
            if bool(some.any()):
                found.add(y[some].nan_to_num_(nan=0.0), (~missing[some]).to(y), at)
    return found


def maximise(found: Statistics, entries: Tensor) -> Parameters:
    r"""The M-step over W, mean and s2, and over the law N(nu, R) of z, then folded in.

    (W_j, mean_j) = (sum_n x_nj E[z~]^T) (sum_n E[z~ z~^T])^{-1} over the rows that observe j,
    s2 = the mean over observed entries of E[(x_nj - W_j z - mean_j)^2]; then
    mean <- mean + W nu, W <- W R^{1/2}. The last step (Liu, Rubin & Wu 1998) keeps the likelihood
    from falling as the others do, and sets the scale of W at once: EM alone nears it by a factor
    1 - 2 s2 (l - s2) / l^2 an iteration, 0.98 for an eigenvalue l of 100 s2.
    """
    m = len(found.first)
    if found.own is None:
        triangle = torch.linalg.cholesky(found.shared)
        joint = torch.cholesky_solve(found.cross.T, triangle).T
    else:
        place = _packing(m, found.first.device)[2]
        inner = found.shared.new_empty(len(found.cross), m + 1, m + 1)
        inner[:, :m, :m] = found.own[:, place]
        inner[:, m, :] = inner[:, :, m] = found.own[:, -(m + 1) :]
        triangle = torch.linalg.cholesky(inner + found.shared)
        joint = torch.cholesky_solve(found.cross[:, :, None], triangle)[:, :, 0]
    factor, mean = joint[:, :m], joint[:, m]
    variance = (found.squares - (joint * found.cross).sum()) / entries
    nu = found.first / found.rows
    spread = found.second / found.rows - torch.outer(nu, nu)
    return Parameters(mean + factor @ nu, factor @ torch.linalg.cholesky(spread), variance)


def check_noise(variance: Tensor | float, scale: Tensor | float, components: int) -> None:
    """Raises `DataError` where the noise vanishes, for the likelihood then has no maximum."""
    if not bool(variance > LEAST * scale):
        raise DataError(
            f"{components} components leave a noise variance of {float(variance):.3g} beside a "
            f"mean variance of {float(scale):.3g} a column, and the likelihood has no maximum: "
            "the data lie on a subspace, or the components outnumber what they tell; fit fewer "
            "components, or PCA"
        )


def _packing(m: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Rows and columns of the upper triangle of (m, m), and where each entry lies among them."""
    row, column = torch.triu_indices(m, m, device=device)
    place = torch.empty(m, m, dtype=torch.int64, device=device)
    place[row, column] = place[column, row] = torch.arange(len(row), device=device)
    return row, column, place
