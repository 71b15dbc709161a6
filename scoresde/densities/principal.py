r"""Principal axes of covariance matrices, with every digit that the matrices determine.

`eigh` finds variances and axes to rounding of the largest variance. Where columns have scales of
their own, Sigma = D R D with D diagonal and R a correlation matrix, Sigma determines them far
better: a variance s^2 to cond(R) units of rounding of itself, and entry j of its axis to as many
of min(d_j / s, s / d_j). The singular values of Cholesky's factor by Jacobi's method keep those
digits (Demmel & Veselic 1992, Jacobi's method is more accurate than QR; Drmac & Veselic 2008, New
fast and accurate Jacobi SVD algorithm).
"""

from __future__ import annotations

import torch
from scipy.linalg import lapack
from torch import Tensor

# A ratio of variances of columns. At 1e4 scores by `eigh` are still good to 1e-11 in 784
# dimensions; at 1e6 they lose 6e-10 and at 1e10 1e-5. Jacobi's method takes 5 to 7 times as long.
_UNEVEN = 1e4


def uneven(variances: Tensor) -> Tensor:
    """Whether columns of variances (..., d) >= 0, zeros aside, differ too much for `eigh`."""
    least = variances.where(variances > 0.0, torch.inf).amin(-1)
    return variances.amax(-1) > _UNEVEN * least


def principal_axes(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Variances, ascending, (..., d), and axes, the columns of (..., d, d), of float64 matrices.

    Where the variances of columns differ by more than 1e4 they come of Jacobi's method, one matrix
    after another on the CPU. Matrices that require gradients are left to `eigh`, and so are those
    that are singular otherwise than by columns of zeros.
    """
    variances, axes = torch.linalg.eigh(matrices)
    far = uneven(matrices.detach().diagonal(dim1=-2, dim2=-1))
    if not matrices.requires_grad and bool(far.any()):
        for at in far.nonzero().unbind():
            found = _by_jacobi(matrices[tuple(at)])
            if found is not None:
                variances[tuple(at)], axes[tuple(at)] = found
    return variances, axes


def _by_jacobi(matrix: Tensor) -> tuple[Tensor, Tensor] | None:
    """The same of one matrix, (d,) and (d, d); None where the method does not serve.

    Of Sigma = L L^T outside the columns of zeros it takes the right singular vectors of L^T, whose
    columns are scaled: those of L as left ones lose 1e-6 of scores. Both sides are asked for
    (jobu = 0), since the right ones alone lose 1e-11.
    """
    live = matrix.diagonal() > 0.0
    dead = (~live).nonzero()[:, 0]
    root, failed = torch.linalg.cholesky_ex(matrix[live][:, live])
    if bool(failed) or bool(matrix[dead].any()):
        return None
    widths, _, turn, work, _, failed = lapack.dgejsv(root.mT.cpu().numpy(), joba=0, jobu=0, jobv=0)
    if failed:  # no convergence in thirty sweeps
        return None
    widths = torch.from_numpy(widths * (work[0] / work[1])).flip(0)
    variances, axes = matrix.new_zeros(len(matrix)), torch.zeros_like(matrix)
    variances[len(dead) :] = widths.square()
    axes[live, len(dead) :] = torch.from_numpy(turn).flip(1).to(matrix.device)
    axes[dead, torch.arange(len(dead), device=matrix.device)] = 1.0
    return variances, axes
