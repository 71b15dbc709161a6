r"""Gaussian mixtures: spherical, diagonal and full components.

Diffused, component k is N(alpha mu_k, alpha^2 Sigma_k + sigma^2 I) with its weight unchanged, so
scores and posterior means are averages over the responsibilities r_k(z), taken by log-sum-exp. A
spherical mixture with one component per datum is the kernel density estimate of the data, and
with zero variance the diffused empirical distribution.

Where components carry labels, a class is the mixture of its own components, so the score given a
class and the class given a state (Bayes' rule) are exact as well.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from scoresde.densities.base import LOG_TWO_PI, Density, as_float64
from scoresde.errors import CapabilityError, OptionError
from scoresde.kernels import Purpose, normal, uniform

_SMALLEST_ALPHA = 1e-18  # below it a per-sample alpha m is lost beside x in any case


class GaussianMixture(Density):
    r"""p(x) = sum_k w_k N(x; mu_k, Sigma_k), with K components on R^d.

    The rank of `covariances` tells the structure: (K,) spherical variances, (K, d) diagonal
    variances, (K, d, d) full matrices. Weights are normalised; without them they are equal.
    E[x0|z] = sum_k r_k E_k[x0|z], E[eps|z] likewise, score(z) = sum_k r_k score_k(z).

    `labels` gives each component its class 0..classes-1; p(c) is the sum of the class's weights.
    `given(labels)` is then p(x|c) row by row and `class_log_prob` the posterior of the class.
    """

    def __init__(
        self,
        *,
        means,
        covariances,
        weights=None,
        event_shape=None,
        labels: tuple[int, ...] | None = None,
    ):
        self.means = as_float64("means", means, 2)
        k, d = self.means.shape
        if k == 0:
            raise OptionError("a mixture needs at least one component")
        self.event_shape = tuple(event_shape or (d,))
        if self.dim != d:
            raise OptionError(f"means have {d} columns, event {self.event_shape}")
        covariances = as_float64("covariances", covariances, (1, 2, 3))
        if tuple(covariances.shape) not in ((k,), (k, d), (k, d, d)):
            raise OptionError(
                f"covariances have shape {tuple(covariances.shape)}; {k} components in {d} "
                f"dimensions need ({k},), ({k}, {d}) or ({k}, {d}, {d})"
            )
        self.structure = ("spherical", "diagonal", "full")[covariances.ndim - 1]
        self.axes = None
        if self.structure == "full":
            if not torch.allclose(covariances, covariances.mT, rtol=1e-8, atol=1e-12):
                raise OptionError("covariances holds a matrix that is not symmetric")
            covariances, self.axes = torch.linalg.eigh(covariances)
        smallest = float(covariances.min())
        if smallest < -1e-10 * max(float(covariances.max()), 1e-300):
            raise OptionError(f"covariances holds a negative variance, {smallest:.3g}")
        self.variances = covariances.clamp(min=0.0)  # (K,) or (K, d) along the axes
        weights = as_float64("weights", [1.0] * k if weights is None else weights, 1)
        if len(weights) != k or not bool((weights >= 0).all()) or float(weights.sum()) <= 0:
            raise OptionError(f"weights are {k} numbers >= 0 with a positive sum")
        self.weights = weights / weights.sum()
        self._log_weights = self.weights.log()  # (K,), or (batch, K) once bound to labels
        self.labels, self.classes = self._classes(labels)

    def _classes(self, labels) -> tuple[Tensor | None, int]:
        """The class of every component (K,), and how many classes there are."""
        if labels is None:
            return None, 0
        labels = [int(label) for label in labels]
        used = {c for c, w in zip(labels, self.weights.tolist(), strict=False) if w > 0.0}
        if len(labels) != len(self.means) or used | set(labels) != set(range(len(used))):
            raise OptionError(
                f"labels give each of {len(self.means)} components its class, from 0 on without a "
                f"gap and every class with a positive weight; got {labels}"
            )
        return torch.tensor(labels), len(used)

    def given(self, labels: Tensor | None) -> GaussianMixture:
        """p(x|c) of one class a row, labels (batch,) int64; -1 is a row without a class.

        Bound to those rows: asked with as many states, sampled with as many ids. None is the
        whole mixture again. Raises `CapabilityError` without `labels`, `OptionError` for labels
        out of range.
        """
        bound = copy.copy(self)
        bound._log_weights = self.weights.log()
        if labels is None:
            return bound
        if self.labels is None:
            raise CapabilityError(
                "this mixture knows no classes; give every component its class (labels = [0, 1])"
            )
        if labels.ndim != 1 or labels.is_floating_point():
            raise OptionError(
                f"labels are whole numbers (batch,), got {labels.dtype} {tuple(labels.shape)}"
            )
        labels = labels.cpu()
        if bool(((labels < -1) | (labels >= self.classes)).any()):
            raise OptionError(
                f"the mixture has the classes 0..{self.classes - 1} (-1: none), "
                f"got labels from {int(labels.min())} to {int(labels.max())}"
            )
        own = (self.labels == labels[:, None]) | (labels[:, None] < 0)  # (batch, K)
        log_weights = bound._log_weights.masked_fill(~own, -torch.inf)
        bound._log_weights = log_weights.log_softmax(-1)
        return bound

    def class_log_prob(self, x: Tensor, alpha=1.0, sigma=0.0) -> Tensor:
        """log p(c|z) of every class under the whole mixture, by Bayes' rule, (batch, classes)."""
        if self.labels is None:
            raise CapabilityError("a mixture without `labels` has no classes to tell apart")
        joint = self.weights.log() + self._log_normals(*self._flat(x, alpha, sigma))
        each = [joint[:, self.labels == c].logsumexp(-1) for c in range(self.classes)]
        return torch.stack(each, dim=-1).log_softmax(-1).to(x.dtype)

    def _offsets(self, x: Tensor, alpha) -> Tensor:
        """z - alpha mu_k in the axes of component k, (batch, K, d)."""
        if isinstance(alpha, Tensor):
            alpha = alpha.unsqueeze(-1)
        y = x.unsqueeze(1) - alpha * self.means
        return y if self.axes is None else torch.einsum("bkd,kde->bke", y, self.axes)

    def _turn_back(self, y: Tensor) -> Tensor:
        return y if self.axes is None else torch.einsum("bke,kde->bkd", y, self.axes)

    def _diffused(self, alpha, sigma) -> Tensor:
        """Variances of the diffused components, (1 or batch, K) or (1 or batch, K, d)."""
        if self.structure != "spherical" and isinstance(alpha, Tensor):
            alpha, sigma = alpha.unsqueeze(-1), sigma.unsqueeze(-1)
        return (alpha * alpha * self.variances + sigma * sigma).reshape(-1, *self.variances.shape)

    def _square_distances(self, x: Tensor, alpha) -> Tensor:
        """|z - alpha mu_k|^2 by explicit differences (the expanded square cancels), (batch, K)."""
        exact = {"compute_mode": "donot_use_mm_for_euclid_dist"}
        if isinstance(alpha, Tensor):
            alpha = alpha.clamp(min=_SMALLEST_ALPHA)
            return (torch.cdist(x / alpha, self.means, **exact) * alpha).square()
        return torch.cdist(x, alpha * self.means, **exact).square()

    def _log_joint(self, x: Tensor, alpha, sigma) -> Tensor:
        """log w_k + log N(z; alpha mu_k, alpha^2 Sigma_k + sigma^2 I), (batch, K)."""
        return self._of_rows(len(x)) + self._log_normals(x, alpha, sigma)

    def _of_rows(self, rows: int) -> Tensor:
        """The log-weights of so many rows, (K,) or (rows, K)."""
        if self._log_weights.ndim == 2 and len(self._log_weights) != rows:
            raise OptionError(
                f"a mixture given {len(self._log_weights)} labels was asked about {rows} rows"
            )
        return self._log_weights

    def _log_normals(self, x: Tensor, alpha, sigma) -> Tensor:
        """log N(z; alpha mu_k, alpha^2 Sigma_k + sigma^2 I), (batch, K)."""
        variances = self._diffused(alpha, sigma)
        if self.structure == "spherical":
            square = self._square_distances(x, alpha) / variances
            log_det = self.dim * variances.log()
        else:
            square = (self._offsets(x, alpha).square() / variances).sum(-1)
            log_det = variances.log().sum(-1)
        return -0.5 * (square + log_det + self.dim * LOG_TWO_PI)

    def responsibilities(self, x: Tensor, alpha=1.0, sigma=0.0) -> Tensor:
        """r_k(z) = p(k | z), float64 (batch, K)."""
        return self._log_joint(*self._flat(x, alpha, sigma)).softmax(-1)

    def _log_prob(self, x: Tensor, alpha, sigma) -> Tensor:
        return self._log_joint(x, alpha, sigma).logsumexp(-1)

    def _precision_offset(self, x: Tensor, alpha, sigma, r: Tensor) -> Tensor:
        """sum_k r_k (alpha^2 Sigma_k + sigma^2 I)^{-1} (z - alpha mu_k), (batch, d)."""
        variances = self._diffused(alpha, sigma)
        if self.structure == "spherical":
            share = r / variances
            return share.sum(-1, keepdim=True) * x - alpha * (share @ self.means)
        y = self._turn_back(self._offsets(x, alpha) / variances)
        return torch.einsum("bk,bkd->bd", r, y)

    def _score(self, x: Tensor, alpha, sigma) -> Tensor:
        r = self._log_joint(x, alpha, sigma).softmax(-1)
        return -self._precision_offset(x, alpha, sigma, r)

    def _posterior(self, x: Tensor, alpha, sigma) -> tuple[Tensor, Tensor]:
        r = self._log_joint(x, alpha, sigma).softmax(-1)
        eps = sigma * self._precision_offset(x, alpha, sigma, r)
        variances = self._diffused(alpha, sigma)
        if self.structure == "spherical":
            keep = r * (alpha * self.variances / variances)  # alpha Sigma_k (...)^{-1}
            x0 = keep.sum(-1, keepdim=True) * x + (r - alpha * keep) @ self.means
        else:
            y = self._offsets(x, alpha)
            shift = (alpha if not isinstance(alpha, Tensor) else alpha.unsqueeze(-1)) * (
                self.variances / variances
            )
            x0 = torch.einsum("bk,bkd->bd", r, self.means + self._turn_back(y * shift))
        return x0, eps

    def _sample(self, ids: Tensor, seed: int) -> Tensor:
        z = normal(seed, Purpose.DATA, 0, ids, (self.dim,))
        u = uniform(seed, Purpose.DATA, 1, ids, (1,))[:, 0]
        steps = self._of_rows(len(ids)).exp().cumsum(-1)
        k = torch.searchsorted(steps, u[:, None] * steps[..., -1:])[:, 0]
        spread = self.variances[k].sqrt()
        y = z * (spread.unsqueeze(-1) if self.structure == "spherical" else spread)
        if self.axes is not None:
            y = torch.einsum("be,bde->bd", y, self.axes[k])
        return self.means[k] + y
