"""Samplers whose share of noise is an option: eta = 0 the flow, eta = 1 the reverse SDE."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from scoresde.errors import OptionError
from scoresde.samplers.base import GridSampler


@dataclass(frozen=True, kw_only=True)
class WithEta(GridSampler):
    r"""A step that keeps the marginals for every eta: dz = [f z - (1 + eta^2)/2 g^2 score] dt +
    eta g dw. A member states the orders of its two sides; with eta = 0 it draws no noise.
    """

    eta: float = 1.0

    noun: ClassVar[str] = ""  # the name by which errors call it
    eta_max: ClassVar[float] = math.inf
    flow_order: ClassVar[int] = 1
    flow_order_cold: ClassVar[int] = 1
    sde_weak_order: ClassVar[int | None] = 1
    sde_strong_order: ClassVar[float | None] = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.eta <= self.eta_max or math.isinf(self.eta):
            end = f"[0, {self.eta_max:g}]" if self.eta_max < math.inf else "[0, inf)"
            raise OptionError(f"eta of {self.noun} lies in {end}, got {self.eta}")

    @property
    def stochastic(self) -> bool:
        return self.eta > 0.0

    @property
    def order(self) -> int | None:
        return None if self.stochastic else self.flow_order

    @property
    def order_cold(self) -> int | None:
        return None if self.stochastic else self.flow_order_cold

    @property
    def weak_order(self) -> int | None:
        return self.sde_weak_order if self.stochastic else None

    @property
    def strong_order(self) -> float | None:
        return self.sde_strong_order if self.stochastic else None
