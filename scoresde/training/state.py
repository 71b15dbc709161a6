"""The state of a training run: everything that the next step depends on."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from scoresde.training.averages import Average
from scoresde.training.options import Training

AVERAGED = ("net", "process")  # what a sampler needs; a weighting or a law of times is not sampled


@dataclass
class TrainingState:
    """What learns, its averages, the optimiser, the loss scale, and the number of steps made.

    modules     by name: "net", and "process", "objective.weighting", ... where these learn too
    averages    by the label of their rule: averaged copies of the modules that sampling needs
    seconds     the time spent so far, counted only where the options bound it: a run bounded by
                its steps alone is the same to the bit each time
    best        the lowest held-out loss so far, and `waited` the validations since
    """

    modules: dict[str, nn.Module]
    rules: tuple[Average, ...]
    averages: dict[str, dict[str, nn.Module]]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    step: int = 0
    seconds: float = 0.0
    best: float = math.inf
    waited: int = field(default=0)

    @classmethod
    def begin(cls, modules: dict[str, nn.Module], options: Training) -> TrainingState:
        groups = [
            # decay would pull a schedule's ends towards 0
            {"params": list(module.parameters()), "weight_decay": options.weight_decay}
            if name == "net"
            else {"params": list(module.parameters()), "weight_decay": 0.0}
            for name, module in modules.items()
        ]
        optimizer = torch.optim.AdamW(
            groups, lr=options.learning_rate, betas=(0.9, options.beta2), fused=True
        )
        averages = {
            rule.label: {
                name: copy.deepcopy(module).requires_grad_(False).eval()
                for name, module in modules.items()
                if name in AVERAGED
            }
            for rule in options.averages
        }
        device = groups[0]["params"][0].device.type
        scaler = torch.amp.GradScaler(device, enabled=options.precision == "float16")
        return cls(modules, options.averages, averages, optimizer, scaler)

    @property
    def net(self) -> nn.Module:
        return self.modules["net"]

    @property
    def ema(self) -> nn.Module:
        """The network under the first average, the one to sample from."""
        return self.averages[self.rules[0].label]["net"]

    @property
    def device(self) -> torch.device:
        return next(self.net.parameters()).device

    def clip(self, bound: float) -> Tensor:
        """Cut the gradient of each module to a norm of at most `bound`; the norm of all before.

        Each by itself, since their scales differ: of a learned schedule's the shape's norm was
        measured ten times the network's.
        """
        learning = [list(module.parameters()) for module in self.modules.values()]
        norms = [torch.nn.utils.clip_grad_norm_(p, bound) for p in learning if p]
        return torch.stack([norm.to(torch.float64) for norm in norms]).norm()

    def train_mode(self, training: bool) -> None:
        for module in self.modules.values():
            module.train(training)

    @torch.no_grad()
    def average(self) -> None:
        """avg <- (1 - w) avg + w weights under every rule; buffers are copied."""
        for rule in self.rules:
            weight = rule.weight(self.step)
            for name, average in self.averages[rule.label].items():
                module = self.modules[name]
                torch._foreach_lerp_(list(average.parameters()), list(module.parameters()), weight)
                for kept, current in zip(average.buffers(), module.buffers(), strict=True):
                    kept.copy_(current)

    def held(self) -> Iterator[tuple[str, nn.Module]]:
        """(prefix, module) of all that a checkpoint holds: `net`, `average.LABEL.net`, ..."""
        yield from self.modules.items()
        for label, modules in self.averages.items():
            for name, module in modules.items():
                yield f"average.{label}.{name}", module
