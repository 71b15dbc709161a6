r"""Bootstrap weights, and intervals from the replicates that they give.

Rows are reweighted, not redrawn: w = e / sum(e) with e_i ~ Exp(1), so w ~ Dirichlet(1, …, 1)
(Rubin 1981, "The Bayesian bootstrap"). As many rows stay distinct in a replicate as there are in
the sample, and a subset of the rows, normalised again, is distributed as its own bootstrap; hence
samples that began at the same noise bear the same e in two sets, and the interval of a difference
knows that they go together, also where only some ids are common.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scoresde.errors import OptionError


@dataclass(frozen=True)
class Estimate:
    """A value and the ends of its interval; None where no interval was computed."""

    value: float
    lo: float | None
    hi: float | None


def exponentials(seed: int, stream: int, replicates: int, rows: int) -> np.ndarray:
    """Independent e ~ Exp(1), (replicates, rows); streams of one seed are independent."""
    return np.random.default_rng([seed, stream]).standard_exponential((replicates, rows))


def weights_from(e: np.ndarray) -> np.ndarray:
    """(1 + replicates, rows), each summing to 1: first all 1/n, the sample itself."""
    own = np.ones((1, e.shape[1]))
    weights = np.concatenate([own, e])
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def split_weights(
    seed: int, stream: int, splits: int, rows: int, first: int
) -> tuple[np.ndarray, np.ndarray]:
    """Random partitions into `first` rows and the rest: uniform weights, (splits, rows) each."""
    rng = np.random.default_rng([seed, stream])
    in_first = np.zeros((splits, rows), dtype=bool)
    for chosen in in_first:
        chosen[rng.permutation(rows)[:first]] = True
    return in_first / first, ~in_first / (rows - first)


def interval(replicates: np.ndarray, confidence: float, *, signed: bool) -> Estimate:
    r"""The value T = replicates[0] with the interval T + [q_lo, q_hi](T*_b - mean_b T*_b).

    replicates: (1 + B,). The quantiles are those of rank p (B + 1).

    A distance between samples is biased upward, and its replicates are so once more: they measure
    samples noisier than the one at hand. Taken plainly their percentiles may exclude the value
    itself. Centred, they give an interval for the *expected value of the estimate at these sample
    sizes*; that is the true distance for unbiased estimates, and for all of them it is what a
    floor at equal sizes is to be held against.

    Measured coverage at a nominal 95 %: 94 to 96 % for distances between laws well apart and for
    paired errors of Gaussian size at 50 rows; above 99 % where both laws are the same (there the
    bootstrap is too wide by a factor of 1.3 to 1.8); 93 % at 200 rows and 87 % at 50 for paired
    errors whose size is log-normal with log-sd 0.5.

    signed: False cuts the interval at 0.
    """
    value, draws = float(replicates[0]), replicates[1:]
    if len(draws) == 0:
        return Estimate(value, None, None)
    tail = 0.5 * (1.0 - confidence)
    lo, hi = np.quantile(draws - draws.mean(), [tail, 1.0 - tail], method="weibull")
    lo, hi = value + float(lo), value + float(hi)
    return Estimate(value, lo if signed else max(lo, 0.0), hi)


def check_options(resamples: int, confidence: float) -> None:
    """Raises OptionError unless 0 < confidence < 1 and both tails hold at least one replicate."""
    if not 0.0 < confidence < 1.0:
        raise OptionError(f"confidence lies between 0 and 1, got {confidence}")
    least = int(np.ceil(2.0 / (1.0 - confidence) - 1e-9))
    if resamples < least:
        raise OptionError(
            f"resamples is {resamples}; an interval of confidence {confidence} needs {least}"
        )
