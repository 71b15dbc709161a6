"""Where a climb begins: centres from k-means, k-means++ or random data, and moments about them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from scoresde.data.dataset import Rows, blocks
from scoresde.densities import GaussianMixture
from scoresde.errors import DataError
from scoresde.estimators.base import flat
from scoresde.estimators.kmeans.centred import Centred, Frame
from scoresde.estimators.kmeans.estimator import KMeans
from scoresde.estimators.kmeans.starts import chances, k_means_plus_plus, some_rows
from scoresde.estimators.mixture.estimate import estimate
from scoresde.estimators.mixture.statistics import gather
from scoresde.kernels import Purpose, uniform

Start = Literal["kmeans", "k-means++", "random"]
STARTS: tuple[Start, ...] = ("kmeans", "k-means++", "random")
_SEEDS = 2**31  # steps of the noise keys from which the seeds of restarts come


def seed_of(restart: int, seed: int) -> int:
    """The seed of a restart: the fit's own for the first, then one drawn under it."""
    if restart == 0:
        return seed
    ids = torch.tensor([restart])
    return int(uniform(seed, Purpose.FIT, _SEEDS, ids, (1,))[0, 0] * 2**32)


def column_moments(x: Tensor | Rows) -> tuple[Tensor, Tensor]:
    """Mean and variance (over n) of every column, each (d,) in float64.

    Blocks are merged by Chan, Golub & LeVeque 1983, eq. 2.1.
    """
    count, mean, squares = 0, 0.0, 0.0
    for block in blocks(x):
        block = flat(block)
        gap, n = block.mean(0) - mean, len(block)
        squares = (
            squares + block.var(0, correction=0) * n + gap.square() * (count * n / (count + n))
        )
        mean = mean + gap * (n / (count + n))
        count += n
    return mean, squares / count


def typical_variance(x: Tensor | Rows) -> float:
    """The (lower) median variance of the columns that vary at all.

    Raises `DataError` where none does, and where one overflows.
    """
    mean, variances = column_moments(x)
    if not bool(torch.isfinite(variances).all()):
        raise DataError("the data's variance overflows; scale them to numbers of moderate size")
    varied = variances[variances > 1e-28 * mean.square()]  # above the rounding of a constant
    if len(varied) == 0:
        raise DataError(
            f"the data are {len(x)} times one point, to rounding, so that a mixture has no scale "
            "to go by; give data that vary"
        )
    return float(varied.median())


def begin(
    x: Tensor | Rows, *, k: int, structure: str, rank: int, kind: Start, floor: float, seed: int
) -> GaussianMixture:
    """A start of k components for data x (n, *event).

    "kmeans" and "k-means++" give each datum to the nearest centre and take weights, means and
    covariances from there, a centre without data keeping its place and the pooled covariance.
    "random" takes k data as means, each with the covariance of all data, and equal weights.

    Raises `DataError` for fewer than k distinct data where centres are not random.
    """
    event_shape = tuple(x.shape[1:])
    centres = _centres(x, k, kind, seed)
    if kind == "random":
        mean, _ = column_moments(x)
        whole = gather(x, lambda rows: rows.new_zeros(len(rows), 1), structure, mean[None])
        shape = estimate(whole, floor, structure, rank, update=("covariances",))
        for name in ("covariances", "factors", "variances"):
            if name in shape and structure != "tied":
                shape[name] = shape[name].expand(k, *shape[name].shape[1:]).clone()
        return GaussianMixture(means=centres, event_shape=event_shape, **shape)
    found = gather(x, lambda rows: _nearest(rows, centres), structure, centres)
    return GaussianMixture(event_shape=event_shape, **estimate(found, floor, structure, rank))


def _centres(x: Tensor | Rows, k: int, kind: Start, seed: int) -> Tensor:
    """Where the components begin, (k, d)."""
    if kind == "kmeans":
        return KMeans(k=k, restarts=1).fit(x, seed=seed).centres
    data = Centred(x, Frame.around(x), keep=False)
    u = chances(seed, 0, k, data.frame.offset.device)
    rows = some_rows(len(x), k, u) if kind == "random" else k_means_plus_plus(data, k, u)
    return flat(x[rows])


def _nearest(rows: Tensor, centres: Tensor) -> Tensor:
    """0 for the nearest centre, -inf for the others, (batch, k)."""
    far = torch.cdist(rows, centres, compute_mode="donot_use_mm_for_euclid_dist")
    out = torch.full_like(far, -torch.inf)
    return out.scatter_(1, far.argmin(1, keepdim=True), 0.0)
