r"""A Brownian path for each row that forgets nothing when a step is rejected.

A rejected step has looked at the path. To draw its noise anew, or to scale the same normal to the
shorter step, makes large increments rarer than they are, and the law wrong. Here a shorter step
takes its increment from the bridge between what is known,

    B(c) | B(a), B(b) ~ N(B(a) + (c - a)/(b - a) (B(b) - B(a)), (c - a)(b - c)/(b - a)),

and what a rejected step has seen stays ahead of the row until it is passed. (Gaines & Lyons 1997;
Rackauckas & Nie 2017, Adaptive methods for stochastic differential equations via natural
embeddings and rejection sampling with memory.)
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoresde.errors import DataError
from scoresde.kernels import Purpose


class RememberedPath:
    """B of every row on the clock of the SNR, from normals keyed by the row's own attempts.

    `ahead` (slots, rows) are the clock's values at which B is known to be `values` (slots, rows,
    *event); a slot that its row has passed is free.
    """

    def __init__(self, noise, ids: Tensor, shape: tuple[int, ...]):
        self.noise, self.ids, self.shape = noise, ids, shape
        self.attempts = 0
        self.ahead = torch.zeros(0, len(ids), dtype=torch.float64, device=ids.device)
        self.values = self.ahead.new_zeros(0, len(ids), *shape)

    def at(self, clock: Tensor, here: Tensor, value: Tensor) -> Tensor:
        """B(clock), for clock > here (rows,) and B(here) = value (rows, *event)."""
        z = self.noise(self.attempts, Purpose.STEP, self.ids, self.shape)
        if z.shape != value.shape:
            raise DataError(
                f"the noise source gives {tuple(z.shape)} for states {tuple(value.shape)}"
            )
        self.attempts += 1
        inside = (self.ahead > here) & (self.ahead <= clock)
        beyond = self.ahead > clock
        a, b_a = self._chosen(self.ahead.where(inside, -torch.inf), here, value)
        b, b_b = self._chosen(-self.ahead.where(beyond, torch.inf), None, value)
        b = -b
        open_ended = torch.isinf(b)
        share = torch.where(open_ended, 0.0, (clock - a) / (b - a))
        variance = torch.where(open_ended, clock - a, (clock - a) * (1.0 - share))
        found = b_a + self._column(share) * (b_b - b_a)
        found = found + self._column(variance.clamp(min=0.0).sqrt()) * z
        self._note(clock, found, self.ahead <= here)
        return found

    def keep(self, index: Tensor) -> None:
        self.ids = self.ids[index]
        self.ahead, self.values = self.ahead[:, index], self.values[:, index]

    def _chosen(self, key: Tensor, here: Tensor | None, value: Tensor) -> tuple[Tensor, Tensor]:
        """The slot of the largest key of each row, or (here, value) where all are -inf."""
        default = torch.full(self.ids.shape, -torch.inf, dtype=torch.float64, device=key.device)
        if len(key) == 0:
            return (default if here is None else here), value
        largest, slot = key.max(dim=0)
        chosen = self.values[slot, torch.arange(len(slot), device=key.device)]
        none = torch.isinf(largest)
        return (
            largest if here is None else torch.where(none, here, largest),
            torch.where(self._column(none), value, chosen),
        )

    def _note(self, clock: Tensor, value: Tensor, free: Tensor) -> None:
        if len(free) == 0 or not bool(free.any(dim=0).all()):
            self.ahead = torch.cat([self.ahead, torch.full_like(clock, -torch.inf)[None]])
            self.values = torch.cat([self.values, torch.zeros_like(value)[None]])
            free = torch.cat([free, torch.ones_like(clock, dtype=torch.bool)[None]])
        slot = free.to(torch.int8).argmax(dim=0)
        rows = torch.arange(len(slot), device=clock.device)
        self.ahead[slot, rows] = clock
        self.values[slot, rows] = value

    def _column(self, values: Tensor) -> Tensor:
        return values.reshape(-1, *[1] * len(self.shape))
