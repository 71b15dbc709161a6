r"""The M-step: the parameters that statistics determine, structure by structure.

With n = counts, m = sums/n, c the centres and S = squares/n - m m^T,

    weights = n/N,   means = c + m,   covariances: full S; diagonal diag S; spherical tr S/d;
    tied sum_k n_k S_k/N;   low-rank W = U (L - r I)^(1/2), r the mean of the eigenvalues left out

with U, L the leading eigenvectors and eigenvalues of S (Dempster, Laird & Rubin 1977; Tipping &
Bishop 1999, appendix C). No variance falls below `floor`: what lies below is lifted to it, which
is the exact maximum over all covariances with eigenvalues >= floor, so EM still never falls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from scoresde.densities.base import as_float64
from scoresde.errors import DataError
from scoresde.estimators.mixture.statistics import Statistics

Part = Literal["weights", "means", "covariances"]
PARTS: tuple[Part, ...] = ("weights", "means", "covariances")
DEAD = 1e-10  # a component that holds less of a datum than this keeps its mean and covariance


def estimate(
    statistics: Statistics,
    floor: float,
    structure: str,
    rank: int = 0,
    *,
    update: tuple[Part, ...] = PARTS,
    held: Mapping[str, object] | None = None,
    ridge: float = 0.0,
) -> dict[str, object]:
    """Keywords of `GaussianMixture`: structure, weights, means, and covariances or both factors
    and variances, of the parts to `update`.

    `held` are the current parameters under the same keywords: of components that have lost all
    data, and of parts not updated. If the means are not, covariances are about the centres, which
    must be these means. Without `held` a dead component sits at its centre with the pooled
    covariance. `ridge` is added to every variance before the floor is applied.
    """
    n = statistics.counts
    alive = n > DEAD
    share = torch.where(alive, n, 1.0)
    out: dict[str, object] = {"structure": structure}
    m = torch.zeros_like(statistics.sums)
    if "weights" in update:
        out["weights"] = n / n.sum()
    if "means" in update:
        m = torch.where(alive[:, None], statistics.sums / share[:, None], 0.0)
        out["means"] = statistics.centres + m
        if held is not None:
            means = as_float64("means", held["means"], 2).to(n.device)
            out["means"] = torch.where(alive[:, None], out["means"], means)
    if "covariances" in update:
        spread = _spread(statistics, structure, m, share, alive)
        shape = (
            _low_rank(spread, rank, floor, ridge)
            if structure == "low-rank"
            else {"covariances": lifted(spread, structure, floor, ridge)}
        )
        if held is not None and structure != "tied":
            for name, value in shape.items():
                old = as_float64(name, held[name], value.ndim).to(n.device)
                shape[name] = torch.where(alive.reshape(-1, *[1] * (value.ndim - 1)), value, old)
        out |= shape
    return out


def _spread(statistics: Statistics, structure: str, m: Tensor, share: Tensor, alive: Tensor):
    """S in the structure's own shape; dead components get the pooled one."""
    n, squares, d = statistics.counts, statistics.squares, m.shape[1]
    if structure == "tied":
        return (squares - m.mT @ (n[:, None] * m)) / n.sum()
    if structure == "spherical":
        s = (squares / share - m.square().sum(-1)) / d
    elif structure == "diagonal":
        s = squares / share[:, None] - m.square()
    else:
        s = squares / share[:, None, None] - m[:, :, None] * m[:, None, :]
    if bool(alive.all()):
        return s
    n = torch.where(alive, n, 0.0)
    pooled = torch.tensordot(n / n.sum(), s, 1)
    return torch.where(alive.reshape(-1, *[1] * (s.ndim - 1)), s, pooled)


def lifted(spread: Tensor, structure: str, floor: float, ridge: float = 0.0) -> Tensor:
    """The nearest covariances with no variance below the floor, in any direction.

    Raises `DataError` where that is below the rounding of the largest.
    """
    if structure in ("spherical", "diagonal"):
        return (spread + ridge).clamp(min=floor)
    eye = torch.eye(spread.shape[-1], dtype=spread.dtype, device=spread.device)
    spread = 0.5 * (spread + spread.mT) + ridge * eye
    _, failed = torch.linalg.cholesky_ex(spread - floor * eye)
    if not bool(failed.any()):
        return spread
    whole = spread.reshape(-1, *spread.shape[-2:])  # tied: one matrix
    low = failed.reshape(-1) > 0
    values, axes = torch.linalg.eigh(whole[low])
    _check_resolved(values, floor)
    lifted = (axes * values.clamp(min=floor)[:, None, :]) @ axes.mT
    return whole.index_put((low,), 0.5 * (lifted + lifted.mT)).reshape(spread.shape)


def _check_resolved(values: Tensor, floor: float) -> None:
    """Raises `DataError` where the floor is below the rounding of the largest variance."""
    rounding = values.shape[-1] * torch.finfo(values.dtype).eps * float(values.max())
    if rounding > floor:
        raise DataError(
            f"a component's variances reach from below the floor of {floor:.3g} to "
            f"{float(values.max()):.3g}, further than float64 tells apart; bring the columns to "
            f"like scales, or raise the floor to {rounding:.2g} at least (in their squared units)"
        )


def _low_rank(spread: Tensor, rank: int, floor: float, ridge: float) -> dict[str, Tensor]:
    """factors (K, d, rank) and variances (K,)."""
    values, axes = torch.linalg.eigh(0.5 * (spread + spread.mT))
    values = values + ridge
    variances = values[:, :-rank].mean(-1)
    if bool((variances < floor).any()):
        _check_resolved(values, floor)
        variances = variances.clamp(min=floor)
    scales = (values[:, -rank:] - variances[:, None]).clamp(min=0.0).sqrt()
    return {"factors": axes[:, :, -rank:] * scales[:, None, :], "variances": variances}
