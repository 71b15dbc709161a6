r"""Linear coordinates in which a law is white, or nearly so, and its ascent short."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scoresde.densities import Gaussian, GaussianMixture
from scoresde.densities.derived import plain
from scoresde.densities.gaussian_image import dense
from scoresde.langevin.ascent import evaluated
from scoresde.processes import CLEAN, NoiseLevel
from scoresde.score import ExactScore, ScoreModel

FLAT = 1e-6  # of the steepest curvature: a flatter one is told from zero in coordinates anew
_DENSE = 1024  # dimensions up to which a law's covariance is factorised
_ROWS = 256  # states evaluated at once for a Hessian


class Coordinates(ScoreModel):
    r"""A model asked in y, x = centre + L y: log p is that of x, the score is L^T s(x).

    `centre` (rows, *event), a row for every row asked about, or one for all; `root` L (d,) of a
    diagonal, (d, d), or (rows, d, d). Where L L^T is the covariance, y is white, and an ascent in
    y takes Newton's steps on a Gaussian whatever its condition.
    """

    kind = "score"

    def __init__(self, model: ScoreModel, centre: Tensor, root: Tensor, inverse=None):
        self.model, self.centre, self.root = model, centre, root
        self.event_shape = model.event_shape
        self.inverse = inverted(root) if inverse is None else inverse

    def at_rows(self, index: slice | Tensor) -> Coordinates:
        root, inverse = self.root, self.inverse
        if root.ndim == 3:
            root, inverse = root[index], inverse[index]
        return Coordinates(self.model.at_rows(index), self.centre[index], root, inverse)

    def x(self, y: Tensor) -> Tensor:
        away = times(self.root, y.to(torch.float64).flatten(1)).reshape(y.shape)
        return (self.centre.to(torch.float64) + away).to(y.dtype)

    def extent(self, y: Tensor) -> Tensor:
        """|y| of the x whose rounding y feels, |L^{-1}| |x|, (rows,)."""
        x = self.x(y).to(torch.float64).flatten(1)
        return times(self.inverse.abs(), x.abs()).norm(dim=1)

    def forward(self, y: Tensor, level: NoiseLevel) -> Tensor:
        return self.value_and_score(y, level)[1]

    def value_and_score(
        self, y: Tensor, level: NoiseLevel = CLEAN
    ) -> tuple[Tensor | None, Tensor]:
        """Both; None in place of the value of a model that offers none."""
        value, score = evaluated(self.model, self.x(y), level)
        turned = self.root if self.root.ndim == 1 else self.root.mT
        score = times(turned, score.to(torch.float64).flatten(1))
        return value, score.reshape(y.shape).to(y.dtype)

    def hessian(self, level: NoiseLevel) -> tuple[Tensor, Tensor]:
        """Eigenvalues, rising, and axes of the Hessian of log p in y at the centre, of one row.

        By central differences of a step of eps^(1/3) local lengths, which the Hessian tells in
        turn, or of 64 roundings of x. A difference that is not finite, at the end of the support,
        counts as zero.
        """
        length = 1.0
        for _ in range(6):
            matrix = self.differences(length, level).nan_to_num(0.0, 0.0, 0.0)
            values, axes = torch.linalg.eigh(0.5 * (matrix + matrix.T))
            steepest, before = float(values.abs().max()), length
            length = steepest**-0.5 if steepest > 0.0 else 1.0
            if length >= 0.1 * before:
                break
        return values, axes

    def differences(self, length: float, level: NoiseLevel) -> Tensor:
        x = self.centre
        eps = torch.finfo(x.dtype).eps
        extent = float(self.extent(torch.zeros_like(x)))
        step = max(eps ** (1 / 3) * length, 64 * eps * extent)
        rows = []
        for some in torch.eye(x.numel(), dtype=x.dtype, device=x.device).split(_ROWS // 2):
            offsets = (step * some).reshape(-1, *x.shape[1:])
            score = self.forward(torch.cat([offsets, -offsets]), level)
            up, down = score.to(torch.float64).flatten(1).chunk(2)
            rows.append((up - down) / (2.0 * step))
        return torch.cat(rows)


def times(matrix: Tensor, rows: Tensor) -> Tensor:
    """matrix (d,) of a diagonal, (d, d) or (rows, d, d), times each of rows (rows, d)."""
    if matrix.ndim == 1:
        return matrix * rows
    return rows @ matrix.mT if matrix.ndim == 2 else (matrix @ rows.unsqueeze(-1)).squeeze(-1)


def inverted(root: Tensor) -> Tensor:
    return 1.0 / root if root.ndim == 1 else torch.linalg.inv(root)


def white(model: ScoreModel, level: NoiseLevel) -> Tensor:
    """L (d,) of a diagonal or (d, d): L L^T the covariance within the components at the level.

    One variance, alpha^2 h^2 + sigma^2, of a kernel estimate, and of other models sigma^2, else 1.
    """
    law = plain(model.density) if isinstance(model, ExactScore) else None
    d = math.prod(model.event_shape)
    within = torch.full((d,), getattr(law, "bandwidth", 0.0) ** 2, dtype=torch.float64)
    if isinstance(law, Gaussian):
        within = dense(law)[0]
    elif isinstance(law, GaussianMixture):
        within = _within(law)
    within = level.alpha**2 * within
    if within.ndim == 2:
        within = within + level.sigma**2 * torch.eye(d, dtype=within.dtype, device=within.device)
        root, failed = torch.linalg.cholesky_ex(within)  # keeps its digits at scales of any ratio
        if d <= _DENSE and not bool(failed):
            return root
        within = within.diagonal()
    else:
        within = within + level.sigma**2
    return torch.where(within > 0.0, within, 1.0).sqrt()


def _within(law: GaussianMixture) -> Tensor:
    """sum_k w_k Sigma_k, (d,) of a diagonal or (d, d)."""
    if law.structure == "low-rank":
        factors = law.factors * law.weights.sqrt()[:, None, None]
        rest = (law.weights @ law.variances).expand(law.dim)
        return torch.einsum("kdm,kem->de", factors, factors) + rest.diag()
    if law.structure == "tied":
        return law.covariances
    mean = torch.tensordot(law.weights, law.covariances, 1)
    return mean.expand(law.dim) if mean.ndim == 0 else mean


def sharpened(root: Tensor, values: Tensor, axes: Tensor, least: float = FLAT) -> Tensor:
    """L |H|^{-1/2}, (d, d), of the Hessian's eigenvalues and axes in coordinates of root L."""
    sizes = values.abs()
    steepest = sizes.max()
    sizes = torch.where(steepest > 0.0, sizes.clamp(min=least * steepest), 1.0)
    turned = root[:, None] * axes if root.ndim == 1 else root @ axes
    return turned * sizes.rsqrt()
