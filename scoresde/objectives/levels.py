"""What the objectives over noised states share: levels, noise, weights."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.kernels import Purpose
from scoresde.objectives.base import Draws, Objective
from scoresde.objectives.times import LogNormalTimes, Times
from scoresde.objectives.weighting import EDMWeighting, Weighting
from scoresde.processes import NoiseLevel
from scoresde.score import ScoreModel
from scoresde.score.parametrization import check_kind


@dataclass(frozen=True)
class States:
    """The noised states z = alpha x + sigma eps of a batch, and the weight of each.

    x, eps    (batch, *event)
    level     float64, of shape (batch, 1, ..., 1)
    weight    w(level) of |x0_hat - x|^2, of the same shape
    """

    x: Tensor
    eps: Tensor
    level: NoiseLevel
    weight: Tensor

    @property
    def near(self) -> NoiseLevel:
        """The level in the dtype of x."""
        return self.level.cast(self.x.dtype)

    @property
    def z(self) -> Tensor:
        near = self.near
        return near.alpha * self.x + near.sigma * self.eps


@dataclass(frozen=True, kw_only=True)
class LevelObjective(Objective):
    r"""E_t w(t) e(z_t),  z_t = alpha x + sigma eps, for an error e that a member gives.

    Averaged over the event's dimensions; summed over them where the weighting is in nats.
    `stratified` spreads the times of a batch evenly, u_i = (u + i/B) mod 1: every u_i is uniform,
    and the batch's mean varies less. (Kingma et al. 2021, appendix I.1.)
    """

    kind: str = "F"
    weighting: Weighting = field(default_factory=EDMWeighting)
    times: Times = field(default_factory=LogNormalTimes)
    stratified: bool = True

    def __post_init__(self) -> None:
        check_kind(self.kind)

    @property
    def judged(self) -> str:
        """The kind in which the error is taken: the network's own."""
        return self.kind

    def losses(self, model, process, x, draws) -> Tensor:
        draw = draws.stratified if self.stratified else draws.uniform
        u, ratio = self.times.tilted(draw(Purpose.TIME), draws.step)
        eps = draws.normal(Purpose.TRAIN, tuple(x.shape[1:])).to(x.dtype)
        t, density = self.times.draw(u, process)
        t = self.weighting.instant(t, process)
        level = process.level(t, torch.empty([1] * x.ndim, dtype=torch.float64))
        weight = self.weighting.weight(level, model.sigma_data)
        if self.weighting.over_time:
            weight = weight / density.reshape(weight.shape)
        if self.weighting.in_nats:
            weight = weight * x[0].numel()
        self._check_end(process)
        errors = self.errors(model, States(x, eps, level, weight), draws)
        losses = self.weighting.balanced(errors, level)
        self.times.told(u, losses.detach(), draws.step)
        return losses / ratio.to(losses.dtype)

    @abstractmethod
    def errors(self, model: ScoreModel, states: States, draws: Draws) -> Tensor:
        """The weighted error of every state, (batch,)."""

    def _check_end(self, process) -> None:
        """A weighting with mass at t = 1 has no finite loss in eps or score where alpha_1 = 0."""
        if not self.weighting.reaches_end or self.judged not in ("eps", "score"):
            return
        if process.at(1.0).alpha == 0.0:
            raise OptionError(
                f"{type(self.weighting).__name__} asks at t = 1, where {type(process).__name__} "
                f"has alpha = 0 and {self.judged} says nothing of x0, so the bound is infinite; "
                "train the kind v, F or x0 by denoising, or take a process that ends at alpha > 0"
            )
