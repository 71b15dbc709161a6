"""Denoising score matching over a fixed list of noise levels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.kernels import Purpose
from scoresde.objectives.base import Objective
from scoresde.objectives.denoising import weighted_errors
from scoresde.objectives.weighting import SimpleWeighting
from scoresde.processes import Process
from scoresde.score.parametrization import check_kind


@dataclass(frozen=True, kw_only=True)
class NCSN(Objective):
    r"""1/L sum_i sigma_i^2 E|s(x + sigma_i eps, sigma_i) + eps/sigma_i|^2, sigma_i geometric.

    i is drawn uniformly from the L = `levels` ratios sigma_min (sigma_max/sigma_min)^(i/(L-1)).
    (Song & Ermon 2019, Generative modeling by estimating gradients of the data distribution, eq.
    5-6, times 2.) Under a process with alpha < 1 sigma_i stands for sigma/alpha, the level of
    equal SNR: the weight sigma_i^2 is one on eps under any. Ends that are not given are the
    process's own. Averaged over the event's dimensions.
    Raises `OptionError` for a ratio outside the process's range.
    """

    kind: str = "eps"
    sigma_min: float | None = None
    sigma_max: float | None = None
    levels: int = 50
    stratified: bool = True

    def __post_init__(self) -> None:
        check_kind(self.kind)
        if isinstance(self.levels, bool) or not 2 <= self.levels <= 100_000:
            raise OptionError(f"levels of NCSN lie in 2..100000, got {self.levels}")
        ends = (self.sigma_min, self.sigma_max)
        for name, end in zip(("sigma_min", "sigma_max"), ends, strict=True):
            if end is not None and not 0.0 < end < math.inf:
                raise OptionError(f"{name} of NCSN is positive and finite, got {end}")
        if None not in ends and not self.sigma_min < self.sigma_max:
            raise OptionError(f"sigma_min < sigma_max for NCSN, got {ends[0]} and {ends[1]}")

    def losses(self, model, process, x, draws) -> Tensor:
        u = (draws.stratified if self.stratified else draws.uniform)(Purpose.TIME)
        eps = draws.normal(Purpose.TRAIN, tuple(x.shape[1:])).to(x.dtype)
        low, high = self.ends(process)
        i = (u * self.levels).floor()
        log_ratio = math.log(low) + math.log(high / low) * i / (self.levels - 1)
        t = process.time(-2.0 * log_ratio).clamp(process.t_min, 1.0)
        level = process.level(t, torch.empty([1] * x.ndim, dtype=torch.float64))
        weight = SimpleWeighting().weight(level, model.sigma_data)
        return weighted_errors(model, self.kind, x, eps, level, weight)

    def ends(self, process: Process) -> tuple[float, float]:
        """The smallest and the largest sigma/alpha under a process."""
        least, most = process.at(process.t_min).noise_ratio, process.at(1.0).noise_ratio
        low = least if self.sigma_min is None else self.sigma_min
        high = most if self.sigma_max is None else self.sigma_max
        if not least * (1.0 - 1e-9) <= low < high <= most * (1.0 + 1e-9) or high == math.inf:
            raise OptionError(
                f"NCSN's ratios sigma/alpha from {low:.4g} to {high:.4g} do not lie in the range "
                f"of {type(process).__name__}, {least:.4g} to {most:.4g}, or are infinite; set "
                "sigma_min and sigma_max inside it"
            )
        return low, high
