"""The options of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.training.averages import Average, Exponential, Power, check_length

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
_POSITIVE = ("learning_rate", "clip", "checkpoint_seconds")
_COUNTS = {
    "steps": 1,
    "batch": 1,
    "accumulate": 1,
    "warm_up": 0,
    "snapshot_steps": 0,
    "validation_steps": 0,
    "validation_rows": 1,
    "patience": 0,
}


@dataclass(frozen=True, kw_only=True)
class Training:
    """How long and how: AdamW, linear warm-up, cosine decay to zero, clipping, averages.

    steps               of the optimiser.
    seconds             bounds the wall-clock time as well; the decay follows whichever is further
                        on, so a run cut short by the clock still ends with a small rate.
    batch, accumulate   rows a step, and the parts in which their gradient is summed up.
    warm_up             steps of linear warm-up of learning_rate.
    weight_decay, beta2 of AdamW.
    clip                bound of the gradient's norm; inf leaves it be.
    half_lives          exponential averages of the weights, in steps; sampling takes the first.
    lengths             power-function averages (relative standard deviations), kept every
                        snapshot_steps for averages of other lengths afterwards.
    precision           auto: bfloat16 autocast where the hardware multiplies in it, float32
                        elsewhere (where it is emulated, bfloat16 convolutions were measured 13
                        times slower). float16 scales the loss, halving on overflow.
    compile             torch.compile of the network.
    label_dropout       share of rows trained without their label or vector, for guidance.
    validation_steps    steps between held-out losses, 0 for none; validation_rows of the test
                        split are used. The best is kept in a checkpoint of its own.
    patience            validations without a better one before the run stops; 0: it goes on.
    checkpoint_seconds  between two checkpoints.
    """

    steps: int = 10_000
    seconds: float | None = None
    batch: int = 256
    accumulate: int = 1
    learning_rate: float = 1e-3
    warm_up: int = 100
    weight_decay: float = 0.0
    beta2: float = 0.999
    clip: float = 1.0
    half_lives: tuple[float, ...] = (700.0,)
    lengths: tuple[float, ...] = ()
    snapshot_steps: int = 0
    precision: str = "auto"
    compile: bool = False
    label_dropout: float = 0.1
    validation_steps: int = 0
    validation_rows: int = 1024
    patience: int = 0
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name, least in _COUNTS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise OptionError(f"{name} of training is at least {least}, got {value}")
        if self.accumulate > self.batch:
            raise OptionError(
                f"accumulate of training is at most the batch of {self.batch} rows, got "
                f"{self.accumulate}"
            )
        for name in _POSITIVE:
            if not getattr(self, name) > 0.0:
                raise OptionError(f"{name} of training is positive, got {getattr(self, name)}")
        if self.learning_rate == math.inf:
            raise OptionError("learning_rate of training is finite, got inf")
        if self.seconds is not None and not self.seconds > 0.0:
            raise OptionError(f"seconds of training is positive, got {self.seconds}")
        if not 0.0 <= self.weight_decay < math.inf:
            raise OptionError(f"weight_decay of training is >= 0, got {self.weight_decay}")
        if not 0.0 <= self.beta2 < 1.0:
            raise OptionError(f"beta2 of training lies in [0, 1), got {self.beta2}")
        if not 0.0 <= self.label_dropout <= 1.0:
            raise OptionError(f"label_dropout of training is a share, got {self.label_dropout}")
        if self.precision not in PRECISIONS:
            raise OptionError(unknown("precision", self.precision, list(PRECISIONS)))
        self._check_averages()

    def _check_averages(self) -> None:
        for half_life in self.half_lives:
            if not 0.0 < half_life < math.inf:
                raise OptionError(
                    f"half_lives of training are positive numbers of steps, got {half_life}"
                )
        for length in self.lengths:
            check_length(length)
        labels = [rule.label for rule in self.averages]
        if not labels:
            raise OptionError("half_lives and lengths of training name no average; give one")
        if len(set(labels)) < len(labels):
            raise OptionError(f"half_lives and lengths of training repeat one: {labels}")
        if self.snapshot_steps and not self.lengths:
            raise OptionError("snapshot_steps of training keeps the averages of lengths; give two")
        if self.patience and not self.validation_steps:
            raise OptionError("patience of training counts validations; give validation_steps")

    @property
    def averages(self) -> tuple[Average, ...]:
        """The rules of the averages kept; the first is the one to sample from."""
        return (*map(Exponential, self.half_lives), *map(Power, self.lengths))

    def rate(self, step: int, progress: float) -> float:
        """The learning rate of a step: warm-up times half a cosine of the progress in [0, 1]."""
        warm = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        return self.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))

    def autocast(self, device: torch.device) -> torch.autocast:
        """The autocast context of this precision on a device."""
        wanted = self.precision in ("bfloat16", "float16") or (
            self.precision == "auto" and multiplies_in_bfloat16(device)
        )
        dtype = torch.float16 if self.precision == "float16" else torch.bfloat16
        return torch.autocast(device.type, dtype, enabled=wanted)


def multiplies_in_bfloat16(device: torch.device) -> bool:
    """Whether the hardware has bfloat16 arithmetic of its own."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # absent in the oldest torch
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
