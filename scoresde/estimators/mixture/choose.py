"""The number of components k, chosen by an information criterion or by held-out data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from numbers import Integral
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from scoresde.data.dataset import Rows, blocks
from scoresde.densities import Density
from scoresde.errors import CapabilityError, DataError, OptionError
from scoresde.estimators.base import Estimator, Fitted, checked
from scoresde.kernels import Purpose, uniform

Criterion = Literal["bic", "aic", "held-out"]
OnCandidate = Callable[["Candidate"], None]
FOLD_KEY = 2**32 - 1  # of the noise key that deals data to folds, which no fit takes


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One K. `value` is the criterion: BIC and AIC in nats (less is better), or the held-out log
    likelihood in nats per datum (more is better).

    `standard_error` is that of the value over data, `gap` how much worse than the best value it
    is, and `gap_error` the standard error of the gap, paired datum by datum.
    """

    k: int
    value: float
    standard_error: float
    converged: bool
    gap: float = 0.0
    gap_error: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """The chosen k, its model fitted to all data, and every candidate in the order of ks."""

    k: int
    model: Fitted
    criterion: str
    table: tuple[Candidate, ...]


def log_likelihoods(density: Density, x: Tensor | Rows) -> Tensor:
    """log p(x_n) of every datum, float64 (n,), a block at a time."""
    return torch.cat([density.log_prob(block.to(torch.float64)).cpu() for block in blocks(x)])


def choose(
    estimator: Estimator,
    x: Tensor | np.ndarray | Rows,
    *,
    ks: Iterable[int] = range(1, 11),
    criterion: Criterion = "bic",
    folds: int = 5,
    one_standard_error: bool = False,
    seed: int = 0,
    on_candidate: OnCandidate | None = None,
) -> Choice:
    """The best k among `ks` for an estimator with an option `k`, fitted to data x (n, *event).

    bic, aic: -2 log p(x) + p log n (Schwarz 1978) and -2 log p(x) + 2 p (Akaike 1974), with the
    model's p `parameters`. held-out: each datum's log-likelihood under a model fitted without it,
    by cross-validation with `folds` parts dealt at random by the seed; errors take data as
    independent. `one_standard_error` takes the smallest k that is worse than the best by at most
    the gap's standard error (after Breiman, Friedman, Olshen & Stone 1984, 3.4.3, with the error
    paired). Every fit has the seed. `on_candidate` is told each candidate, before gaps are known.

    Raises:
        OptionError: an unknown criterion, ks that are no whole numbers >= 1, folds < 2, an
            estimator without `k`.
        DataError: fewer data than folds, or than the largest k in what is left to fit.
        CapabilityError: bic or aic for a model that does not count its `parameters`.
    """
    held_out = criterion == "held-out"
    x = checked(x)
    ks = check_choice(estimator, len(x), ks, criterion, folds)
    models, terms, rows = {}, {}, {}
    for k in ks:
        own = replace(estimator, k=k)
        if held_out:
            scores, converged = _cross_validated(own, x, folds, seed)
            terms[k], price = -scores / len(x), 0.0
        else:
            models[k] = own.fit(x, seed=seed)
            converged = models[k].converged
            terms[k] = -2.0 * log_likelihoods(models[k].density, x)
            price = _price(models[k], len(x), criterion)
        loss = float(terms[k].sum()) + price
        if math.isnan(loss):
            raise DataError(f"the fit with k = {k} gives some datum no likelihood (NaN)")
        rows[k] = loss, _error(terms[k]), converged
        if on_candidate is not None:
            on_candidate(_candidate(k, rows[k], held_out))
    best = min(ks, key=lambda k: rows[k][0])
    table = tuple(
        replace(
            _candidate(k, rows[k], held_out),
            gap=0.0 if rows[k][0] == rows[best][0] else rows[k][0] - rows[best][0],
            gap_error=0.0 if k == best else _error(terms[k] - terms[best]),
        )
        for k in ks
    )
    if one_standard_error:
        best = min(row.k for row in table if row.gap <= row.gap_error and row.gap < math.inf)
    model = models[best] if best in models else replace(estimator, k=best).fit(x, seed=seed)
    return Choice(k=best, model=model, criterion=criterion, table=table)


def check_choice(
    estimator: Estimator, rows: int, ks: Iterable[int], criterion: str, folds: int = 5
) -> list[int]:
    """The distinct ks; raises what `choose` would, as far as the number of rows tells."""
    if criterion not in get_args(Criterion):
        raise OptionError(
            f"criterion is one of {', '.join(get_args(Criterion))}, got {criterion!r}"
        )
    if "k" not in {f.name for f in fields(estimator)}:
        raise OptionError(f"{type(estimator).__name__} has no option k to choose")
    if isinstance(folds, bool) or not isinstance(folds, int) or folds < 2:
        raise OptionError(f"folds is a whole number >= 2, got {folds!r}; 5 is usual")
    ks = list(dict.fromkeys(ks)) if isinstance(ks, Iterable) else [ks]
    whole = all(isinstance(k, Integral) and not isinstance(k, bool) and k >= 1 for k in ks)
    if not ks or not whole:
        raise OptionError(f"ks are whole numbers >= 1, got {ks}; range(1, 11), say")
    model = type(estimator).model
    counted = hasattr(model, "parameters") or "parameters" in {f.name for f in fields(model)}
    held_out = criterion == "held-out"
    if not held_out and not counted:
        raise CapabilityError(
            f"{model.__name__} does not count its parameters, as {criterion} needs; choose by "
            "held-out"
        )
    left = rows - math.ceil(rows / folds) if held_out else rows
    if held_out and rows < folds:
        raise DataError(f"a choice by {folds} folds needs at least {folds} data, got {rows}")
    if max(ks) > left:
        raise DataError(
            f"k = {max(ks)} components need as many data to fit, and {left} of {rows} are there"
            f"{f' beside a fold of {folds}' if held_out else ''}; take smaller ks"
        )
    return [int(k) for k in ks]


def _price(model: Fitted, n: int, criterion: str) -> float:
    """What a criterion charges for the parameters that a fit chose, in nats."""
    return model.parameters * (math.log(n) if criterion == "bic" else 2.0)


def _candidate(k: int, row: tuple[float, float, bool], held_out: bool) -> Candidate:
    loss, error, converged = row
    value = -loss if held_out else loss
    return Candidate(k=k, value=value, standard_error=error, converged=converged)


def _error(terms: Tensor) -> float:
    """The standard error of a sum of independent terms; infinite where it cannot be told."""
    if len(terms) < 2 or not bool(torch.isfinite(terms).all()):
        return math.inf
    return math.sqrt(len(terms)) * float(terms.std())


def _cross_validated(
    estimator: Estimator, x: Tensor | Rows, folds: int, seed: int
) -> tuple[Tensor, bool]:
    """log p of each datum under the fit without its fold (n,), and whether all fits converged."""
    one = torch.zeros(1, dtype=torch.int64)
    order = uniform(seed, Purpose.FIT, FOLD_KEY, one, (len(x),))[0].argsort(stable=True)
    scores = torch.empty(len(x), dtype=torch.float64)
    converged = True
    for out in order.tensor_split(folds):
        kept = torch.ones(len(x), dtype=torch.bool)
        kept[out] = False
        model = estimator.fit(_taken(x, kept.nonzero()[:, 0]), seed=seed)
        scores[out] = log_likelihoods(model.density, _taken(x, out))
        converged = converged and model.converged
    return scores, converged


@dataclass(frozen=True, eq=False)
class _Part:
    """Some rows of `Rows`, read when they are asked for."""

    rows: Rows
    index: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.index), *self.rows.shape[1:])

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        return self.rows[self.index[index]]


def _taken(x: Tensor | Rows, index: Tensor) -> Tensor | Rows:
    return x[index.to(x.device)] if isinstance(x, Tensor) else _Part(x, index)
