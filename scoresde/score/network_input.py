"""What a network sees of a state and its level, whatever the process."""

from __future__ import annotations

import torch
from torch import Tensor

from scoresde.processes import NoiseLevel

_BOUND = 3.0  # |log_snr| <= 24: beyond it alpha or sigma is 1 to float32's rounding


def network_input(x: Tensor, level: NoiseLevel, sigma_data: float) -> tuple[Tensor, Tensor]:
    r"""(x/s, noise): s = sqrt(alpha^2 sigma_data^2 + sigma^2), noise = -log_snr/8 within [-3, 3].

    The first has unit variance for data of deviation sigma_data, the second (batch,) is EDM's
    log(sigma)/4. (Karras et al. 2022, table 1: c_in and c_noise.)
    """
    d, log_snr = sigma_data, level.log_snr
    scale = (level.alpha * level.alpha * d * d + level.sigma * level.sigma) ** 0.5
    if isinstance(log_snr, Tensor):
        noise = (log_snr * -0.125).clamp(-_BOUND, _BOUND).reshape(-1)
    else:
        value = min(max(-0.125 * log_snr, -_BOUND), _BOUND)
        noise = torch.full((len(x),), value, dtype=x.dtype, device=x.device)
    return x / scale, noise
