"""The options of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from scoresde.errors import OptionError
from scoresde.families import unknown

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class Training:
    """How long and how: AdamW, linear warm-up, cosine decay to zero, clipping, EMA with warm-up.

    `seconds` bounds the wall-clock time as well as `steps` the steps: the decay follows whichever
    is further on, so a run cut short by the clock still ends with a small learning rate.
    `precision` auto is bfloat16 autocast where the hardware multiplies in it, float32 elsewhere
    (where it is emulated, bfloat16 convolutions were measured 13 times slower).
    """

    steps: int = 10_000
    seconds: float | None = None
    batch: int = 256
    learning_rate: float = 1e-3
    warm_up: int = 100  # steps
    weight_decay: float = 0.0
    beta2: float = 0.999  # of AdamW
    clip: float = 1.0  # of the gradient's norm; inf to leave it be
    ema: float = 0.999  # decay a step, reached by min(ema, (1 + k)/(10 + k)) at step k
    precision: str = "auto"
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch"):
            if isinstance(getattr(self, name), bool) or getattr(self, name) < 1:
                raise OptionError(f"{name} of training is at least 1, got {getattr(self, name)}")
        if self.warm_up < 0:
            raise OptionError(f"warm_up of training is at least 0, got {self.warm_up}")
        for name in ("learning_rate", "clip", "checkpoint_seconds"):
            if not getattr(self, name) > 0.0:
                raise OptionError(f"{name} of training is positive, got {getattr(self, name)}")
        if self.learning_rate == math.inf:
            raise OptionError("learning_rate of training is finite, got inf")
        if self.seconds is not None and not self.seconds > 0.0:
            raise OptionError(f"seconds of training is positive, got {self.seconds}")
        if not 0.0 <= self.weight_decay < math.inf:
            raise OptionError(f"weight_decay of training is >= 0, got {self.weight_decay}")
        for name in ("ema", "beta2"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise OptionError(f"{name} of training lies in [0, 1), got {getattr(self, name)}")
        if self.precision not in PRECISIONS:
            raise OptionError(unknown("precision", self.precision, list(PRECISIONS)))

    def rate(self, step: int, progress: float) -> float:
        """The learning rate of a step: warm-up times half a cosine of the progress in [0, 1]."""
        warm = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        return self.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))

    def autocast(self, device: torch.device) -> torch.autocast:
        """The autocast context of this precision on a device."""
        wanted = self.precision == "bfloat16" or (
            self.precision == "auto" and multiplies_in_bfloat16(device)
        )
        return torch.autocast(device.type, torch.bfloat16, enabled=wanted)


def multiplies_in_bfloat16(device: torch.device) -> bool:
    """Whether the hardware has bfloat16 arithmetic of its own."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # absent in the oldest torch
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
