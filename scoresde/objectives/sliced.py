"""Sliced score matching: the divergence along random directions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.kernels import Purpose
from scoresde.objectives.base import Draws
from scoresde.objectives.implicit import Field, SteinObjective, asked, rowwise, slope
from scoresde.objectives.levels import States

PROJECTIONS = ("rademacher", "gaussian")


@dataclass(frozen=True, kw_only=True)
class ProjectedObjective(SteinObjective):
    """An implicit objective along `projections` random directions v of unit covariance."""

    projections: int = 1
    projection: str = "rademacher"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.projections, bool) or self.projections < 1:
            raise OptionError(f"projections is a whole number >= 1, got {self.projections}")
        if self.projection not in PROJECTIONS:
            raise OptionError(unknown("law of projections", self.projection, list(PROJECTIONS)))

    def directions(self, states: States, draws: Draws) -> Tensor:
        """v, (projections, batch, *event)."""
        shape = (self.projections, *states.x.shape[1:])
        if self.projection == "gaussian":
            v = draws.normal(Purpose.PROJECTION, shape)
        else:
            v = torch.where(draws.uniform(Purpose.PROJECTION, shape) < 0.5, -1.0, 1.0)
        return v.to(states.x.dtype).transpose(0, 1)


@dataclass(frozen=True, kw_only=True)
class Sliced(ProjectedObjective):
    r"""E_t E_v w sigma^4/alpha^2 ((v . s)^2 + 2 v . grad s v): sliced score matching.

    A backward pass a direction before the one of training. (Song, Garg, Shi & Ermon 2019, Sliced
    score matching, section 3, times 2, at noised states.)
    """

    def value(self, eps_hat, states, draws) -> Tensor:
        square, bend = _along(self, eps_hat, states, draws)[1:]
        return square - 2.0 * states.near.sigma.reshape(-1) * bend


@dataclass(frozen=True, kw_only=True)
class SlicedVR(ProjectedObjective):
    r"""E_t E_v w sigma^4/alpha^2 (|s|^2 + 2 v . grad s v): sliced score matching, less variance.

    As `sliced`, with E_v (v . s)^2 in closed form. (Song, Garg, Shi & Ermon 2019, Sliced score
    matching, section 3, times 2, at noised states.)
    """

    def value(self, eps_hat, states, draws) -> Tensor:
        out, _, bend = _along(self, eps_hat, states, draws)
        return rowwise(out, out) - 2.0 * states.near.sigma.reshape(-1) * bend


def _along(
    objective: ProjectedObjective, eps_hat: Field, states: States, draws: Draws
) -> tuple[Tensor, Tensor, Tensor]:
    """(eps_hat, mean of (v . eps_hat)^2, mean of v . grad eps_hat v) over the directions."""
    z, out = asked(eps_hat, states)
    squares, bends = [], []
    for v in objective.directions(states, draws):
        along = rowwise(v, out)
        squares.append(along.square())
        bends.append(rowwise(v, slope(along.sum(), z)))
    return out, torch.stack(squares).mean(0), torch.stack(bends).mean(0)
