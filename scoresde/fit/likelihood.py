"""How likely data are under a fitted law, in the units of the data."""

from __future__ import annotations

import math
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
    density: Density, x: Tensor | Rows, scaling: Scaling, *, device: str = "cpu"
) -> Likelihood:
    """log p of the first `EVALUATED` rows x (n, *event), which are given in model space.

    The density lies on `device`. The logarithm of the scaling's volume is subtracted, so the
    figure is that of the data as given; bits a dimension are -nats / (d log 2).
    """
    rows = min(len(x), EVALUATED)
    if rows == 0:
        return Likelihood(rows=0, reason="the split has no rows")
    try:
        parts = [
            density.log_prob(x[begin : min(begin + _BLOCK, rows)].to(device, torch.float64))
            for begin in range(0, rows, _BLOCK)
        ]
    except CapabilityError as error:
        return Likelihood(rows=rows, reason=str(error))
    values = torch.cat(parts) - scaling.log_volume(tuple(density.event_shape))
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
        bits_per_dim=-mean / (density.dim * math.log(2.0)),
    )
