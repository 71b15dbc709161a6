"""Times drawn more often where the loss is large."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from scoresde.errors import OptionError
from scoresde.objectives.times import Times, UniformTimes
from scoresde.processes import Process


class LossAwareTimes(nn.Module, Times):
    r"""Importance sampling of a base law: h(u) ~ sqrt(E[L^2 | u]), the loss divided by h.

    E_u[L] = E_{u ~ h}[L/h], whatever h is; the h of least variance is proportional to the root
    mean square of the loss. (Nichol & Dhariwal 2021, Improved DDPM, eq. 18, there over a discrete
    t.) h is constant in each of `bins` equal parts of the base law's uniform number u, its mass
    (1 - floor) rms_b/sum rms + floor/bins, so L/h <= L/floor; it is 1 until every part has seen
    `warm_up` terms. rms_b^2 is a moving average of L^2 with `decay` a term.

    The memory lies in buffers, is summed over the parts of a step and enters with the next one:
    the numbers depend on the seed alone, not on how a batch was split, up to rounding. In `eval`
    mode h is 1 and nothing is learned, so held-out losses stay comparable.
    Raises `OptionError` for an option out of range, and for a base that itself learns.
    """

    def __init__(
        self,
        *,
        base: Times = UniformTimes(),  # noqa: B008 - immutable
        bins: int = 32,
        floor: float = 0.1,
        warm_up: int = 10,
        decay: float = 0.99,
    ):
        super().__init__()
        for name, value in (("bins", bins), ("warm_up", warm_up)):
            if isinstance(value, bool) or not 1 <= value <= 100_000:
                raise OptionError(f"{name} of the loss-aware times lie in 1..100000, got {value}")
        if not 0.0 < floor <= 1.0:
            raise OptionError(f"floor of the loss-aware times lies in (0, 1], got {floor}")
        if not 0.0 <= decay < 1.0:
            raise OptionError(f"decay of the loss-aware times lies in [0, 1), got {decay}")
        if isinstance(base, nn.Module):
            raise OptionError(
                f"the base of the loss-aware times is {type(base).__name__}, which learns itself; "
                "take a fixed law"
            )
        self.base, self.bins, self.floor = base, bins, floor
        self.warm_up, self.decay = warm_up, decay
        self.register_buffer("squares", torch.zeros(bins, dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(bins, dtype=torch.float64))
        self.register_buffer("pending_squares", torch.zeros(bins, dtype=torch.float64))
        self.register_buffer("pending_counts", torch.zeros(bins, dtype=torch.float64))
        self.register_buffer("pending_step", torch.tensor(-1, dtype=torch.int64))

    def draw(self, u: Tensor, process: Process) -> tuple[Tensor, Tensor]:
        return self.base.draw(u, process)

    @torch.no_grad()
    def tilted(self, u: Tensor, step: int) -> tuple[Tensor, Tensor]:
        if not self.training:
            return u, torch.ones_like(u)
        self._enter(step)
        mass = self.masses()
        edge = mass.cumsum(0)
        b = torch.searchsorted(edge, u, right=True).clamp(max=self.bins - 1)
        place = ((u - (edge[b] - mass[b])) / mass[b]).clamp(0.0, math.nextafter(1.0, 0.0))
        inside = ((b + place) / self.bins).clamp(2.0**-54, math.nextafter(1.0, 0.0))
        return inside, mass[b] * self.bins

    @torch.no_grad()
    def told(self, u: Tensor, losses: Tensor, step: int) -> None:
        if not self.training:
            return
        self._enter(step)
        square = losses.to(torch.float64).square()
        known = torch.isfinite(square)
        b = (u * self.bins).to(torch.int64).clamp(0, self.bins - 1)
        self.pending_squares.index_add_(0, b, torch.where(known, square, 0.0))
        self.pending_counts.index_add_(0, b, known.to(torch.float64))

    def masses(self) -> Tensor:
        """The mass of every part, (bins,), summing to one."""
        unbiased = self.squares / (1.0 - self.decay**self.counts).clamp(min=1e-300)
        rms = unbiased.sqrt()
        share = rms / rms.sum().clamp(min=1e-300)
        tilted = (1.0 - self.floor) * share + self.floor / self.bins
        ready = (self.counts >= self.warm_up).all() & (rms.sum() > 0.0)
        even = torch.full_like(share, 1.0 / self.bins)
        return torch.where(ready, tilted, even)

    def _enter(self, step: int) -> None:
        """Take in what earlier steps told, once a new step begins."""
        fresh = self.pending_step != step  # tensors throughout: the host need not wait
        kept = torch.where(fresh, self.decay**self.pending_counts, 1.0)
        mean = self.pending_squares / self.pending_counts.clamp(min=1.0)
        self.squares.copy_(kept * self.squares + (1.0 - kept) * mean)
        self.counts.add_(torch.where(fresh, self.pending_counts, 0.0))
        for pending in (self.pending_squares, self.pending_counts):
            pending.copy_(torch.where(fresh, 0.0, pending))
        self.pending_step.fill_(step)
