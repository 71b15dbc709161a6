r"""The Gaussian, with a full or a low-rank covariance.

Both are held by principal axes, C = U diag(c) U^T + r (I - U U^T) with U (d, m) orthonormal, so a
diffused covariance alpha^2 C + sigma^2 I costs O(dm) a sample and no d x d inverse is ever formed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoresde.densities.base import LOG_TWO_PI, Density, as_float64, singular
from scoresde.densities.principal import principal_axes
from scoresde.errors import OptionError
from scoresde.kernels import Purpose, normal


class Gaussian(Density):
    r"""N(m, C) with C given, or C = W W^T + r I from a factor W (d, m) and a variance r (PPCA).

    Diffused: N(alpha m, alpha^2 C + sigma^2 I).
    E[x0|z] = m + alpha C (alpha^2 C + sigma^2 I)^{-1} (z - alpha m),
    E[eps|z] = sigma (alpha^2 C + sigma^2 I)^{-1} (z - alpha m) = -sigma score(z).
    """

    def __init__(self, *, mean, covariance=None, factor=None, variance=None, event_shape=None):
        self._given = {"mean": as_float64("mean", mean, (1, 2, 3))}
        self.event_shape = tuple(event_shape or self._given["mean"].shape)
        self.mean = self._given["mean"].reshape(-1)
        if self.dim != self.mean.numel():
            raise OptionError(f"mean has {self.mean.numel()} numbers, event {self.event_shape}")
        if (covariance is None) == (factor is None) or (factor is None) != (variance is None):
            raise OptionError("a Gaussian takes covariance, or factor and variance together")
        if covariance is not None:
            self.axes, self.variances = self._from_covariance(covariance)
            self.rest = 0.0
            matrix = self._given["covariance"].detach()
            root, failed = torch.linalg.cholesky_ex(matrix)
            self.degenerate = bool(failed > 0) or singular(matrix, root)
        else:
            self.axes, self.variances, self.rest = self._from_factor(factor, variance)
            complete = self._complete and bool((self.variances > 0.0).all())
            self.degenerate = self.rest == 0.0 and not complete

    def _from_covariance(self, covariance) -> tuple[Tensor, Tensor]:
        matrix = as_float64("covariance", covariance, 2).to(self.mean.device)
        self._given["covariance"] = matrix
        if matrix.shape != (self.dim, self.dim):
            raise OptionError(f"covariance has shape {tuple(matrix.shape)}, mean has {self.dim}")
        if not torch.allclose(matrix, matrix.T, rtol=1e-8, atol=1e-12):
            raise OptionError("covariance is not symmetric")
        variances, axes = principal_axes(matrix)
        if float(variances[0].detach()) < -1e-10 * max(float(variances[-1].detach()), 1e-300):
            raise OptionError(
                f"covariance has a negative eigenvalue, {float(variances[0].detach()):.3g}"
            )
        return axes, variances.clamp(min=0.0)

    def _from_factor(self, factor, variance) -> tuple[Tensor, Tensor, float]:
        w = as_float64("factor", factor, 2).to(self.mean.device)
        variance = as_float64("variance", variance, 0).detach()
        self._given |= {"factor": w, "variance": variance}
        if w.shape[0] != self.dim or not 0 < w.shape[1] <= self.dim:
            raise OptionError(f"factor has shape {tuple(w.shape)}, needs ({self.dim}, m)")
        if variance < 0.0:
            raise OptionError(f"variance is not negative, got {float(variance):g}")
        axes, singular, _ = torch.linalg.svd(w, full_matrices=False)
        return axes, singular.square() + float(variance), float(variance)

    def arguments(self) -> dict:
        return {**self._given, "event_shape": self.event_shape}

    @property
    def covariance(self) -> Tensor:
        """The dense covariance (d, d), for small d."""
        spread = (self.axes * (self.variances - self.rest)) @ self.axes.T
        return spread + self.rest * torch.eye(
            self.dim, dtype=torch.float64, device=self.mean.device
        )

    @property
    def _complete(self) -> bool:
        return self.axes.shape[1] == self.dim

    def _apply(self, y: Tensor, on_axes, on_rest) -> Tensor:
        """(U diag(on_axes) U^T + on_rest (I - U U^T)) y, row by row."""
        along = y @ self.axes
        out = (along * on_axes) @ self.axes.T
        if not self._complete:
            rest = y - along @ self.axes.T
            out = out + on_rest * (rest - (rest @ self.axes) @ self.axes.T)  # twice, for rounding
        return out

    def _diffused(self, alpha, sigma) -> tuple[Tensor, Tensor]:
        rest = alpha * alpha * self.rest + sigma * sigma
        return (
            alpha * alpha * self.variances + sigma * sigma,
            torch.as_tensor(rest, dtype=torch.float64, device=self.mean.device),
        )

    def _log_prob(self, x: Tensor, alpha, sigma) -> Tensor:
        variances, rest = self._diffused(alpha, sigma)
        y = x - alpha * self.mean
        along = y @ self.axes
        square = (along.square() / variances).sum(-1)
        log_det = torch.log(variances).sum(-1)
        if not self._complete:
            square = square + ((y - along @ self.axes.T).square() / rest).sum(-1)
            log_det = log_det + (self.dim - self.axes.shape[1]) * rest.log().squeeze(-1)
        return -0.5 * (square + log_det + self.dim * LOG_TWO_PI)

    def _score(self, x: Tensor, alpha, sigma) -> Tensor:
        variances, rest = self._diffused(alpha, sigma)
        on_rest = 0.0 if self._complete else 1.0 / rest
        return -self._apply(x - alpha * self.mean, 1.0 / variances, on_rest)

    def _posterior(self, x: Tensor, alpha, sigma) -> tuple[Tensor, Tensor]:
        variances, rest = self._diffused(alpha, sigma)
        y = x - alpha * self.mean
        rest = 1.0 if self._complete else rest
        x0 = self._apply(y, alpha * self.variances / variances, alpha * self.rest / rest)
        eps = self._apply(y, sigma / variances, sigma / rest)
        return self.mean + x0, eps

    def _sample(self, ids: Tensor, seed: int) -> Tensor:
        z = normal(seed, Purpose.DATA, 0, ids, (self.dim,))
        return self.mean + self._apply(z, self.variances.sqrt(), self.rest**0.5)
