"""Grids on the instants of a discrete chain."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.processes import Process
from scoresde.samplers.grids.base import Grid, distinct, instants_of, spaced

SPACINGS = ("leading", "linspace", "trailing", "simple", "quad")


@dataclass(frozen=True, kw_only=True)
class Discrete(Grid):
    r"""A subset of a discrete chain's instants i = 1..T, at t = i/T; k = 0..n - 1.

    leading   i = 1 + offset + k (T // n)
    linspace  i = 1 + round(k (T - 1)/(n - 1))
    trailing  i = round(T - k T/n)
    simple    i = T - floor(k T/n)
    quad      i = 1 + floor(0.8 T (k/(n - 1))^2)

    Rounding is half to even. The instant i here is timestep i - 1 elsewhere, and `offset` the
    `steps_offset` of diffusers. `leading` starts below the noisiest instant for n < T, `quad`
    always, at 0.8 T. With an offset, final = "min" goes on from the n instants to instant 1.
    (Lin et al. 2024, Common diffusion noise schedules, table 2, for the first three; ComfyUI's
    `simple`; the `quad` of Song, Meng & Ermon 2021, DDIM, and its code.)
    """

    spacing: str = "leading"
    offset: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spacing not in SPACINGS:
            raise OptionError(unknown("spacing", self.spacing, list(SPACINGS)))
        if self.log_snr_min is not None or self.log_snr_max is not None:
            raise OptionError("the discrete grid takes its ends from its chain, not from log_snr")
        whole = isinstance(self.offset, Integral) and not isinstance(self.offset, bool)
        if not whole or self.offset < 0:
            raise OptionError(
                f"offset of the discrete grid is a whole number from 0, got {self.offset}"
            )
        if self.offset and self.spacing != "leading":
            raise OptionError(f"offset belongs to the spacing 'leading', not {self.spacing!r}")

    @property
    def before_data(self) -> bool:
        return self.spacing in ("trailing", "simple")

    @property
    def reaches_last(self) -> bool:
        return not (self.before_data or self.offset)

    def times(self, process: Process, points: int) -> Tensor:
        total = instants_of(process, "the discrete grid")
        if points > total:
            raise OptionError(f"a chain of {total} instants has no grid of {points} levels")
        i = self._instants(total, points)
        if float(i[0]) > total:
            raise OptionError(
                f"offset = {self.offset} takes the first of {points} levels to instant "
                f"{int(i[0])} of a chain of {total}; take a smaller offset or fewer steps"
            )
        name = f"the spacing {self.spacing!r}"
        return distinct(i, name, "take fewer steps, or a grid that does not round") / total

    def _instants(self, total: int, points: int) -> Tensor:
        k = torch.arange(points, dtype=torch.float64)
        if self.spacing == "leading":
            return 1 + self.offset + k.flip(0) * (total // points)
        if self.spacing == "linspace":
            return 1 + spaced(0, total - 1, points).round().flip(0)
        if self.spacing == "trailing":
            return (total - k * (total / points)).round()
        if self.spacing == "simple":
            return total - (k * (total / points)).floor()
        widest = max(points - 1, 1) ** 2  # whole numbers: floor(32 in floats) is 31 at n = 16
        whole = [8 * total * j * j // (10 * widest) for j in range(points)]
        return 1 + torch.tensor(whole, dtype=torch.float64).flip(0)
