"""Independent blocks side by side."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scoresde.densities.base import Density
from scoresde.densities.parts import checked_parts, part_seed
from scoresde.errors import OptionError


class Product(Density):
    r"""p(x) = prod_i p_i(x_i), x the flattened events of the parts one after another.

    Diffused it is the product of the diffused parts, since equal noise on x is independent of
    block to block: log-densities add, scores and posterior means stand side by side. Part i of a
    sample is drawn under a seed of its own (`parts.part_seed`), so that parts are independent.
    The event is a vector unless `event_shape` says otherwise.
    """

    def __init__(self, *, parts: tuple[Density, ...], event_shape: tuple[int, ...] | None = None):
        self.parts = checked_parts(parts, "product")
        total = sum(part.dim for part in self.parts)
        self.event_shape = (total,) if event_shape is None else tuple(event_shape)
        if math.prod(self.event_shape) != total:
            raise OptionError(
                f"the parts of the product have {total} numbers together, event_shape "
                f"{self.event_shape} has {math.prod(self.event_shape)}"
            )
        self.degenerate = any(part.degenerate for part in self.parts)

    def arguments(self) -> dict:
        return {"parts": self.parts, "event_shape": self.event_shape}

    def _blocks(self, x: Tensor) -> list[tuple[Density, Tensor]]:
        widths = [part.dim for part in self.parts]
        return list(zip(self.parts, x.split(widths, dim=-1), strict=True))

    def _log_prob(self, x: Tensor, alpha, sigma) -> Tensor:
        return sum(part._log_prob(block, alpha, sigma) for part, block in self._blocks(x))

    def _score(self, x: Tensor, alpha, sigma) -> Tensor:
        return torch.cat([p._score(block, alpha, sigma) for p, block in self._blocks(x)], dim=-1)

    def _posterior(self, x: Tensor, alpha, sigma) -> tuple[Tensor, Tensor]:
        each = [part._posterior(block, alpha, sigma) for part, block in self._blocks(x)]
        x0, eps = zip(*each, strict=True)
        return torch.cat(x0, dim=-1), torch.cat(eps, dim=-1)

    def _sample(self, ids: Tensor, seed: int) -> Tensor:
        return torch.cat(
            [
                part._sample(ids, part_seed(seed, i)).reshape(len(ids), -1)
                for i, part in enumerate(self.parts)
            ],
            dim=-1,
        )
