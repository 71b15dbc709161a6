"""Kernel density estimation: the bandwidth by rule or by leave-one-out likelihood."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from scoresde.data.dataset import Rows
from scoresde.densities import KDE
from scoresde.densities.base import LOG_TWO_PI
from scoresde.densities.kde import checked_bandwidth
from scoresde.densities.kernel_sums import KernelSums
from scoresde.errors import DataError, OptionError
from scoresde.estimators.base import Estimator, Fitted, OnIteration, checked
from scoresde.kernels import Purpose, uniform

RULES = ("scott", "silverman", "likelihood")
GRID_STEP = 0.3  # of log h; the first look at the likelihood
PRECISION = 1e-6  # of log h, where the search ends


@dataclass(frozen=True, kw_only=True, eq=False)
class KernelDensityModel(Fitted):
    """A kernel density estimate, and how likely it makes each datum under all the others.

    `log_likelihood` is the mean of log p_{-i}(x_i) in nats over `left_out` data, with its
    `standard_error` over those data; both None for bandwidth 0 or one datum. `copies` of the left
    out data have an exact copy among the data.
    """

    density: KDE = field()
    rule: str
    log_likelihood: float | None
    standard_error: float | None
    left_out: int
    copies: int

    @property
    def bandwidth(self) -> float:
        return self.density.bandwidth

    def facts(self) -> dict[str, object]:
        return {
            "bandwidth": self.bandwidth,
            "rule": self.rule,
            "leave_one_out_log_likelihood": self.log_likelihood,
            "standard_error": self.standard_error,
            "left_out": self.left_out,
            "copies": self.copies,
        }


@dataclass(frozen=True, kw_only=True)
class KernelDensity(Estimator):
    r"""Isotropic Gaussian kernels on all data, of the bandwidth h given or chosen by rule.

    A number is the bandwidth itself; 0 makes the empirical distribution. With n data in d
    dimensions and s^2 the mean over columns of their variances (divisor n - 1):

        scott        h = s n^(-1/(d+4))                    (Scott 1992, ch. 6)
        silverman    h = s (4/(n(d+2)))^(1/(d+4))          (Silverman 1986, ch. 4)
        likelihood   h = argmax sum_i log p_{-i}(x_i; h)   (Habbema et al. 1974; Duin 1976)

    The likelihood is that of at most `max_data` data, drawn by the seed, each left out of all the
    others. With m_i(h) the mean of |x_i - x_j|^2 under the weights of j != i, its slope in log h
    is mean_i m_i(h)/h^2 - d. m_i lies between the nearest and the mean squared distance of x_i, so
    every maximum has d h^2 between the means of these over i. A grid over that interval finds the
    peak, a bracketed secant on the slope its top, to 1e-6 in log h.
    """

    model = KernelDensityModel

    bandwidth: float | Literal["scott", "silverman", "likelihood"] = "likelihood"
    max_data: int = 1500

    def __post_init__(self) -> None:
        if isinstance(self.bandwidth, str):
            if self.bandwidth not in RULES:
                raise OptionError(
                    f"bandwidth is a number >= 0 or one of {', '.join(RULES)}, got "
                    f"{self.bandwidth!r}"
                )
        else:
            checked_bandwidth(self.bandwidth)
        whole = isinstance(self.max_data, int) and not isinstance(self.max_data, bool)
        if not whole or self.max_data < 2:
            raise OptionError(f"max_data is a whole number from 2 on, got {self.max_data!r}")

    def check(self, rows: int, event_shape: tuple[int, ...]) -> None:
        if isinstance(self.bandwidth, str) and rows < 2:
            raise DataError(f"a bandwidth is chosen by at least 2 data, got {rows}; give a number")

    def fit(
        self, x: Tensor | Rows, *, seed: int = 0, on_iteration: OnIteration | None = None
    ) -> KernelDensityModel:
        """The estimate of x (n, *event), which it holds entire.

        `on_iteration` is told the bandwidths tried and the best log-likelihood a datum. Raises
        `DataError` for fewer than two data or data without spread, except at a bandwidth given,
        and where copies of data let the likelihood grow without bound as h falls.
        """
        given = not isinstance(self.bandwidth, str)
        points = checked(x)
        self.check(len(points), tuple(points.shape[1:]))
        points = points if isinstance(points, Tensor) else points[0 : len(points)]
        n = len(points)
        flat = points.reshape(n, -1).to(torch.float64)
        search = _Search(flat, _drawn(n, self.max_data, seed, flat.device), on_iteration)
        if given:
            h = float(self.bandwidth)
        elif self.bandwidth == "likelihood":
            h = search.maximum()
        else:
            h = search.by_rule(self.bandwidth)
        each = search.log_likelihoods(h) if n > 1 and h > 0.0 else None
        return KernelDensityModel(
            event_shape=tuple(points.shape[1:]),
            trace=tuple(search.trace),
            iterations=len(search.trace),
            density=KDE(points=points, bandwidth=h),
            rule="given" if given else self.bandwidth,
            log_likelihood=None if each is None else float(each.mean()),
            standard_error=None if each is None else float(each.std() / math.sqrt(len(each))),
            left_out=0 if each is None else len(each),
            copies=0 if each is None else int((search.nearest == 0.0).sum()),
        )


def _drawn(n: int, most: int, seed: int, device: torch.device) -> Tensor:
    """All of 0..n-1, or `most` of them drawn by the seed, in order."""
    every = torch.arange(n, device=device)
    if n <= most:
        return every
    return uniform(seed, Purpose.FIT, 0, every, (1,))[:, 0].argsort()[:most].sort().values


class _Search:
    """Bandwidths tried on data (n, d) of float64, those in `rows` left out one by one."""

    def __init__(self, flat: Tensor, rows: Tensor, on_iteration: OnIteration | None):
        self.n, self.dim = flat.shape
        self.rows, self.on_iteration = rows, on_iteration
        self.sums = KernelSums(flat, flat.new_full((self.n,), -math.log(self.n)))
        self.trace: list[float] = []

    @cached_property
    def nearest(self) -> Tensor:
        """The squared distance of each datum left out to its nearest other, (m,)."""
        return self.sums.nearest_other(self.rows)

    def _without_spread(self) -> DataError:
        return DataError(
            f"all {self.n} data are equal, or too near for float64 to square, and have no spread "
            "for a bandwidth; give a number, or scale the data"
        )

    def by_rule(self, rule: str) -> float:
        s = math.sqrt(self.sums.squared_spread * self.n / (self.n - 1) / self.dim)
        if s == 0.0:
            raise self._without_spread()
        power = 1.0 / (self.dim + 4)
        factor = self.n if rule == "scott" else self.n * (self.dim + 2) / 4.0
        return s * factor**-power

    def log_likelihoods(self, h: float) -> Tensor:
        """log p_{-i}(x_i) of each datum left out, (m,)."""
        return self._at(self.sums.keys.new_tensor([h]))[0][0]

    def _at(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """log p_{-i}(x_i) (b, m), and the slope of their mean in log h (b,)."""
        log_sum, square = self.sums.left_out(self.rows, h)
        log_sum = log_sum + math.log(self.n / (self.n - 1))
        logs = log_sum - self.dim * (h.log()[:, None] + 0.5 * LOG_TWO_PI)
        return logs, square.mean(1) / h.square() - self.dim

    def _try(self, log_h: list[float]) -> list[tuple[float, float, float]]:
        """(log h, mean log-likelihood, slope) of each."""
        logs, slopes = self._at(self.sums.keys.new_tensor(log_h).exp())
        tried = list(zip(log_h, logs.mean(1).tolist(), slopes.tolist(), strict=True))
        for _, value, _ in tried:
            self.trace.append(max(value, self.trace[-1] if self.trace else -math.inf))
            if self.on_iteration is not None:
                self.on_iteration(len(self.trace), self.trace[-1])
        return tried

    def maximum(self) -> float:
        """The h of the greatest mean log-likelihood."""
        least = float(self.nearest.mean())
        if least == 0.0:
            if self.sums.squared_spread == 0.0:
                raise self._without_spread()
            raise DataError(
                f"each of {len(self.rows)} data left out has an exact copy, so that the "
                "likelihood grows without bound as the bandwidth falls; remove the copies, or "
                "take bandwidth='scott' or a number"
            )
        # the mean square to all others, of the data left out
        own = -2.0 * self.sums.unit**2 * self.sums.keys[self.rows, self.dim].mean()
        most = (float(own) + self.sums.squared_spread) * self.n / (self.n - 1)
        low, high = (0.5 * math.log(square / self.dim) for square in (least, max(least, most)))
        count = max(2, math.ceil((high - low) / GRID_STEP) + 1)
        grid = [low + (high - low) * i / (count - 1) for i in range(count)]
        tried = self._try(grid)
        k = max(range(count), key=lambda i: tried[i][1])
        uphill = tried[k][2] > 0.0
        if uphill and k + 1 < count:
            best = self._climb(tried[k], tried[k + 1])
        elif not uphill and k > 0:
            best = self._climb(tried[k], tried[k - 1])
        else:
            best = tried[k]
        return math.exp(best[0])

    def _climb(self, a, b) -> tuple[float, float, float]:
        """The top between a and b, whose likelihood is below a's while a's slope points to b.

        Each end is (log h, value, slope). A point that rises from a becomes a; one that lies
        below it, or slopes back, becomes b; so a top stays between. Points by the Illinois secant
        where the slopes differ in sign, else midpoints.
        """
        weight_a, weight_b, moved, best = 1.0, 1.0, "", a
        while abs(b[0] - a[0]) > PRECISION and a[2] != 0.0:
            fraction = 0.5
            if a[2] * b[2] < 0.0:
                fraction = weight_a * a[2] / (weight_a * a[2] - weight_b * b[2])
            (c,) = self._try([a[0] + fraction * (b[0] - a[0])])
            best = max(best, c, key=lambda end: end[1])
            if min(abs(c[0] - a[0]), abs(c[0] - b[0])) < PRECISION:
                break
            if c[2] * a[2] > 0.0 and c[1] >= a[1]:
                weight_a, weight_b = 1.0, weight_b * (0.5 if moved == "a" else 1.0)
                a, moved = c, "a"
            else:
                weight_b, weight_a = 1.0, weight_a * (0.5 if moved == "b" else 1.0)
                b, moved = c, "b"
        return best
