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


@dataclass(frozen=True, kw_only=True)
class ScaledNoise(WithEta):
    """A sampler with eta that can also scale its noise by `s_noise`, as k-diffusion's do.

    Any s_noise but 1 changes the law, so that no weak or strong order is declared: a little more
    than 1 makes up for the detail that a denoiser trained by least squares smooths away. (Karras
    et al. 2022, sec. 4, on S_noise.)
    """

    s_noise: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.s_noise < math.inf:
            raise OptionError(
                f"s_noise of {self.noun} is positive and finite, got {self.s_noise}; a sampler "
                "without noise has eta = 0"
            )

    @property
    def weak_order(self) -> int | None:
        return super().weak_order if self.s_noise == 1.0 else None

    @property
    def strong_order(self) -> float | None:
        return super().strong_order if self.s_noise == 1.0 else None
