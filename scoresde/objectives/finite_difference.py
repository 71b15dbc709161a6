"""Sliced score matching by finite differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.objectives.implicit import rowwise
from scoresde.objectives.sliced import ProjectedObjective


@dataclass(frozen=True, kw_only=True)
class FiniteDifference(ProjectedObjective):
    r"""E_t E_v w sigma^4/alpha^2 ((v . m)^2 + v . (s_+ - s_-)/h): sliced score matching.

    s_+- = s(z +- h v), m = (s_+ + s_-)/2, h = epsilon sigma: two predictions a direction and an
    ordinary backward pass, no derivative of a derivative. The bias is O(epsilon^2). Computed
    without autocast: the difference of two bfloat16 predictions is rounding. Both predictions
    share their dropout. (Pang, Xu, Li, Song, Ermon & Zhu 2020, Efficient learning of generative
    models via finite-difference score matching, times 2, at noised states.)
    """

    epsilon: float = 0.05

    differentiates: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.epsilon <= 1.0:
            raise OptionError(
                f"epsilon of the finite difference lies in (0, 1], got {self.epsilon}"
            )

    def value(self, eps_hat, states, draws) -> Tensor:
        z = states.z
        reach = self.epsilon * states.near.sigma
        total = torch.zeros_like(z.flatten(1)[:, 0])
        with torch.autocast(z.device.type, enabled=False):
            for v in self.directions(states, draws):
                devices = [z.device] if z.device.type == "cuda" else []
                with torch.random.fork_rng(devices):
                    ahead = eps_hat(z + reach * v)
                behind = eps_hat(z - reach * v)  # from the same state of torch's generator
                middle = 0.5 * rowwise(v, ahead + behind)
                total = total + middle.square() - rowwise(v, ahead - behind) / self.epsilon
        return total / self.projections
