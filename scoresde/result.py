"""What a sampler hands back."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Result:
    """Samples and the facts about how they were made.

    x           (batch, *event), the final states
    nfe         (batch,) int64, model evaluations spent on each sample
    trajectory  (batch, points, *event) or None: the start and the state after every step
    chain       (batch, draws, *event) or None: the kept draws of a Langevin chain
    facts       per-sample numbers (batch,), by name: an acceptance rate, an error estimate
    """

    x: Tensor
    nfe: Tensor
    trajectory: Tensor | None = None
    chain: Tensor | None = None
    facts: dict[str, Tensor] = field(default_factory=dict)
