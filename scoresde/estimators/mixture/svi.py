"""Stochastic variational inference: variational Bayes by minibatches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.data.dataset import Rows
from scoresde.densities import GaussianMixture
from scoresde.errors import OptionError
from scoresde.estimators.base import OnIteration
from scoresde.estimators.mixture.method import Climb
from scoresde.estimators.mixture.statistics import gather
from scoresde.estimators.mixture.variational import Variational, is_number
from scoresde.kernels import Purpose, uniform

FIRST_KEY = 2**31  # of the noise keys under Purpose.FIT; a random start takes those from 0


def minibatches(rows: int, size: int, *, seed: int, epoch: int) -> Iterator[Tensor]:
    """All rows once, in disjoint random sets of at most `size`, whose sizes differ by one at most.

    Each is a tensor of sorted indices, told by (seed, epoch) alone.
    """
    one = torch.zeros(1, dtype=torch.int64)
    drawn = uniform(seed, Purpose.FIT, FIRST_KEY + epoch, one, (rows,))[0]
    order = drawn.argsort(stable=True)
    for part in order.tensor_split(math.ceil(rows / size)):
        yield part.sort().values


@dataclass(frozen=True, kw_only=True)
class StochasticVariational(Variational):
    r"""Natural-gradient steps on the ELBO from minibatches, for data too many for full passes.

    The natural parameters of q(pi, mu, Lambda) are those of the prior plus statistics s, so a step
    of rate rho is

        s <- (1 - rho) s + rho (N/B) s_minibatch(q),    rho_t = (t + delay)^-forgetting, t = 1, 2..

    An iteration is an epoch: the rows once, in random disjoint minibatches of at most `minibatch`
    rows (all of them where there are no more), then a pass that evaluates the ELBO of the
    posterior reached, with its best responsibilities. So the trace has no sampling noise of its
    own, though the path that it follows has and may fall; the climb ends when the ELBO has
    changed by at most `tolerance` over an epoch. Changes shrink with the rate, so a small one is
    weaker evidence of an optimum than in CAVI, and most climbs take all `max_iterations`.

    Rates of `forgetting` in (0.5, 1] sum to infinity while their squares do not (Robbins & Monro
    1951). The prior takes a pass of its own, for the data's mean and covariance.

    Hoffman, Blei, Wang & Paisley 2013, algorithm 1 and eq. 26. Raises as `Variational.prior`.
    """

    max_iterations: int = 50
    minibatch: int = 256
    delay: float = 1.0
    forgetting: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.minibatch
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise OptionError(
                f"minibatch of {type(self).__name__} is a whole number of rows >= 1, got "
                f"{size!r}; 256 is usual"
            )
        for name, least, most, way in (
            ("delay", 0.0, math.inf, "is a finite number of steps >= 0; 1 is usual"),
            (
                "forgetting",
                math.nextafter(0.5, 1.0),
                1.0,
                "lies in (0.5, 1]; 0.7 is usual",
            ),
        ):
            value = getattr(self, name)
            if not (is_number(value) and least <= value <= most and value < math.inf):
                raise OptionError(f"{name} of {type(self).__name__} {way}; got {value!r}")

    def rate(self, t: int) -> float:
        """rho_t of step t = 1, 2, ..."""
        return (t + self.delay) ** -self.forgetting

    def climb(
        self,
        x: Tensor | Rows,
        start: GaussianMixture,
        *,
        floor: float,
        seed: int = 0,
        on_iteration: OnIteration | None = None,
    ) -> Climb:
        prior = self.prior(x, start, floor=floor)
        held = self.started(x, start)
        posterior = prior.updated(held)
        trace: list[float] = []
        converged, t = False, 0
        while len(trace) < self.max_iterations and not converged:
            for index in minibatches(len(x), self.minibatch, seed=seed, epoch=len(trace)):
                t += 1
                rows = x[index.to(x.device) if isinstance(x, Tensor) else index]
                data = gather(rows, posterior.log_joint, start.structure, held.centres)
                rate = self.rate(t)
                held = held.scaled(1.0 - rate) + data.scaled(rate * len(x) / len(index))
                posterior = prior.updated(held)
            trace.append(posterior.collapsed_bound(prior, x) / len(x))
            if on_iteration is not None:
                on_iteration(len(trace), trace[-1])
            converged = len(trace) > 1 and abs(trace[-1] - trace[-2]) <= self.tolerance
        return Climb(
            mixture=posterior.mixture(floor=floor, event_shape=start.event_shape),
            trace=tuple(trace),
            iterations=len(trace),
            converged=converged,
            posterior=posterior.tensors(),
        )
