r"""Kernel density estimates: one Gaussian kernel a datum, down to the empirical distribution.

The score is an attention read-out with the data as keys and values. With no bandwidth the diffused
law is the exact optimum of denoising score matching on the data: what a network that has learned
them by heart would say.
"""

from __future__ import annotations

import math
import warnings
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from scoresde.densities.base import LOG_TWO_PI, Density, as_float64
from scoresde.densities.kernel_sums import KernelSums
from scoresde.densities.per_row import PerRow, class_of_rows
from scoresde.errors import CapabilityError, OptionError
from scoresde.kernels import Purpose, normal, uniform

RANKS = (2, 3, 4, 5)
SURPRISE = 20.0  # nats: a state drawn from the density is called far with probability < e^-20


class FarFromDataWarning(UserWarning):
    """States so far from every datum that a kernel density estimate tells nothing there."""


class KDE(Density):
    r"""p(x) = sum_i w_i N(x; x_i, h^2 I) of points x_i (n, d) or (n, *event); h = `bandwidth`.

    Diffused, with h_t^2 = alpha^2 h^2 + sigma^2, weights p_i = softmax_i(log w_i
    - |z - alpha x_i|^2 / 2 h_t^2) and their mean m = sum_i p_i x_i:

        score(z) = (alpha m - z) / h_t^2,
        E[x0|z] = m + (alpha h^2 / h_t^2) (z - alpha m),
        E[eps|z] = (sigma / h_t^2) (z - alpha m).

    h = 0 is the empirical distribution: it has no density at sigma = 0, where all but `sample`
    raises `CapabilityError`. Weights are positive and normalised; without them they are equal.
    States in float32 are served in float32 where more than 65,536 numbers of data make it worth
    while and its error in the score stays below 1e-4 of the norm, in float64 otherwise.

    At the clean level (sigma = 0 as a float) states farther from every datum than

        |x - x_i|^2 > h^2 (d + 2 sqrt(20 d) + 40)

    bring a `FarFromDataWarning`, once from each density: a state drawn from it lies so far with
    probability less than e^-20 (chi-squared tail; Laurent & Massart 2000, lemma 1).

    `labels` (n,) give each datum its class 0..classes-1, as in `GaussianMixture`: `given(labels)`
    is p(x|c) row by row, `class_log_prob` the posterior of the class.
    """

    def __init__(
        self,
        *,
        points,
        bandwidth: float,
        weights=None,
        event_shape=None,
        labels: tuple[int, ...] | None = None,
    ):
        self.points = _kept(points)
        n = len(self.points)
        if n == 0 or self.points.numel() == 0:
            raise OptionError("a kernel density estimate needs at least one point")
        self.event_shape = tuple(event_shape or self.points.shape[1:])
        if self.dim * n != self.points.numel():
            raise OptionError(
                f"points have {self.points.numel() // n} numbers each, event {self.event_shape}"
            )
        self.bandwidth = checked_bandwidth(bandwidth)
        weights = as_float64("weights", [1.0] * n if weights is None else weights, 1)
        if len(weights) != n or not bool((weights > 0).all()):
            raise OptionError(
                f"weights are {n} numbers > 0, one a point; leave out points of weight zero"
            )
        self._weights_given = weights.clone()
        self.weights = (weights / weights.sum()).to(self.points.device)
        self.labels, self.classes = self._classes(labels)
        flat = self.points.reshape(n, -1).to(torch.float64)
        self.sums = KernelSums(flat, self.weights.log())
        self._told = False

    def arguments(self) -> dict:
        return {
            "points": self.points,
            "bandwidth": self.bandwidth,
            "weights": self._weights_given,
            "event_shape": self.event_shape,
            "labels": self.labels,
        }

    def _classes(self, labels) -> tuple[Tensor | None, int]:
        """The class of every point (n,), and how many classes there are."""
        if labels is None:
            return None, 0
        of_points = torch.as_tensor(labels)
        whole = of_points.ndim == 1 and not of_points.is_floating_point()
        used = of_points.unique().tolist() if whole else []
        if not whole or len(of_points) != len(self.points) or used != list(range(len(used))):
            raise OptionError(
                f"labels give each of {len(self.points)} points its class, whole numbers from 0 "
                f"on without a gap; got {tuple(of_points.shape)} of {of_points.dtype}, "
                f"{used[:12]}"
            )
        return of_points.to(self.points.device, torch.int64), len(used)

    @cached_property
    def _of_class(self) -> list[KDE]:
        """The estimate of each class by itself."""
        own = [self.labels == c for c in range(self.classes)]
        return [
            KDE(
                points=self.points[rows],
                bandwidth=self.bandwidth,
                weights=self.weights[rows],
                event_shape=self.event_shape,
            )
            for rows in own
        ]

    def given(self, labels: Tensor | None) -> Density:
        """p(x|c) of one class a row, labels (batch,) int64; -1 is a row without a class.

        None is the whole estimate. Raises `CapabilityError` without `labels`, `OptionError` for
        labels out of range.
        """
        if labels is None:
            return self
        which = class_of_rows(labels, self.classes).to(self.points.device)
        return PerRow(self, [*self._of_class, self], which)  # -1 finds the last

    def class_log_prob(self, x: Tensor, alpha=1.0, sigma=0.0) -> Tensor:
        """log p(c|z) of every class, by Bayes' rule, (batch, classes)."""
        if not self.classes:
            raise CapabilityError("an estimate without `labels` has no classes to tell apart")
        flat, alpha, sigma = self._flat(x, alpha, sigma)
        levels = self._level(flat, alpha, sigma)
        joint = [
            self.weights[self.labels == c].sum().log() + part.sums.log_sum(flat, *levels)
            for c, part in enumerate(self._of_class)
        ]
        return torch.stack(joint, dim=-1).log_softmax(-1).to(x.dtype)

    def neighbours(self, x: Tensor, alpha=1.0, sigma=0.0) -> tuple[Tensor, Tensor]:
        """How near the data are to states: (distance, number), float64 (batch,) each.

        The distance |z - alpha x_i| / h_t to the nearest datum, in bandwidths, and how many data
        share the weight, exp(-sum_i p_i log p_i), from 1 (the nearest alone) to n.
        """
        x, alpha, sigma = self._flat(x, alpha, sigma)
        alpha, variance = self._level(x, alpha, sigma)
        square, entropy = self.sums.nearest(x, alpha, variance)
        return (square / variance[:, 0]).sqrt(), entropy.exp()

    def leave_one_out(self, bandwidths=None, *, rows: Tensor | None = None) -> Tensor:
        r"""log sum_{j != i} (w_j / (1 - w_i)) N(x_i; x_j, h^2 I): each datum under all others.

        For bandwidths h > 0 (b,) and data i in `rows` (m,) of int64, all without, float64 (b, m)
        in nats, from one pass over the distances; (m,) for the own bandwidth where none is given.
        Raises `OptionError` for bandwidths <= 0, `CapabilityError` where there is one datum.
        """
        own = bandwidths is None
        h = as_float64("bandwidths", [self.bandwidth] if own else bandwidths, 1)
        if not len(h) or not bool((h > 0).all()):
            raise OptionError(f"bandwidths of leave_one_out are > 0, got {h.tolist()}")
        if len(self.points) < 2:
            raise CapabilityError("leaving out the only datum leaves nothing; give two or more")
        h = h.to(self.points.device)
        rows = torch.arange(len(self.points), device=h.device) if rows is None else rows
        log_sum, _ = self.sums.left_out(rows, h)
        log_sum = log_sum - torch.log1p(-self.weights[rows])
        out = log_sum - self.dim * (h.log()[:, None] + 0.5 * LOG_TWO_PI)
        return out[0] if own else out

    def _flat(self, x: Tensor, alpha, sigma):
        """As the base has it, with x in its own dtype: the sums choose the arithmetic."""
        _, alpha, sigma = super()._flat(x, alpha, sigma)
        return x.reshape(len(x), -1), alpha, sigma

    def _level(self, x: Tensor, alpha, sigma) -> tuple[Tensor, Tensor]:
        """alpha and h_t^2, (batch, 1) of float64 each; raises where h_t = 0."""
        variance = alpha * alpha * self.bandwidth**2 + sigma * sigma
        if bool((variance <= 0).any() if isinstance(variance, Tensor) else variance <= 0):
            raise CapabilityError(
                f"a kernel density estimate of bandwidth {self.bandwidth:g} has no density at "
                "sigma = 0; ask at sigma > 0 (a grid with final = 'min' stays above), or give it "
                "a bandwidth > 0"
            )

        def column(level) -> Tensor:
            if isinstance(level, Tensor):
                return level.expand(len(x), 1)
            return torch.full((len(x), 1), level, dtype=torch.float64, device=x.device)

        return column(alpha), column(variance)

    def _log_prob(self, x: Tensor, alpha, sigma) -> Tensor:
        log_sum, variance = self._log_sum(x, alpha, sigma)
        return log_sum - 0.5 * self.dim * (variance[:, 0].log() + LOG_TWO_PI)

    def _log_sum(self, x: Tensor, alpha, sigma) -> tuple[Tensor, Tensor]:
        alpha, variance = self._level(x, alpha, sigma)
        log_sum = self.sums.log_sum(x, alpha, variance)
        self._warn(x, alpha, variance, sigma, -2.0 * log_sum)
        return log_sum, variance

    def _read_out(self, x: Tensor, alpha, sigma) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(m, z - alpha m, alpha, h_t^2) in float64."""
        alpha, variance = self._level(x, alpha, sigma)
        mean, square = self.sums.average(x, alpha, variance)
        self._warn(x, alpha, variance, sigma, square / variance[:, 0])
        return mean, x.to(torch.float64) - alpha * mean, alpha, variance

    def _score(self, x: Tensor, alpha, sigma) -> Tensor:
        _, offset, _, variance = self._read_out(x, alpha, sigma)
        return -offset / variance

    def _posterior(self, x: Tensor, alpha, sigma) -> tuple[Tensor, Tensor]:
        mean, offset, alpha, variance = self._read_out(x, alpha, sigma)
        x0 = mean + (alpha * self.bandwidth**2 / variance) * offset
        return x0, (sigma / variance) * offset

    def _warn(self, x: Tensor, alpha, variance, sigma, bound: Tensor) -> None:
        """Tell of states far from the data; `bound` >= min_i |x - x_i|^2 / h^2, (batch,)."""
        if self._told or isinstance(sigma, Tensor) or sigma != 0.0:
            return
        reach = self.dim + 2.0 * math.sqrt(SURPRISE * self.dim) + 2.0 * SURPRISE
        with torch.no_grad():
            suspects = (bound > reach).nonzero()[:, 0]
            if len(suspects) == 0:
                return
            squares, _ = self.sums.nearest(x[suspects], alpha[suspects], variance[suspects])
            squares = squares / variance[suspects, 0]
        far = int((squares > reach).sum())
        if far:
            self._told = True
            warnings.warn(
                f"{far} of {len(x)} states lie farther than {math.sqrt(reach):.1f} bandwidths "
                f"(h = {self.bandwidth:.3g}) from every datum, the farthest "
                f"{math.sqrt(float(squares.max())):.1f}; the score there is that of the nearest "
                "datum alone",
                FarFromDataWarning,
                stacklevel=5,
            )

    def _sample(self, ids: Tensor, seed: int) -> Tensor:
        z = normal(seed, Purpose.DATA, 0, ids, (self.dim,))
        u = uniform(seed, Purpose.DATA, 1, ids, (1,))[:, 0]
        steps = self.weights.cumsum(-1).to(ids.device)
        chosen = torch.searchsorted(steps, u * steps[-1]).to(self.points.device)
        centres = self.points[chosen].reshape(len(ids), -1).to(ids.device, torch.float64)
        return centres + self.bandwidth * z


def checked_bandwidth(value) -> float:
    """A bandwidth as a float; raises `OptionError` unless it is finite and >= 0."""
    number = isinstance(value, int | float | np.number | Tensor) and not isinstance(value, bool)
    if not number or not 0.0 <= float(value) < math.inf:
        raise OptionError(
            f"bandwidth is a finite number >= 0 (0: the empirical distribution), got {value!r}"
        )
    return float(value)


def _kept(points) -> Tensor:
    """Points in the precision in which they were given, float32 or float64."""
    checked = as_float64("points", points, RANKS)
    single = getattr(points, "dtype", None) in (torch.float32, np.float32)
    return checked.detach().to(torch.float32 if single else torch.float64, copy=True)
