"""An estimator of another package, small enough to know."""

import warnings
from dataclasses import dataclass
from typing import ClassVar

from scoresde.densities import Density, Gaussian
from scoresde.estimators import Estimator, Fitted
from scoresde.estimators.base import checked, flat


@dataclass(frozen=True, kw_only=True, eq=False)
class NormalModel(Fitted):
    density: Density
    rows_seen: int = 0

    def facts(self) -> dict:
        return {"rows_seen": self.rows_seen}


@dataclass(frozen=True, kw_only=True)
class Normal(Estimator):
    """N(m, C + floor I) by maximum likelihood; a start hands its mean on."""

    model: ClassVar[type[Fitted]] = NormalModel
    floor: float = 0.0
    max_iterations: int = 2

    def fit(
        self, x, *, seed=0, on_iteration=None, start: NormalModel | None = None
    ) -> NormalModel:
        x = checked(x, least=2)
        rows = flat(x[:])
        mean = rows.mean(0) if start is None else start.density.mean
        covariance = (rows - mean).T @ (rows - mean) / len(rows)
        covariance.diagonal().add_(self.floor)
        for i in range(self.max_iterations):
            if on_iteration is not None:
                on_iteration(i + 1, float(i))
        event = tuple(x.shape[1:])
        density = Gaussian(mean=mean, covariance=covariance, event_shape=event)
        return NormalModel(
            event_shape=event, density=density, trace=(0.0, 1.0), iterations=2, rows_seen=len(x)
        )


@dataclass(frozen=True, kw_only=True)
class Doubtful(Normal):
    """As `Normal`, with a warning."""

    def fit(self, x, **given) -> NormalModel:
        warnings.warn("few data\nbeyond", UserWarning, stacklevel=2)
        return super().fit(x, **given)
