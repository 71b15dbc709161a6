"""Mixtures of any densities."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scoresde.densities.base import Density, as_float64
from scoresde.densities.parts import checked_parts, part_seed
from scoresde.errors import OptionError
from scoresde.kernels import Purpose, uniform


class MixtureOf(Density):
    r"""p(x) = sum_k w_k p_k(x) of parts on events of one shape.

    Noise acts on each part alone: q(z) = sum_k w_k q_k(z), so with r_k(z) = w_k q_k(z) / q(z)
    score(z) = sum_k r_k score_k(z), E[x0|z] = sum_k r_k E_k[x0|z], E[eps|z] likewise. Weights are
    normalised; without them they are equal; a part of weight zero is never asked. A sample picks
    its part by the uniform number of its id and is drawn under the part's seed
    (`parts.part_seed`).
    """

    def __init__(self, *, parts: tuple[Density, ...], weights=None):
        self.parts = checked_parts(parts, "mixture")
        shapes = {tuple(part.event_shape) for part in self.parts}
        if len(shapes) > 1:
            raise OptionError(
                f"the parts of a mixture share one event shape, got {sorted(shapes)}; give them "
                "event_shape"
            )
        self.event_shape = shapes.pop()
        k = len(self.parts)
        weights = as_float64("weights", [1.0] * k if weights is None else weights, 1)
        if len(weights) != k or not bool((weights >= 0).all()) or float(weights.sum()) <= 0:
            raise OptionError(f"weights are {k} numbers >= 0 with a positive sum")
        self._given = weights
        self.weights = weights / weights.sum()
        heavy = zip(self.parts, self.weights.tolist(), strict=True)
        self.degenerate = any(part.degenerate for part, weight in heavy if weight > 0.0)
        self._shares = self.weights.tolist()

    def arguments(self) -> dict:
        return {"parts": self.parts, "weights": self._given}

    def log_joint(self, x: Tensor, alpha=1.0, sigma=0.0) -> Tensor:
        """log w_k + log q_k(z), float64 (batch, K); -inf where the weight is zero."""
        return self._log_joint(*self._flat(x, alpha, sigma))

    def _log_joint(self, x: Tensor, alpha, sigma) -> Tensor:
        impossible = x.new_full((len(x),), -math.inf)
        columns = [
            part._log_prob(x, alpha, sigma) + math.log(w) if w else impossible
            for part, w in zip(self.parts, self._shares, strict=True)
        ]
        return torch.stack(columns, dim=-1)

    def _averages(self, x: Tensor, alpha, sigma, of_part) -> list[Tensor]:
        """sum_k r_k t for every tensor t (batch, d) that `of_part` gives of part k."""
        shares = self._log_joint(x, alpha, sigma).softmax(-1)[..., None].unbind(1)
        sums = []
        for part, r, w in zip(self.parts, shares, self._shares, strict=True):
            if w:
                terms = [r * t for t in of_part(part)]
                sums = [a + b for a, b in zip(sums, terms, strict=True)] if sums else terms
        return sums

    def _log_prob(self, x: Tensor, alpha, sigma) -> Tensor:
        return self._log_joint(x, alpha, sigma).logsumexp(-1)

    def _score(self, x: Tensor, alpha, sigma) -> Tensor:
        return self._averages(x, alpha, sigma, lambda p: [p._score(x, alpha, sigma)])[0]

    def _posterior(self, x: Tensor, alpha, sigma) -> tuple[Tensor, Tensor]:
        x0, eps = self._averages(x, alpha, sigma, lambda p: p._posterior(x, alpha, sigma))
        return x0, eps

    def _sample(self, ids: Tensor, seed: int) -> Tensor:
        u = uniform(seed, Purpose.DATA, 1, ids, (1,))[:, 0]
        steps = self.weights.cumsum(0).to(ids.device)
        chosen = torch.searchsorted(steps, u * steps[-1])
        out = torch.empty(len(ids), self.dim, dtype=torch.float64, device=ids.device)
        for k, part in enumerate(self.parts):
            mine = chosen == k
            if bool(mine.any()):
                out[mine] = part._sample(ids[mine], part_seed(seed, k)).reshape(-1, self.dim)
        return out
