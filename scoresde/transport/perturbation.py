r"""Forward paths of data: z_t = alpha_t (x + W(tau_t)), tau = sigma^2/alpha^2.

In y = z/alpha the forward process of every kind is a Brownian motion on the clock tau (VP, VE,
sub-VP, flow: y_t - y_s ~ N(0, tau_t - tau_s)), so that

    z_t | x ~ N(alpha_t x, sigma_t^2 I),  Cov(z_t, z_s | x) = (alpha_t/alpha_s) sigma_s^2 I, s < t.

The clock has no end; a Brownian bridge b folds it onto u = sigma^2/(alpha^2 + sigma^2) in [0, 1]:

    W(tau) = (1 + tau) b(u),  b(u) = B(u) - u B(1),  so  z_t/scale_t = cos(phi) x + b(u)/cos(phi)

with B the path of the sample's id: no grid and no batch changes it. Marginals are exact, and so
are covariances, unless two levels share one of the path's finest intervals (2^-20 of u). At alpha
= 0 the clock has run for ever, the state is independent of every earlier one, and it is drawn as
a sample's start is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scoresde.config import Config
from scoresde.data import Scaling
from scoresde.io.provenance import provenance
from scoresde.jobs import check_batch, dtype_named, to_numpy
from scoresde.kernels import Noise, Purpose, increment
from scoresde.kernels.noise import check_seed
from scoresde.processes import NoiseLevel, Process
from scoresde.transport.origin import DATA, UNSCALED, Origin


def paths(x: Tensor, levels: Sequence[NoiseLevel], ids: Tensor, seed: int) -> Tensor:
    """States z_t of data x (batch, *event) at every level, float64 (batch, levels, *event).

    Levels may come in any order; `ids` (batch,) int64 and the seed fix the path of every row.
    """
    x, shape = x.to(torch.float64), tuple(x.shape[1:])
    whole = increment(seed, ids, shape, 0.0, 1.0)
    states = []
    for level in levels:
        if level.alpha == 0.0:
            states.append(Noise(seed)(0, Purpose.START, ids, shape) * level.sigma)
            continue
        cosine, sine = level.alpha / level.scale, level.sigma / level.scale
        u = min(sine * sine, 1.0)
        bridge = increment(seed, ids, shape, 0.0, u) - u * whole
        states.append(level.alpha * x + bridge * (level.scale / cosine))
    return torch.stack(states, dim=1)


@dataclass(frozen=True, kw_only=True)
class Perturbation:
    """Data noised along a grid of levels, rising: a dump with a trajectory, its end as samples.

    Raises `OptionError` for a seed, batch or dtype out of range, `UsageError` for rows that the
    origin does not have.
    """

    origin: Origin
    process: Process
    process_table: dict
    grid: Config
    scaling: Scaling = UNSCALED
    description: str = ""
    seed: int = 0
    first_id: int | None = None
    n: int | None = None
    batch: int = 256
    dtype: str = "float32"

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_batch(self.batch)
        dtype_named(self.dtype)
        first_id, n = self.origin.chosen(self.first_id, self.n)
        object.__setattr__(self, "first_id", first_id)
        object.__setattr__(self, "n", n)
        self.levels  # noqa: B018  a grid that does not fit the process is refused at once

    @property
    def levels(self) -> tuple[NoiseLevel, ...]:
        """The grid's levels, noise rising."""
        return self.grid.build("grid").levels(self.process)[::-1]

    def rows(self, ids: Tensor) -> dict[str, np.ndarray]:
        x = self.scaling.apply(self.origin.read(ids).to(torch.float64))
        states = self.scaling.undo(paths(x, self.levels, ids, self.seed)).to(
            dtype_named(self.dtype)
        )
        return to_numpy(
            {"samples": states[:, -1], "nfe": torch.zeros_like(ids), "trajectory": states}
        )

    def layout(self) -> dict:
        return {
            "rows": self.n,
            "first_id": self.first_id,
            "event_shape": self.origin.event_shape,
            "dtype": self.dtype,
            "trajectory": len(self.levels),
        }

    def attributes(self) -> dict:
        levels = [{"t": le.t, "alpha": le.alpha, "sigma": le.sigma} for le in self.levels]
        identity = {
            "process": self.process_table,
            "grid": self.grid.resolved()["grid"],
            "seed": self.seed,
            "batch": self.batch,
            "stochastic": True,
            "space": DATA,
            "start": f"forward from {self.origin.start}, seed {self.seed}",
            "origin": self.origin.identity,
            "levels": levels,
            "scaling": self.scaling.to_dict(),
        }
        described = {"description": self.description}
        return {"identity": identity, "provenance": {**described, **provenance()}}
