r"""The spectrum of a covariance: C = (1/n) sum_i (x_i - mean)(x_i - mean)^T = U diag(l) U^T.

Data are centred before they are multiplied (two passes), so a mean of 1e6 costs no digits of the
variances. Sums are in float64, but for products of float32 data where they cannot matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from scipy.linalg import blas, eigh
from torch import Tensor

from scoresde.data.dataset import Rows, blocks
from scoresde.errors import DataError, OptionError
from scoresde.kernels import Purpose, normal

ROUNDING = 64 * torch.finfo(torch.float64).eps  # of a mean summed over many blocks, at most
MANY = 128  # dimensions from which the products are what takes the time
FLUSHED = 8  # blocks whose products are summed in float32
FEW = 4  # times fewer axes than dimensions: else the second pass costs as much as the first
TOLD = 1e-4  # share of the largest eigenvalue that float32 products tell
SMALLEST = 1e-20  # total variance whose parts float32 holds; that of its inverse does not overflow


@dataclass(frozen=True, kw_only=True, eq=False)
class Spectrum:
    """Largest eigenvalues `variances` (m,), falling, their `axes` (d, m), and the trace `total`.

    Columns of `axes` are orthonormal, the entry of largest magnitude in each is positive.
    `residual` is max_j |C u_j - l_j u_j| / l_1: each l_j lies that near to an eigenvalue of C
    (Weyl), relative to the largest; zero for the exact solver, which states no error of its own.
    """

    mean: Tensor  # (d,)
    axes: Tensor
    variances: Tensor
    total: float
    residual: float = 0.0


def canonical(axes: Tensor) -> Tensor:
    """Columns with their entry of largest magnitude (the first of equals) made positive."""
    peak = axes.abs().argmax(0, keepdim=True)
    return torch.where(axes.gather(0, peak) < 0.0, -axes, axes).contiguous()


def mean_of(x: Tensor | Rows) -> Tensor:
    """Column means (d,) in float64; raises `DataError` where the data hold NaN."""
    mean = sum(b.detach().flatten(1).sum(0, dtype=torch.float64) for b in blocks(x)) / len(x)
    if bool(mean.isnan().any()):
        raise DataError(
            "the data hold NaN, which PCA cannot take; fill in or remove such rows, or fit "
            "PPCA(method='em'), which takes NaN for a missing entry"
        )
    return mean


def centred(x: Tensor | Rows, mean: Tensor) -> Iterator[Tensor]:
    """Blocks (batch, d) of x - mean in the dtype of the mean, each valid until the next."""
    room = mean.new_empty(0)
    for block in blocks(x):
        block = block.detach().flatten(1)
        if len(room) < len(block):
            room = mean.new_empty(block.shape)
        yield torch.sub(block, mean, out=room[: len(block)])


def exact(x: Tensor | Rows, components: int | float) -> Spectrum:
    """By the eigenvectors of the d x d covariance where d <= n, else of the n x n Gram matrix.

    `components` is a number of axes, or the share of the total variance that they shall reach.
    The Gram matrix holds the data in float64 (less than the covariance would be); its axes are
    made orthonormal by QR and turned to the principal ones of their span (Rayleigh-Ritz), for
    u = X^T v / |X^T v| alone loses orthogonality as l_j / l_1 nears rounding.

    Few axes of float32 data in many dimensions are sought in float32, in half the time, which
    rounds the covariance by 1e-8 to 1e-6 of the largest eigenvalue (most for data of few values,
    whose roundings agree). What varies along and off the axes found is taken in float64
    (Rayleigh-Ritz), so eigenvalues are right to the square of that over the gap to the others:
    1e-9 of the largest where that gap is 1e-3. Where the least eigenvalue taken, or the sum of the
    others, falls short of 1e-4 of the largest, all is done in float64.
    """
    n, mean = len(x), mean_of(x)
    if len(mean) > n:
        return _by_gram(x, mean, components)
    few = len(mean) >= MANY and isinstance(components, int) and FEW * components <= len(mean)
    if few and x[:1].dtype == torch.float32 and mean.device.type == "cpu":
        gram = _rough_products(x, mean)
        if SMALLEST < float(gram.trace()) / n < 1.0 / SMALLEST:
            near = _largest(gram.to(torch.float32), components)[1]  # in half the time of float64
            found = _along(x, mean, torch.linalg.qr(near.to(torch.float64)).Q)
            least = min(float(found.variances[-1]), found.total - float(found.variances.sum()))
            if least > TOLD * float(found.variances[0]):
                return found
    gram = mean.new_zeros(len(mean), len(mean))
    for block in centred(x, mean):
        _add_products(gram, block)
    return _by_products(gram, n, mean, components)


def _rough_products(x: Tensor | Rows, mean: Tensor) -> Tensor:
    """sum_i (x_i - mean)(x_i - mean)^T of float32 data, upper triangle; products in float32."""
    origin, d = mean.to(torch.float32), len(mean)
    gram, part = mean.new_zeros(d, d), origin.new_zeros(d, d)
    for number, block in enumerate(centred(x, origin), 1):
        _add_products(part, block)
        if number % FLUSHED == 0:
            gram += part
            part.zero_()
    gram += part
    return gram.addr_(mean - origin, mean - origin, alpha=-len(x))


def _along(x: Tensor | Rows, mean: Tensor, span: Tensor) -> Spectrum:
    """The principal axes within an orthonormal span (d, m), which may be off by a little."""
    small, squares = span.new_zeros(span.shape[1], span.shape[1]), mean.new_zeros(())
    rows = span.T.contiguous()
    for block in centred(x, mean):
        z = rows @ block.T  # in 0.8 of the time of the transpose
        small.addmm_(z, z.T)
        squares += torch.dot(block.flatten(), block.flatten())
    variances, turn = _largest(small / len(x), len(small))
    total = float(squares) / len(x)
    return Spectrum(mean=mean, axes=canonical(span @ turn), variances=variances, total=total)


def _by_products(gram: Tensor, n: int, mean: Tensor, components: int | float) -> Spectrum:
    total = _varying(float(gram.trace()) / n, mean, components)
    variances, axes = _largest(gram, components)
    variances = (variances / n).clamp(min=0.0) * (total > 0.0)
    return Spectrum(mean=mean, axes=canonical(axes), variances=variances, total=total)


def _by_gram(x: Tensor | Rows, mean: Tensor, components: int | float) -> Spectrum:
    y, begin = mean.new_empty(len(x), len(mean)), 0
    for block in centred(x, mean):
        y[begin : begin + len(block)] = block
        begin += len(block)
    gram = mean.new_zeros(len(x), len(x))
    _add_products(gram, y.T)
    total = _varying(float(gram.trace()) / len(x), mean, components)
    _, vectors = _largest(gram, components)
    span = torch.linalg.qr(y.T @ vectors).Q
    _, singular, turn = torch.linalg.svd(y @ span, full_matrices=False)
    variances, axes = singular.square() / len(x) * (total > 0.0), span @ turn.T
    return Spectrum(mean=mean, axes=canonical(axes), variances=variances, total=total)


def _varying(total: float, mean: Tensor, components: int | float) -> float:
    total = variation(total, mean)
    if isinstance(components, float) and total == 0.0:
        raise DataError(
            f"the data do not vary, so components = {components} of their variance is no number "
            "of axes; give an integer"
        )
    return total


def randomised(
    x: Tensor | Rows, components: int, *, oversampling: int, power_iterations: int, seed: int
) -> Spectrum:
    r"""By subspace iteration from a random start, Q <- orth(C Q), and Rayleigh-Ritz on span Q.

    Halko, Martinsson & Tropp 2011: algorithm 4.4 for C, with l = m + p columns, p `oversampling`,
    and q `power_iterations`; then the eigenvalues of Q^T C Q (algorithm 5.3). C is never formed:
    each product is one pass over the data, q + 2 passes in all, and memory is O(d l). By their
    proposition 8.6 and theorem 10.6, what lies off the span, C' = (I - Q Q^T) C (I - Q Q^T), has

        E |C'|^q <= (1 + sqrt(m / (p - 1))) l_{m+1}^q
                    + e sqrt(m + p) / p (sum_{j>m} l_j^{2q})^{1/2}.
    """
    mean = mean_of(x)
    width = min(components + oversampling, len(mean))
    ids = torch.arange(len(mean), device=mean.device)
    span = torch.linalg.qr(normal(seed, Purpose.FIT, 0, ids, (width,))).Q
    for turn in range(power_iterations + 1):
        image, squares = torch.zeros_like(span), mean.new_zeros(())
        for block in centred(x, mean):
            image.addmm_(block.T, block @ span)
            if turn == 0:
                squares += torch.linalg.vector_norm(block).square()
        if turn == 0:
            total = variation(float(squares) / len(x), mean)
        if turn < power_iterations:
            span = torch.linalg.qr(image).Q
    image /= len(x)
    small = span.T @ image
    variances, vectors = _largest(0.5 * (small + small.T), components)
    axes = span @ vectors
    gaps = torch.linalg.vector_norm(image @ vectors - axes * variances, dim=0)
    return Spectrum(
        mean=mean,
        axes=canonical(axes),
        variances=variances.clamp(min=0.0) * (total > 0.0),
        total=total,
        residual=float(gaps.max() / variances[0]) if total > 0.0 else 0.0,
    )


def _add_products(gram: Tensor, y: Tensor) -> None:
    """gram += y^T y; on a CPU by BLAS' symmetric product, which takes half the time."""
    if gram.device.type != "cpu":
        gram.addmm_(y.T, y)
        return
    seen = y.T.numpy()
    by_rows = seen.flags.c_contiguous
    host = gram.numpy()
    syrk = blas.dsyrk if gram.dtype == torch.float64 else blas.ssyrk
    syrk(
        1.0,
        seen.T if by_rows else seen,
        beta=1.0,
        c=host.T,
        trans=int(by_rows),
        overwrite_c=1,
        lower=1,
    )


def _largest(matrix: Tensor, components: int | float) -> tuple[Tensor, Tensor]:
    """Largest eigenvalues, falling, and eigenvectors; of a CPU matrix the upper triangle is read.

    LAPACK finds 50 of 784 eigenvectors in 0.4 of the time that all of them take.
    """
    size = len(matrix)
    if matrix.device.type == "cpu":
        part = None if isinstance(components, float) else [size - components, size - 1]
        found = eigh(matrix.numpy(), lower=False, subset_by_index=part)
        values, vectors = (torch.from_numpy(a.copy()) for a in found)
    else:
        values, vectors = torch.linalg.eigh(matrix, UPLO="U")
    values, vectors = values.flip(0), vectors.flip(1)
    if isinstance(components, float):
        components = _enough(values.clamp(min=0.0), components)
    return values[:components], vectors[:, :components].contiguous()


def _enough(values: Tensor, share: float) -> int:
    """The fewest eigenvalues that make up the share of their sum."""
    reached = values.cumsum(0) / values.sum()
    return min(int((reached < share).sum()) + 1, len(values))


def variation(total: float, mean: Tensor) -> float:
    """The total variance, or zero where it is no more than rounding of the mean (d,) can leave.

    Raises `DataError` where it exceeds float64.
    """
    if not math.isfinite(total):
        raise DataError("the squares of the data exceed float64; divide the data by their scale")
    rounding = float((ROUNDING * mean).square().sum())
    return total if total > rounding else 0.0


def check_components(components: int, limit: int, why: str) -> None:
    """Raises `OptionError` for more components than the data allow."""
    if not isinstance(components, float) and components > limit:
        way_out = f"give at most {limit}" if limit > 0 else "no number of components will do"
        raise OptionError(f"components = {components}, but {why}; {way_out}")
