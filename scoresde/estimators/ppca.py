r"""Probabilistic principal component analysis: a Gaussian of low rank with noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import torch
from torch import Tensor

from scoresde.data.dataset import Rows
from scoresde.densities import Gaussian
from scoresde.errors import DataError, OptionError, counted
from scoresde.estimators.base import Estimator, Fitted, OnIteration, checked
from scoresde.estimators.pca import PCA, result_dtype
from scoresde.estimators.ppca_em import (
    Latent,
    Parameters,
    check_noise,
    columns,
    expect,
    infer,
    maximise,
)
from scoresde.estimators.spectrum import canonical, check_components
from scoresde.kernels import Purpose, normal


@dataclass(frozen=True, kw_only=True, eq=False)
class PPCAModel(Fitted):
    r"""x = W z + mean + eps, z ~ N(0, I_m), eps ~ N(0, variance I_d): x ~ N(mean, W W^T + s2 I).

    W, `factor` (d, m), is free up to a rotation of z. Here its columns are orthogonal, their
    lengths fall, and the entry of largest magnitude in each is positive, whatever the method.
    Rows may have NaN for missing entries in every method but those of `density`. Results come
    back in the dtype of x, arithmetic is in float64. `trace` is the log-likelihood of the observed
    entries in nats per row (rows without any are not counted), empty for the closed form.
    """

    mean: Tensor  # (d,)
    factor: Tensor
    variance: float

    @property
    def components(self) -> int:
        return self.factor.shape[1]

    @cached_property
    def density(self) -> Gaussian:
        """N(mean, W W^T + s2 I), diffused at O(d m) a sample: no d x d matrix is formed."""
        return Gaussian(
            mean=self.mean,
            factor=self.factor,
            variance=self.variance,
            event_shape=self.event_shape,
        )

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(observed entries) of each row, in nats, shape (batch,); 0 for a row without."""
        return self._infer(x)[0].log_prob.to(result_dtype(x))

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (batch, m) and covariance (batch, m, m) of z given the observed entries of x.

        M^{-1} W_o^T (x_o - mean_o) and s2 M^{-1}, M = W_o^T W_o + s2 I, with the observed rows W_o
        of W; N(0, I) for a row without any. Complete rows share one covariance, as a view.
        """
        latent, _ = self._infer(x)
        spread = self.variance * torch.cholesky_inverse(latent.triangle)
        spread = spread.expand(len(x), self.components, self.components)
        return latent.mean.to(result_dtype(x)), spread.to(result_dtype(x))

    def impute(self, x: Tensor) -> Tensor:
        """x with E[missing | observed] = mean + W E[z | observed] in place of NaN."""
        latent, rows = self._infer(x)
        filled = torch.where(rows.isnan(), self.mean + latent.mean @ self.factor.T, rows)
        return filled.reshape(x.shape).to(result_dtype(x))

    def facts(self) -> dict[str, object]:
        return {"components": self.components, "noise_variance": self.variance}

    def _infer(self, x: Tensor) -> tuple[Latent, Tensor]:
        rows = self.rows(x)
        missing = rows.isnan()
        seen = (~missing).to(rows) if bool(missing.any()) else None
        at = Parameters(self.mean, self.factor, self.mean.new_tensor(self.variance))
        return infer(rows.masked_fill(missing, 0.0), seen, at), rows


@dataclass(frozen=True, kw_only=True)
class PPCA(Estimator):
    r"""Maximum likelihood of N(mean, W W^T + s2 I), W of m = `components` columns.

    "closed": W = U (L - s2 I)^{1/2}, s2 = the mean of the d - m discarded eigenvalues of the
    covariance (1/n) (Tipping & Bishop 1999, eqs. 7 and 8, with R = I); `solver` is that of `PCA`.
    "em": their EM (section 3.3) in expanded parameters (Liu, Rubin & Wu 1998), which also takes
    NaN for missing entries, each row by its own observed set, exactly. It starts from a random W
    drawn by the seed, or from `start`, and ends when the log-likelihood gains less than
    `tolerance` nats per row, or after `max_iterations`. It costs O(n d m) an iteration, and
    O(n d m^2) in rows with missing entries.

    Raises `OptionError` for components > min(n - 2, d - 1): beyond, no noise is left to estimate.
    Raises `DataError` for noise that vanishes (data on a subspace), for data that do not vary, for
    a column without entries, and for NaN under "closed". Rows without entries are left out.
    """

    model: ClassVar[type[Fitted]] = PPCAModel

    components: int
    method: Literal["closed", "em"] = "closed"
    solver: Literal["auto", "exact", "randomised"] = "auto"
    max_iterations: int = 1000
    tolerance: float = 1e-10

    def __post_init__(self) -> None:
        for name in ("components", "max_iterations"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise OptionError(f"{name} is an integer of at least 1, got {value!r}")
        if self.method not in ("closed", "em"):
            raise OptionError(f"method is closed or em, got {self.method!r}")
        PCA(components=self.components, solver=self.solver)  # refuses unknown solvers
        if not isinstance(self.tolerance, int | float) or not 0.0 <= self.tolerance < math.inf:
            raise OptionError(
                f"tolerance is in nats, finite, not negative; got {self.tolerance!r}"
            )

    @property
    def takes_missing(self) -> bool:
        return self.method == "em"

    def check(self, rows: int, event_shape: tuple[int, ...]) -> None:
        d = math.prod(event_shape)
        check_components(
            self.components,
            d - 1,
            f"in {counted(d, 'dimension')} that leaves no direction to the noise",
        )
        check_components(self.components, rows - 2, f"{rows} data tell of no noise beside so many")

    def fit(
        self,
        x: Tensor | Rows,
        *,
        seed: int = 0,
        on_iteration: OnIteration | None = None,
        start: PPCAModel | None = None,
    ) -> PPCAModel:
        """The model of data x (n, *event), n >= 3; `start` is where the EM begins."""
        x = checked(x, least=3, missing=True)
        self.check(len(x), tuple(x.shape[1:]))
        if self.method == "closed":
            if start is not None:
                raise OptionError("the closed form has no start; use method = 'em', or no start")
            return self._closed(x, seed)
        return self._climb(x, seed, on_iteration, start)

    def _closed(self, x: Tensor | Rows, seed: int) -> PPCAModel:
        pca = PCA(components=self.components, solver=self.solver).fit(x, seed=seed)
        d = len(pca.mean)
        if not pca.total > 0.0:
            raise DataError("the data do not vary, so there is no noise to fit; PCA takes them")
        variance = pca.rest / (d - self.components)
        check_noise(variance, pca.total / d, self.components)
        lengths = (pca.variances - variance).clamp(min=0.0).sqrt()
        return PPCAModel(
            event_shape=pca.event_shape,
            mean=pca.mean,
            factor=pca.axes * lengths,
            variance=variance,
        )

    def _climb(self, x, seed: int, on_iteration: OnIteration | None, start) -> PPCAModel:
        event_shape, data = tuple(x.shape[1:]), columns(x)
        check_components(
            self.components, data.rows - 2, f"only {data.rows} rows have any entry at all"
        )
        entries = data.count.sum()
        at = self._start(data, seed, start, event_shape)
        found, trace, converged = expect(x, data.mean, at), [], False
        before = float(found.log_prob) / found.rows
        while len(trace) < self.max_iterations and not converged:
            at = maximise(found, entries)
            check_noise(at.variance, data.variance, self.components)
            found = expect(x, data.mean, at)
            now = float(found.log_prob) / found.rows
            trace.append(now)
            if on_iteration is not None:
                on_iteration(len(trace), now)
            converged, before = now - before < self.tolerance, now
        axes, lengths, _ = torch.linalg.svd(at.factor, full_matrices=False)
        return PPCAModel(
            event_shape=event_shape,
            mean=at.mean + data.mean,
            factor=canonical(axes) * lengths,
            variance=float(at.variance),
            trace=tuple(trace),
            iterations=len(trace),
            converged=converged,
        )

    def _start(self, data, seed: int, start, event_shape: tuple[int, ...]) -> Parameters:
        d, m = len(data.mean), self.components
        if start is None:
            ids = torch.arange(d, device=data.mean.device)
            factor = normal(seed, Purpose.FIT, 0, ids, (m,)) * (data.variance / m).sqrt()
            return Parameters(torch.zeros_like(data.mean), factor, data.variance)
        if not isinstance(start, PPCAModel):
            raise OptionError(f"start is a PPCAModel, got {type(start).__name__}")
        if tuple(start.event_shape) != event_shape or start.components != m:
            raise OptionError(
                f"start has {start.components} components on events {tuple(start.event_shape)}, "
                f"the fit {m} on {event_shape}"
            )
        factor = start.factor.to(data.mean)
        variance = data.mean.new_tensor(start.variance)
        return Parameters(start.mean.to(data.mean) - data.mean, factor, variance)
