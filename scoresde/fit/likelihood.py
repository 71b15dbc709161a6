"""How likely data are under a fitted law, in the units of the data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.data import Rows, Scaling
from scoresde.densities import Density
from scoresde.errors import CapabilityError

EVALUATED = 10_000  # rows at most: a mean of so many is known to 1 % of a datum's own deviation
_BLOCK = 256


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """The mean log-likelihood of a datum in nats, with its standard error, over `rows` data.

    Where the model has no density at the data, the figures are None and `reason` tells why.
    """

    rows: int
    nats: float | None = None
    standard_error: float | None = None
    bits_per_dim: float | None = None
    reason: str = ""

    def told(self) -> str:
        """The figures in words."""
        if self.nats is None:
            return f"none: {self.reason}"
        error = "" if self.standard_error is None else f" +- {self.standard_error:.2g}"
        return f"{self.nats:.6g}{error} nats, {self.bits_per_dim:.4g} bits a dimension"


def likelihood(
    density: Density,
    x: Tensor | Rows,
    scaling: Scaling,
    *,
    device: torch.device | str = "cpu",
    partial: Callable[[Tensor], Tensor] | None = None,
) -> Likelihood:
    """log p of the first `EVALUATED` rows x (n, *event), which are given in model space.

    The density lies on `device`. The logarithm of the scaling's volume is subtracted, so the
    figure is that of the data as given; bits a dimension are -nats / (d log 2). `partial` tells
    log p of the observed entries of rows with NaN for the missing ones: then both volume and bits
    are those of the observed entries, and rows without any do not count.
    """
    values, entries = [], 0
    volumes = torch.from_numpy(scaling.log_volumes(tuple(density.event_shape)))
    whole = scaling.log_volume(tuple(density.event_shape))
    try:
        for begin in range(0, min(len(x), EVALUATED), _BLOCK):
            block = x[begin : min(begin + _BLOCK, EVALUATED)].to(device, torch.float64)
            seen = ~block.isnan().flatten(1)
            if partial is None or bool(seen.all()):
                values.append(density.log_prob(block) - whole)
                entries += seen.numel()
                continue
            some = seen.any(1)
            if not bool(some.any()):
                continue
            volume = seen[some].to(volumes.dtype) @ volumes.to(device)
            values.append(partial(block[some]) - volume)
            entries += int(seen.sum())
    except CapabilityError as error:
        return Likelihood(rows=min(len(x), EVALUATED), reason=str(error))
    values = torch.cat(values) if values else torch.zeros(0)
    rows = len(values)
    if rows == 0:
        return Likelihood(rows=0, reason="the split has no row with an entry")
    if not bool(torch.isfinite(values).all()):
        empty = not bool(torch.isnan(values).any() | (values == math.inf).any())
        reason = (
            "a row lies where the model has no mass"
            if empty
            else "the model has no density: its variance is 0 in some direction"
        )
        return Likelihood(rows=rows, reason=reason)
    mean = float(values.mean())
    return Likelihood(
        rows=rows,
        nats=mean,
        standard_error=float(values.std()) / math.sqrt(rows) if rows > 1 else None,
        bits_per_dim=-mean * (rows / entries) / math.log(2.0),
    )
