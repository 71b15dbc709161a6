"""Weights that a network learns beside the score."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from scoresde.errors import OptionError
from scoresde.objectives.weighting import EDMWeighting, Weighting
from scoresde.processes import NoiseLevel, Process

_NOISE_BOUND = 3.0  # of -log SNR/8, as for the networks


class UncertaintyWeighting(nn.Module, Weighting):
    r"""E[e / exp(u) + u], e the error weighted by `base`, u(log SNR) learned with the network.

    At its best u = log E[e | level], so every level contributes the same gradient whatever the
    base weight is. u = w . [cos(f_k c), sin(f_k c)] + b with c = -log SNR/8 and f_k geometric from
    1/4 to 16: one linear layer over Fourier features, zero at first. (Karras et al. 2024,
    Analyzing and improving the training dynamics of diffusion models, eq. 21; Kendall et al.
    2018.) The loss may be negative.
    Raises `OptionError` for fewer than one frequency, and for a base that itself learns.
    """

    def __init__(self, *, base: Weighting = EDMWeighting(), frequencies: int = 16):  # noqa: B008
        super().__init__()
        if isinstance(base, nn.Module):
            raise OptionError(
                f"the base of the uncertainty weighting is {type(base).__name__}, which learns "
                "itself; take a fixed weighting"
            )
        if isinstance(frequencies, bool) or not 1 <= frequencies <= 4096:
            raise OptionError(f"frequencies of the weighting lie in 1..4096, got {frequencies}")
        self.base, self.frequencies = base, frequencies
        self.over_time, self.in_nats = base.over_time, base.in_nats
        self.reaches_end = base.reaches_end
        ladder = torch.linspace(math.log(0.25), math.log(16.0), frequencies, dtype=torch.float64)
        self.register_buffer("ladder", ladder.exp(), persistent=False)
        self.slopes = nn.Parameter(torch.zeros(2 * frequencies))
        self.offset = nn.Parameter(torch.zeros(()))

    def weight(self, level: NoiseLevel, sigma_data: float) -> Tensor:
        return self.base.weight(level, sigma_data)

    def instant(self, t: Tensor, process: Process) -> Tensor:
        return self.base.instant(t, process)

    def uncertainty(self, log_snr: Tensor) -> Tensor:
        """u at levels (batch,), in the parameters' dtype."""
        c = (log_snr.reshape(-1, 1) * -0.125).clamp(-_NOISE_BOUND, _NOISE_BOUND)
        angle = c * self.ladder
        features = torch.cat([angle.cos(), angle.sin()], dim=1).to(self.slopes.dtype)
        return (features * self.slopes).sum(1) + self.offset  # no autocast: not a matmul

    def balanced(self, errors: Tensor, level: NoiseLevel) -> Tensor:
        u = self.uncertainty(level.log_snr).to(errors.dtype)
        return errors * torch.exp(-u) + u
