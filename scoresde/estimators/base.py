"""What every estimator offers: `fit(x) -> Fitted`, a model with its exact law."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from scoresde.data.dataset import Rows, blocks
from scoresde.densities import Density
from scoresde.errors import DataError, UsageError

OnIteration = Callable[[int, float], None]
"""Told the iterations done and the objective that the fit traces."""


class NotFittedError(UsageError, AttributeError):
    """An estimator was asked for what only the model that it fits can tell."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted(ABC):
    """What a fit leaves: fields of tensors, densities and plain values, which a file can hold.

    `trace` is the objective after each iteration (empty for a closed form), `converged` whether
    the stopping rule was met within the iterations allowed. A member has `density`, as a field or
    a property: the exact law, diffused at any level.
    """

    event_shape: tuple[int, ...]
    trace: tuple[float, ...] = ()
    iterations: int = 0
    converged: bool = True

    density: ClassVar[Density]

    def facts(self) -> dict[str, object]:
        """Further figures of the fit for a report, as JSON has them."""
        return {}

    def rows(self, x: Tensor) -> Tensor:
        """x (batch, *event) as (batch, d) in float64; raises `DataError` for another shape."""
        if tuple(x.shape[1:]) != tuple(self.event_shape):
            raise DataError(
                f"the model was fitted to events of shape {tuple(self.event_shape)}, got x of "
                f"shape {tuple(x.shape)}"
            )
        return x.flatten(1).to(torch.float64)


@dataclass(frozen=True, kw_only=True)
class Estimator(ABC):
    """A recipe: options, and `fit`, which depends on the data, the seed and the options alone."""

    model: ClassVar[type[Fitted]]

    @property
    def takes_missing(self) -> bool:
        """Whether rows may have NaN for missing entries.

        The model's `log_prob` then takes them, too, and is that of the observed entries, and its
        `impute` fills them in.
        """
        return False

    def check(self, rows: int, event_shape: tuple[int, ...]) -> None:  # noqa: B027
        """Refuses, as `fit` will, what data of n = `rows` and this event shape cannot bear."""

    @abstractmethod
    def fit(
        self, x: Tensor | Rows, *, seed: int = 0, on_iteration: OnIteration | None = None
    ) -> Fitted:
        """The model of data x (n, *event)."""

    def __getattr__(self, name: str):
        told = {field.name for field in fields(type(self).model)}
        if not name.startswith("_") and (name in told or hasattr(type(self).model, name)):
            own = type(self).__name__
            raise NotFittedError(
                f"{own} is not fitted and has no {name} yet; {own}(...).fit(x) gives the model"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def checked(x: Tensor | np.ndarray | Rows, *, least: int = 1, missing: bool = False):
    """Data (n, *event) as rows that can be sliced: a floating tensor, or `Rows` as they are.

    Raises `DataError` for fewer than `least` rows, no columns, and values that are not finite
    (NaN is let through where `missing`).
    """
    if isinstance(x, np.ndarray | list | tuple):
        try:
            x = torch.as_tensor(np.asarray(x))
        except (TypeError, ValueError) as error:
            raise DataError(f"the data are no array of numbers: {error}") from None
    if isinstance(x, str) or not hasattr(x, "shape"):
        raise DataError(f"data are a tensor or array of rows (n, *event), got {type(x).__name__}")
    if isinstance(x, Tensor) and not x.is_floating_point():
        if x.is_complex():
            raise DataError(f"the data are real numbers, got {x.dtype}")
        x = x.to(torch.float64)
    shape = tuple(x.shape)
    if len(shape) < 2 or 0 in shape[1:]:
        raise DataError(f"data are rows (n, *event) with at least one column, got shape {shape}")
    if shape[0] < least:
        raise DataError(f"the fit needs at least {least} data, got {shape[0]}")
    begin = 0
    for block in blocks(x):
        if bool(torch.isfinite(block.sum())):  # ten times as quick as a look at each
            begin += len(block)
            continue
        bad = torch.isinf(block) if missing else ~torch.isfinite(block)
        if bool(bad.any()):
            row = begin + int(bad.flatten(1).any(1).nonzero()[0])
            raise DataError(
                f"the data hold {'infinite values' if missing else 'NaN or infinite values'}, the "
                f"first in row {row}; remove or fill in such rows"
            )
        begin += len(block)
    return x


def flat(block: Tensor) -> Tensor:
    """Rows (batch, *event) as (batch, d) in float64."""
    return block.reshape(len(block), -1).to(torch.float64)
