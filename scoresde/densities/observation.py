r"""A linear observation y = A x + n, n ~ N(0, R), of a Gaussian or a mixture of Gaussians.

Component k has P = Sigma A^T, S = A P + R, gain G = P S^{-1}; then p_k(y) = N(y; A mu, S) and
x | y ~ N(mu + G (y - A mu), (I - G A) Sigma (I - G A)^T + G R G^T), Joseph's form, which is
symmetric and non-negative whatever the rounding of G.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.densities.base import LOG_TWO_PI, as_float64
from scoresde.densities.gaussian import Gaussian
from scoresde.densities.gaussian_image import dense, symmetric
from scoresde.densities.mixture import GaussianMixture
from scoresde.densities.principal import principal_axes, uneven
from scoresde.errors import OptionError

_SINGULAR = 1e-12  # the smallest eigenvalue of S, its diagonal scaled to 1, that can be inverted


@dataclass(frozen=True, kw_only=True, eq=False)
class Observation:
    """y = A x + n: matrix (p, d), y (p,), noise the variances (p,) or the covariance (p, p)."""

    matrix: Tensor
    y: Tensor
    noise: Tensor

    @property
    def covariance(self) -> Tensor:
        """R, (p, p)."""
        return self.noise.diag() if self.noise.ndim == 1 else self.noise

    @property
    def picks(self) -> Tensor | None:
        """The columns (p,) that the rows see if each sees one of its own, with noise by itself."""
        seen = self.matrix != 0.0
        columns = seen.to(torch.int8).argmax(-1)
        alone = bool((seen.sum(-1) == 1).all()) and len(columns.unique()) == len(columns)
        return columns if alone and self.noise.ndim == 1 else None

    def to(self, device) -> Observation:
        held = {"matrix": self.matrix, "y": self.y, "noise": self.noise}
        return Observation(**{name: tensor.to(device) for name, tensor in held.items()})


@dataclass(frozen=True, kw_only=True, eq=False)
class Update:
    """What an observation makes of components: evidence log p_k(y) (K,), means (K, d), and
    covariances (1 or K, d, d) or, where they stay diagonal, (1 or K, d). Of matrices that rows
    without noise have made singular there are `factors` (1 or K, d, m) as well, Sigma = W W^T,
    unless the rows tell coordinates and the others differ much in scale: then columns are 0."""

    log_evidence: Tensor
    means: Tensor
    covariances: Tensor
    factors: Tensor | None = None


def checked_observation(d: int, matrix, y, noise) -> Observation:
    """The observation that the options tell; raises `OptionError` naming what does not fit."""
    matrix, y = as_float64("matrix", matrix, (1, 2)), as_float64("y", y, (0, 1)).reshape(-1)
    matrix = matrix.reshape(-1, matrix.shape[-1])
    p = len(matrix)
    if matrix.shape[1] != d or p == 0:
        raise OptionError(f"matrix has shape {tuple(matrix.shape)}, needs (p, {d})")
    if len(y) != p:
        raise OptionError(f"y has {len(y)} numbers, the {p} rows of the matrix observe {p}")
    noise = as_float64("noise", noise, (0, 1, 2))
    if tuple(noise.shape) not in ((), (p,), (p, p)):
        raise OptionError(
            f"noise has shape {tuple(noise.shape)}; it is one variance, {p} variances or a "
            f"covariance ({p}, {p})"
        )
    least = float(noise.min())
    if noise.ndim == 2:
        if not torch.allclose(noise, noise.T, rtol=1e-8, atol=1e-12 * float(noise.abs().max())):
            raise OptionError("noise is a covariance and not symmetric")
        values = torch.linalg.eigvalsh(noise)
        least = float(values[0]) if values[0] < -1e-10 * values[-1].abs() else 0.0
    if least < 0.0:
        raise OptionError(f"noise holds a negative variance, {least:.3g}")
    noise = noise.expand(p).clone() if noise.ndim == 0 else noise
    return Observation(matrix=matrix, y=y, noise=noise)


def observe(law: Gaussian | GaussianMixture, seen: Observation) -> Update:
    """Every component given the observation.

    Diagonal covariances stay so where each row of A sees one coordinate of its own, and cost
    O(Kd); else matrices (d, d) are formed, one for all components that share a covariance.
    Raises `OptionError` where S of a component cannot be inverted.
    """
    means = law.mean[None] if isinstance(law, Gaussian) else law.means
    seen = seen.to(means.device)
    columns = seen.picks
    if columns is not None and getattr(law, "structure", "") in ("spherical", "diagonal"):
        held = law.arguments()["covariances"].reshape(len(means), -1).expand(-1, law.dim)
        return _picked(means, held, seen, columns)
    return _joseph(means, dense(law), seen)


def _picked(means: Tensor, variances: Tensor, seen: Observation, columns: Tensor) -> Update:
    a = seen.matrix.gather(1, columns[:, None])[:, 0]
    v, r = variances[:, columns], seen.noise
    s = a.square() * v + r
    _refuse(s.min(-1).values <= 0.0)
    miss = seen.y - a * means[:, columns]
    moved, left = means.clone(), variances.clone()
    moved[:, columns] += a * v / s * miss
    left[:, columns] = v * (r / s)
    log_normal = -0.5 * (miss.square() / s + s.log() + LOG_TWO_PI)
    return Update(log_evidence=log_normal.sum(-1), means=moved, covariances=left)


def _joseph(means: Tensor, covariances: Tensor, seen: Observation) -> Update:
    a, r = seen.matrix, seen.covariance
    p = covariances @ a.T
    s = symmetric(a @ p + r)
    size = s.diagonal(dim1=-2, dim2=-1).clamp(min=0.0).sqrt()
    unit = size + (size == 0.0)
    shape = s / (unit[:, :, None] * unit[:, None, :])
    _refuse(torch.linalg.eigvalsh(shape)[:, 0] < _SINGULAR)
    root = torch.linalg.cholesky(shape)
    miss = (seen.y - means @ a.T) / unit
    white = torch.linalg.solve_triangular(root, miss.unsqueeze(-1), upper=False)[..., 0]
    log_det = 2.0 * (root.diagonal(dim1=-2, dim2=-1).log() + unit.log()).sum(-1)
    log_evidence = -0.5 * (white.square().sum(-1) + log_det + len(seen.y) * LOG_TWO_PI)
    gain = (torch.cholesky_solve((p / unit[:, None, :]).mT, root) / unit[:, :, None]).mT
    keep = torch.eye(a.shape[1], dtype=a.dtype, device=a.device) - gain @ a
    moved = means + (gain @ (unit * miss).unsqueeze(-1))[..., 0]
    left = symmetric(keep @ covariances @ keep.mT + gain @ r @ gain.mT)
    exact = a[r.diagonal() == 0.0]
    known = (exact != 0.0).any(0)
    if int(known.sum()) == len(exact):  # as many rows as coordinates leave none of them open
        left = left.masked_fill(known | known.unsqueeze(-1), 0.0)
        if bool(uneven(left.diagonal(dim1=-2, dim2=-1)).any()):
            exact = exact[:0]  # the zeros tell, and factors would lose the small coordinates
    factors = _within(left, exact)
    return Update(log_evidence=log_evidence, means=moved, covariances=left, factors=factors)


def _within(covariances: Tensor, exact: Tensor) -> Tensor | None:
    """Roots W (K, d, m) of covariances that have no width along `exact` rows (q, d), if any.

    They span the null space of the rows and no more, where rounding would leave some width. None
    where nothing or everything is exact.
    """
    q, d = exact.shape
    if q in (0, d):
        return None
    free = torch.linalg.svd(exact, full_matrices=True).Vh[q:].T
    variances, axes = principal_axes(symmetric(free.T @ covariances @ free))
    return free @ (axes * variances.clamp(min=0.0).sqrt().unsqueeze(-2))


def _refuse(singular: Tensor) -> None:
    if bool(singular.any()):
        k = int(singular.nonzero()[0])
        raise OptionError(
            f"the observation is singular under component {k}: A Sigma A^T + R has no inverse; "
            "give noise > 0, or drop rows of the matrix that follow from others or that see "
            "nothing vary"
        )
