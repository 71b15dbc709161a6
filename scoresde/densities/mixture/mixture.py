r"""Gaussian mixtures.

Diffused, component k is N(alpha mu_k, alpha^2 Sigma_k + sigma^2 I) with its weight unchanged, so
scores and posterior means are averages over the responsibilities r_k(z), taken by log-sum-exp. A
spherical mixture with one component per datum is the kernel density estimate of the data, and
with zero variance the diffused empirical distribution.

Where components carry labels, a class is the mixture of its own components, so the score given a
class and the class given a state (Bayes' rule) are exact as well.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from scoresde.densities.base import Density, as_float64
from scoresde.densities.mixture.components import Diffused
from scoresde.densities.mixture.structures import Structure, components, structure_of
from scoresde.errors import CapabilityError, OptionError
from scoresde.kernels import Purpose, normal, uniform

HELD = 2**16  # numbers in a block of rows: half a megabyte, which a core's cache holds
HELD_OF_MANY = 2**20  # where the parameters fill the cache, which every block must read again
HELD_ON_A_DEVICE = 2**24


def _joined(blocks: Iterable[Tensor]) -> Tensor:
    blocks = list(blocks)
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks)


class GaussianMixture(Density):
    r"""p(x) = sum_k w_k N(x; mu_k, Sigma_k), with K components on R^d; `means` (K, d).

    The rank of `covariances` tells the structure: (K,) spherical variances, (K, d) diagonal
    variances, (K, d, d) full matrices. One matrix (d, d) for all must be named,
    structure = "tied". `factors` W (K, d, m) and `variances` r (K,) instead make it "low-rank",
    Sigma_k = W_k W_k^T + r_k I, a mixture of PPCAs at O(d m) a component. `weights` >= 0 are
    normalised; without them they are equal.
    E[x0|z] = sum_k r_k E_k[x0|z], E[eps|z] likewise, score(z) = sum_k r_k score_k(z).

    `labels` gives each component its class 0..classes-1; p(c) is the sum of the class's weights.
    `given(labels)` is then p(x|c) row by row and `class_log_prob` the posterior of the class.

    Attributes: means, weights, structure, labels (K,) or None, classes; `covariances`, or
    `factors` and `variances`, as the structure has them. Raises `OptionError` for parameters
    that do not fit each other and for matrices that are no covariances.
    """

    def __init__(
        self,
        *,
        means,
        covariances=None,
        weights=None,
        structure: Structure | None = None,
        factors=None,
        variances=None,
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

        def held(name: str, value, ranks: int | tuple[int, ...]) -> Tensor | None:
            return None if value is None else as_float64(name, value, ranks).to(self.means.device)

        self.covariances = held("covariances", covariances, (1, 2, 3))
        self.factors = held("factors", factors, 3)
        self._rest = held("variances", variances, 1)
        parameters = (self.covariances, self.factors, self._rest)
        self.structure = structure_of(structure, *parameters)
        self._components = components(self.structure, self.means, *parameters)
        self._given_weights = held("weights", weights, 1)
        self.weights = self._normalised()
        self._log_weights = self.weights.log()  # (K,), or (batch, K) once bound to labels
        self.labels, self.classes = self._classes(labels)

    def _normalised(self) -> Tensor:
        weights = self._given_weights
        if weights is None:
            weights = torch.ones_like(self.means[:, 0])
        if len(weights) != len(self.means) or not bool((weights >= 0).all()) or not weights.any():
            raise OptionError(f"weights are {len(self.means)} numbers >= 0 with a positive sum")
        return weights / weights.sum()

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
        return torch.tensor(labels, device=self.means.device), len(used)

    @property
    def degenerate(self) -> bool:
        return self._components.degenerate

    @property
    def variances(self) -> Tensor:
        """Of low rank, those outside the factors, (K,); else those along `axes`."""
        return self._components.variances if self._rest is None else self._rest

    @property
    def axes(self) -> Tensor | None:
        """Principal axes, the columns of (d, d) or (K, d, d or m); None for the coordinates."""
        return self._components.axes

    def covariance_matrices(self) -> Tensor:
        """Sigma_k, dense, (K, d, d): for small d."""
        return self._components.matrices()

    def arguments(self) -> dict:
        """As `Density.arguments`; of a mixture bound to labels, those of the whole."""
        options = {
            "means": self.means,
            "covariances": self.covariances,
            "weights": self._given_weights,
            "structure": self.structure,
            "factors": self.factors,
            "variances": self._rest,
            "event_shape": self.event_shape,
            "labels": None if self.labels is None else tuple(self.labels.tolist()),
        }
        return {name: value for name, value in options.items() if value is not None}

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
        labels = labels.to(self.labels.device)
        if bool(((labels < -1) | (labels >= self.classes)).any()):
            raise OptionError(
                f"the mixture has the classes 0..{self.classes - 1} (-1: none), "
                f"got labels from {int(labels.min())} to {int(labels.max())}"
            )
        own = (self.labels == labels[:, None]) | (labels[:, None] < 0)  # (batch, K)
        log_weights = bound._log_weights.masked_fill(~own, -torch.inf)
        bound._log_weights = log_weights.log_softmax(-1)
        return bound

    def _blocks(self, x: Tensor, alpha, sigma) -> Iterator[tuple[Diffused, Tensor, slice]]:
        """The components at their level, their offsets from a block of x, and its rows."""
        by_row = isinstance(alpha, Tensor) or isinstance(sigma, Tensor)
        if by_row:
            alpha, sigma = (
                torch.as_tensor(level, dtype=torch.float64, device=x.device).expand(len(x), 1)
                for level in (alpha, sigma)
            )
        width = self._components.width(alpha, sigma)
        held = HELD if width * self.dim <= HELD_OF_MANY // 4 else HELD_OF_MANY
        step = max(1, (held if x.device.type == "cpu" else HELD_ON_A_DEVICE) // width)
        level = None if by_row else self._components.at(alpha, sigma)
        for begin in range(0, max(1, len(x)), step):
            rows = slice(begin, begin + step)
            at = level or self._components.at(alpha[rows], sigma[rows])
            yield at, at.offsets(x[rows]), rows

    def _weighted(self, x: Tensor, alpha, sigma) -> Iterator[tuple[Diffused, Tensor, Tensor]]:
        """As `_blocks`, with log w_k + log N_k in place of the rows."""
        log_weights = self._of_rows(len(x))
        for at, y, rows in self._blocks(x, alpha, sigma):
            prior = log_weights[rows] if log_weights.ndim == 2 else log_weights
            yield at, y, prior + at.log_normals(y)

    def _of_rows(self, rows: int) -> Tensor:
        """The log-weights of so many rows, (K,) or (rows, K)."""
        if self._log_weights.ndim == 2 and len(self._log_weights) != rows:
            raise OptionError(
                f"a mixture given {len(self._log_weights)} labels was asked about {rows} rows"
            )
        return self._log_weights

    def log_joint(self, x: Tensor, alpha=1.0, sigma=0.0) -> Tensor:
        """log w_k + log N(z; alpha mu_k, alpha^2 Sigma_k + sigma^2 I) at z = x.

        In nats, float64 (batch, K); -inf where a weight is zero.
        """
        return _joined(joint for _, _, joint in self._weighted(*self._flat(x, alpha, sigma)))

    def responsibilities(self, x: Tensor, alpha=1.0, sigma=0.0) -> Tensor:
        """r_k(z) = p(k | z), float64 (batch, K)."""
        return self.log_joint(x, alpha, sigma).softmax(-1)

    def class_log_prob(self, x: Tensor, alpha=1.0, sigma=0.0) -> Tensor:
        """log p(c|z) of every class under the whole mixture, by Bayes' rule, (batch, classes)."""
        if self.labels is None:
            raise CapabilityError("a mixture without `labels` has no classes to tell apart")
        joint = self.given(None).log_joint(x, alpha, sigma)
        each = [joint[:, self.labels == c].logsumexp(-1) for c in range(self.classes)]
        return torch.stack(each, dim=-1).log_softmax(-1).to(x.dtype)

    def _log_prob(self, x: Tensor, alpha, sigma) -> Tensor:
        return _joined(joint.logsumexp(-1) for _, _, joint in self._weighted(x, alpha, sigma))

    def _score(self, x: Tensor, alpha, sigma) -> Tensor:
        blocks = self._weighted(x, alpha, sigma)
        return -_joined(at.pull(y, joint.softmax(-1)) for at, y, joint in blocks)

    def _posterior(self, x: Tensor, alpha, sigma) -> tuple[Tensor, Tensor]:
        x0, pull = [], []
        for at, y, joint in self._weighted(x, alpha, sigma):
            r = joint.softmax(-1)
            x0.append(r @ self.means + at.shift(y, r))
            pull.append(at.pull(y, r))
        return _joined(x0), sigma * _joined(pull)

    def _sample(self, ids: Tensor, seed: int) -> Tensor:
        z = normal(seed, Purpose.DATA, 0, ids, (self.dim,))
        u = uniform(seed, Purpose.DATA, 1, ids, (1,))[:, 0]
        steps = self._of_rows(len(ids)).exp().cumsum(-1)
        k = torch.searchsorted(steps, u[:, None] * steps[..., -1:])[:, 0]
        step = max(1, HELD // self.dim**2)
        pairs = zip(z.split(step), k.split(step), strict=True)
        return self.means[k] + _joined(self._components.coloured(*pair) for pair in pairs)
