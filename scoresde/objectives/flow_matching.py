"""Flow matching."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from scoresde.objectives.base import Objective
from scoresde.objectives.denoising import Denoising
from scoresde.objectives.times import Times, UniformTimes
from scoresde.objectives.weighting import VelocityWeighting
from scoresde.score.parametrization import check_kind


@dataclass(frozen=True, kw_only=True)
class FlowMatching(Objective):
    r"""E_t |u(z_t) - (alpha' x + sigma' eps)|^2,  z_t = alpha x + sigma eps, averaged.

    The target's conditional mean given z_t is the velocity of the probability flow. It is
    denoising score matching with weight one on the velocity, so it is built from that, and a
    network of any kind may be trained by it. Straight paths are the process `rectified-flow`.
    (Lipman et al. 2023, Flow matching for generative modeling, eq. 14; Albergo et al. 2023; Liu et
    al. 2023.)
    """

    kind: str = "velocity"
    times: Times = field(default_factory=UniformTimes)
    stratified: bool = True

    def __post_init__(self) -> None:
        check_kind(self.kind)

    def losses(self, model, process, x, draws) -> Tensor:
        matching = Denoising(
            kind=self.kind,
            weighting=VelocityWeighting(),
            times=self.times,
            stratified=self.stratified,
        )
        return matching.losses(model, process, x, draws)
