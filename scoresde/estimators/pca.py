r"""Principal component analysis: the subspace of a given dimension nearest to the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import torch
from torch import Tensor

from scoresde.data.dataset import Rows
from scoresde.densities import Gaussian
from scoresde.errors import CapabilityError, DataError, OptionError
from scoresde.estimators import spectrum
from scoresde.estimators.base import Estimator, Fitted, OnIteration, checked

EXACT_UP_TO = 2048  # min(n, d) to which `auto` is exact: 64 MB of covariance, seconds of eigh


@dataclass(frozen=True, kw_only=True, eq=False)
class PCAModel(Fitted):
    r"""x ~ mean + U z, with U = `axes` (d, m) orthonormal and z uncorrelated of `variances` (m,).

    `variances` are the largest eigenvalues of the covariance (1/n) sum (x - mean)(x - mean)^T,
    falling, and `rest` is the sum of the discarded ones, which is the mean squared error of
    reconstruction of the training data. Each axis has its entry of largest magnitude positive.
    Results come back in the dtype of x, arithmetic is in float64. Every method raises `DataError`
    for another shape of rows than the model was fitted to.
    """

    mean: Tensor  # (d,)
    axes: Tensor
    variances: Tensor
    rest: float
    solver: str  # what ran: covariance, gram or randomised
    residual: float = 0.0  # max_j |C u_j - l_j u_j| / l_1, of the randomised solver

    @property
    def components(self) -> int:
        return self.axes.shape[1]

    @property
    def total(self) -> float:
        """The sum of all d variances."""
        return float(self.variances.sum()) + self.rest

    @property
    def explained(self) -> Tensor:
        """Share of the total variance on each axis (m,); zeros where the data do not vary."""
        return self.variances / self.total if self.total > 0.0 else self.variances

    @cached_property
    def density(self) -> Gaussian:
        r"""N(mean, U diag(variances) U^T), which lies on the subspace.

        Its diffused law is a proper density at every sigma > 0; at sigma = 0 it has none, for all
        its mass lies on a set of volume zero. `PPCA` is the model with a density everywhere.
        """
        factor = self.axes * self.variances.sqrt()
        return Gaussian(mean=self.mean, factor=factor, variance=0.0, event_shape=self.event_shape)

    def transform(self, x: Tensor) -> Tensor:
        """z = U^T (x - mean), shape (batch, m)."""
        return self._codes(x).to(result_dtype(x))

    def inverse(self, z: Tensor) -> Tensor:
        """mean + U z for z (batch, m), shape (batch, *event)."""
        return self._events(self._checked(z).to(torch.float64), z)

    def whiten(self, x: Tensor) -> Tensor:
        """diag(variances)^{-1/2} U^T (x - mean), shape (batch, m), of unit covariance.

        Raises `CapabilityError` where an axis has no variance.
        """
        return (self._codes(x) / self._deviations()).to(result_dtype(x))

    def unwhiten(self, z: Tensor) -> Tensor:
        """The inverse of `whiten` on the subspace: z (batch, m) to (batch, *event)."""
        return self._events(self._checked(z).to(torch.float64) * self._deviations(), z)

    def reconstruct(self, x: Tensor) -> Tensor:
        """mean + U U^T (x - mean), the nearest point of the subspace, shape (batch, *event)."""
        return self._events(self._codes(x), x)

    def reconstruction_error(self, x: Tensor) -> Tensor:
        """|x - reconstruct(x)|^2, shape (batch,), in squared units of the data."""
        y = self.rows(x) - self.mean
        off = y - (y @ self.axes) @ self.axes.T
        return off.square().sum(1).to(result_dtype(x))

    def facts(self) -> dict[str, object]:
        return {
            "components": self.components,
            "solver": self.solver,
            "explained": float(self.explained.sum()),
            "rest": self.rest,
            "residual": self.residual,
        }

    def _codes(self, x: Tensor) -> Tensor:
        return (self.rows(x) - self.mean) @ self.axes

    def _events(self, z: Tensor, like: Tensor) -> Tensor:
        events = self.mean + z @ self.axes.T
        return events.reshape(len(z), *self.event_shape).to(result_dtype(like))

    def _checked(self, z: Tensor) -> Tensor:
        if z.ndim != 2 or z.shape[1] != self.components:
            raise DataError(f"z has shape {tuple(z.shape)}, needs (batch, {self.components})")
        return z

    def _deviations(self) -> Tensor:
        least = _no_variance(len(self.mean), self.total)
        kept = int((self.variances > least).sum())
        if kept < self.components:
            raise CapabilityError(
                f"axis {kept} (from 0) has variance {float(self.variances[kept]):.3g} of "
                f"{self.total:.3g} and cannot be whitened; "
                + (f"fit with components = {kept}" if kept else "the data do not vary at all")
            )
        return self.variances.sqrt()


@dataclass(frozen=True, kw_only=True)
class PCA(Estimator):
    r"""The m orthonormal axes U with the least mean |x - mean - U U^T (x - mean)|^2.

    They are the eigenvectors of the m largest eigenvalues of the covariance, taken with 1/n, and
    the error is the sum of the others. (Pearson 1901; Hotelling 1933.)

    `components` is m (int), or a share of the total variance (float in (0, 1)) that the fewest
    axes reach. `solver`: "exact" takes the d x d covariance where d <= n and the n x n Gram matrix
    elsewhere; "randomised" never forms either (Halko, Martinsson & Tropp 2011) and states its
    error in `residual`; "auto" is exact for a share, for min(n, d) <= 2048, and where more than a
    quarter of the axes are asked for. Of float32 data in many dimensions the exact one may seek
    few axes in float32; `spectrum.exact` tells when, and how near they come. `oversampling` and
    `power_iterations` are the randomised solver's, which makes power_iterations + 1 passes beyond
    that for the mean.

    Raises `OptionError` for options out of range and for components > min(n - 1, d), the most
    that n centred data can span; `DataError` for fewer than two data and for NaN.
    """

    model: ClassVar[type[Fitted]] = PCAModel

    components: int | float
    solver: Literal["auto", "exact", "randomised"] = "auto"
    oversampling: int = 10
    power_iterations: int = 6

    def __post_init__(self) -> None:
        m = self.components
        if isinstance(m, bool) or not isinstance(m, int | float):
            raise OptionError(f"components is a number of axes or a share of variance, got {m!r}")
        if isinstance(m, float) and not 0.0 < m < 1.0:
            raise OptionError(
                f"components as a share of the variance lies in (0, 1), got {m}; a number of "
                "axes is an integer"
            )
        if isinstance(m, int) and m < 1:
            raise OptionError(f"components is at least 1, got {m}")
        if self.solver not in ("auto", "exact", "randomised"):
            raise OptionError(f"solver is auto, exact or randomised, got {self.solver!r}")
        if self.solver == "randomised" and isinstance(m, float):
            raise OptionError(
                f"the randomised solver needs a number of axes, got components = {m}, a share of "
                "the variance; give an integer, or solver = 'exact'"
            )
        for name, least in (("oversampling", 2), ("power_iterations", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise OptionError(f"{name} is an integer of at least {least}, got {value!r}")

    def check(self, rows: int, event_shape: tuple[int, ...]) -> None:
        if rows < 2:
            raise DataError(f"PCA needs at least 2 data, got {rows}")
        d = math.prod(event_shape)
        spectrum.check_components(
            self.components,
            min(rows - 1, d),
            f"{rows} centred data in {d} dimensions span no more",
        )

    def fit(
        self, x: Tensor | Rows, *, seed: int = 0, on_iteration: OnIteration | None = None
    ) -> PCAModel:
        """The model of data x (n, *event), n >= 2; the seed is the randomised solver's."""
        x = checked(x, missing=True)  # NaN is refused below, with a way out
        event_shape = tuple(x.shape[1:])
        n, d = len(x), math.prod(event_shape)
        self.check(n, event_shape)
        exact = self._exact(min(n, d))
        if exact:
            found = spectrum.exact(x, self.components)
        else:
            found = spectrum.randomised(
                x,
                self.components,
                oversampling=self.oversampling,
                power_iterations=self.power_iterations,
                seed=seed,
            )
        rest = found.total - float(found.variances.sum())
        return PCAModel(
            event_shape=event_shape,
            mean=found.mean,
            axes=found.axes,
            variances=found.variances,
            rest=rest if rest > _no_variance(d, found.total) else 0.0,
            solver=("covariance" if d <= n else "gram") if exact else "randomised",
            residual=found.residual,
        )

    def _exact(self, size: int) -> bool:
        if self.solver != "auto":
            return self.solver == "exact"
        small = size <= EXACT_UP_TO
        return isinstance(self.components, float) or small or 4 * self.components > size


def _no_variance(d: int, total: float) -> float:
    """What rounding leaves of a zero eigenvalue."""
    return d * torch.finfo(torch.float64).eps * total


def result_dtype(x: Tensor) -> torch.dtype:
    """That of x, and float64 for whole numbers."""
    return x.dtype if x.is_floating_point() else torch.float64
