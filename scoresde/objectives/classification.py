"""Cross-entropy of a noise-aware classifier."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scoresde.errors import CapabilityError
from scoresde.kernels import Purpose
from scoresde.objectives.base import Objective
from scoresde.objectives.times import Times, UniformTimes


@dataclass(frozen=True, kw_only=True)
class Classification(Objective):
    r"""-E_t log p(c | z_t, t) in nats,  z_t = alpha x + sigma eps: what classifier guidance needs.

    The model is a classifier of noisy states given the labels of its rows
    (`scoresde.score.NetworkClassifier`); its minimum over all classifiers is the posterior of the
    class, and the loss there the conditional entropy H(c | z_t). A row whose label is -1 adds 0.
    Times are uniform by default, so that every level of a sampling grid is met. (Dhariwal &
    Nichol 2021, Diffusion models beat GANs on image synthesis, section 4.)
    Raises `CapabilityError` for a model that was given no labels.
    """

    times: Times = field(default_factory=UniformTimes)
    stratified: bool = True

    kind = "class"

    def losses(self, model, process, x, draws) -> Tensor:
        labels = getattr(model, "condition", None)
        if labels is None or not hasattr(model, "log_prob"):
            raise CapabilityError(
                f"classification trains a classifier on labels; {type(model).__name__} "
                + ("was given none: take data with labels" if labels is None else "is none")
            )
        draw = draws.stratified if self.stratified else draws.uniform
        u, ratio = self.times.tilted(draw(Purpose.TIME), draws.step)
        eps = draws.normal(Purpose.TRAIN, tuple(x.shape[1:])).to(x.dtype)
        t, _ = self.times.draw(u, process)
        level = process.level(t, torch.empty([1] * x.ndim, dtype=torch.float64)).cast(x.dtype)
        log_prob = model.log_prob(level.alpha * x + level.sigma * eps, level)
        own = log_prob.gather(1, labels.clamp(min=0)[:, None])[:, 0]
        losses = torch.where(labels >= 0, -own, torch.zeros_like(own))
        self.times.told(u, losses.detach(), draws.step)
        return losses / ratio.to(losses.dtype)
