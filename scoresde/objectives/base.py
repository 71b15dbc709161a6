"""The one interface of a training objective, and where its randomness comes from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scoresde.kernels import Noise, Purpose
from scoresde.processes import Process
from scoresde.score import ScoreModel


@dataclass(frozen=True)
class Draws:
    """The random numbers of a batch, or of a part of one: a function of (seed, step, place).

    ids     (part,) int64, places in the whole batch
    count   rows of the whole batch; parts that make it up draw what the whole would
    """

    noise: Noise
    step: int
    ids: Tensor
    count: int

    @classmethod
    def whole(cls, noise: Noise, step: int, count: int, device="cpu") -> Draws:
        """The draws of a batch that is not split."""
        return cls(noise, step, torch.arange(count, device=device), count)

    def normal(self, purpose: Purpose, shape: tuple[int, ...]) -> Tensor:
        """Standard normals (part, *shape), float64."""
        return self.noise(self.step, purpose, self.ids, shape)

    def uniform(self, purpose: Purpose, shape: tuple[int, ...] = ()) -> Tensor:
        """Uniform numbers in (0, 1), (part, *shape), float64."""
        return self.noise.uniform(self.step, purpose, self.ids, (*shape, 1))[..., 0]

    def stratified(self, purpose: Purpose) -> Tensor:
        """u_i = (u + i/count) mod 1, (part,): each uniform on (0, 1), evenly spread together.

        (Kingma et al. 2021, Variational diffusion models, appendix I.1.)
        """
        first = torch.zeros_like(self.ids[:1])
        shared = self.noise.uniform(self.step, purpose, first, (1,))[0, 0]
        return (shared + self.ids.to(torch.float64) / self.count) % 1.0


class Objective(ABC):
    """A loss per datum, whose mean a training step lowers."""

    kind: str  # the kind of prediction that a network trained by it gives

    @abstractmethod
    def losses(self, model: ScoreModel, process: Process, x: Tensor, draws: Draws) -> Tensor:
        """The loss of every datum of x (part, *event), shape (part,).

        Times and noise come from `draws` alone.
        """

    def modules(self) -> dict[str, nn.Module]:
        """The parts that learn beside the network, by name: a weighting, a law of times."""
        fields = vars(self).items()
        return {name: value for name, value in fields if isinstance(value, nn.Module)}
