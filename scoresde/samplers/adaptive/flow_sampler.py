"""What every integrator of the probability flow in phi shares: both directions, tolerances."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.errors import DataError, NonFiniteError, OptionError
from scoresde.processes import NoiseLevel
from scoresde.result import Result
from scoresde.samplers.base import Sampler, check_levels
from scoresde.score import ScoreModel

_ROUNDINGS = 4.0  # a relative tolerance below so many of them cannot be met


@dataclass(frozen=True, kw_only=True)
class FlowSampler(Sampler):
    r"""du/dphi = v(u, phi),  u = x/sqrt(alpha^2 + sigma^2),  phi = atan2(sigma, alpha).

    In these variables the flow of every process is the same and regular at both ends (alpha = 0
    and sigma = 0), and only phi's range remains of the grid. No evaluation falls outside it.
    `rtol` and `atol` are of the normalised state u. (Song et al. 2021, eq. 13.)
    """

    rtol: float | None = None
    atol: float | None = None

    evaluations = None
    noun = ""  # the name by which errors call it

    def __post_init__(self) -> None:
        for name in ("rtol", "atol"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < 1.0:
                raise OptionError(f"{name} of {self.noun} lies in (0, 1), got {value}")

    def run(self, model, levels, x, noise, ids, trajectory=False) -> Result:
        check_levels(levels)
        return self._carry(model, levels, x, ids, trajectory)

    def rise(self, model, levels, x, ids, trajectory=False) -> Result:
        """The same flow the other way: x (batch, *event) at levels[-1] carried up to levels[0].

        At sigma = 0 the model gives v at the data itself; raises `OptionError` where its kind does
        not determine v there.
        """
        check_levels(levels)
        return self._carry(model, levels[::-1], x, ids, trajectory)

    @abstractmethod
    def _carry(
        self,
        model: ScoreModel,
        levels: Sequence[NoiseLevel],
        x: Tensor,
        ids: Tensor,
        trajectory: bool,
    ) -> Result:
        """From levels[0] to levels[-1], whose phi rises or falls."""

    def _tolerances(self, dtype: torch.dtype, fine: float, coarse: float) -> tuple[float, float]:
        """(rtol, atol), by default `fine` in float64 and `coarse` in other dtypes."""
        default = fine if dtype == torch.float64 else coarse
        rtol = default if self.rtol is None else self.rtol
        atol = default if self.atol is None else self.atol
        least = _ROUNDINGS * torch.finfo(dtype).eps
        if rtol < least:
            raise OptionError(
                f"rtol = {rtol:g} of {self.noun} is below the rounding of {dtype}, {least:.2g}; "
                "loosen it or compute in float64"
            )
        return rtol, atol


def velocity(model: ScoreModel, u: Tensor, phi, ends: tuple[float, float]) -> Tensor:
    """v(u, phi) in the shape and dtype of u, phi held between its ends (low, high)."""
    low, high = ends
    v = model.predict(u, NoiseLevel.at_phi(min(max(float(phi), low), high)), "v")
    if v.shape != u.shape:
        raise DataError(
            f"{type(model).__name__} gives predictions {tuple(v.shape)} for states "
            f"{tuple(u.shape)}; let it give the shape of its states"
        )
    return v.to(u.dtype)


def in_scale(
    states: Tensor,
    levels: Sequence[NoiseLevel],
    nfe: Tensor,
    ids: Tensor,
    trajectory: bool,
    **facts,
) -> Result:
    """The result of normalised states (batch, points, *event); raises `NonFiniteError`."""
    final = states[:, -1] * levels[-1].scale
    bad = ~torch.isfinite(final).reshape(len(final), -1).all(dim=1)
    if bool(bad.any()):
        raise NonFiniteError(
            f"the probability flow from sigma/alpha = {levels[0].noise_ratio:.6g} to "
            f"{levels[-1].noise_ratio:.6g} ended in states that are not finite, for ids "
            f"{ids[bad].tolist()[:8]}; end it at a positive sigma (final='min') or check the model"
        )
    if not trajectory:
        return Result(final, nfe, **facts)
    scales = states.new_tensor([level.scale for level in levels])
    return Result(final, nfe, states * scales.reshape(-1, *[1] * (states.ndim - 2)), **facts)
