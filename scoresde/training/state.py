"""The state of a training run, and its way into a checkpoint and back."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from scoresde.errors import CheckpointError, NonFiniteError
from scoresde.io import checkpoint
from scoresde.training.options import Training


@dataclass
class TrainingState:
    """The network, its moving average, the optimiser, and the number of steps made.

    `seconds` is the time spent so far, counted only where the options bound it: a run bounded by
    its steps alone is the same to the bit each time.
    """

    net: nn.Module
    ema: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0

    @classmethod
    def begin(cls, net: nn.Module, options: Training) -> TrainingState:
        optimizer = torch.optim.AdamW(
            net.parameters(),
            lr=options.learning_rate,
            betas=(0.9, options.beta2),
            weight_decay=options.weight_decay,
            fused=True,
        )
        return cls(net, copy.deepcopy(net).requires_grad_(False), optimizer)

    @torch.no_grad()
    def average(self, decay: float) -> None:
        """ema <- d ema + (1 - d) net with d = min(decay, (1 + k)/(10 + k)); buffers are copied."""
        weight = 1.0 - min(decay, (1.0 + self.step) / (10.0 + self.step))
        averages, currents = list(self.ema.parameters()), list(self.net.parameters())
        torch._foreach_lerp_(averages, currents, weight)
        for average, current in zip(self.ema.buffers(), self.net.buffers(), strict=True):
            average.copy_(current)


def save_state(path: str | Path, state: TrainingState, metadata: dict) -> None:
    """Write the whole state atomically: weights `net.*`, `ema.*` and moments `optimizer.*`.

    Raises `NonFiniteError` for weights that are not finite; the file there is then intact.
    """
    tensors = {f"net.{k}": v for k, v in state.net.state_dict().items()}
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise NonFiniteError(
                f"the weights {name} are not finite after step {state.step}, so they are not "
                "saved; lower training.learning_rate"
            )
    tensors |= {f"ema.{k}": v for k, v in state.ema.state_dict().items()}
    moments = state.optimizer.state_dict()["state"]
    for index, entry in moments.items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in entry.items()}
    checkpoint.save(path, tensors, {**metadata, "step": state.step, "seconds": state.seconds})


def load_state(path: str | Path, net: nn.Module, which: str = "ema") -> nn.Module:
    """Put the weights `net` or `ema` of a checkpoint into a network of the same shape."""
    tensors, _ = checkpoint.load(path)
    prefix = f"{which}."
    weights = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    wanted = {k: tuple(v.shape) for k, v in net.state_dict().items()}
    found = {k: tuple(v.shape) for k, v in weights.items()}
    if wanted != found:
        odd = sorted(set(wanted.items()) ^ set(found.items()))[0][0]
        raise CheckpointError(
            f"{path} does not hold the network that its configuration describes: {odd!r} is "
            f"{found.get(odd, 'missing')} there, {wanted.get(odd, 'not expected')} here"
        )
    net.load_state_dict(weights)
    return net


def restore(path: str | Path, state: TrainingState) -> TrainingState:
    """The whole state of a checkpoint, in place; raises `CheckpointError` if a part is missing."""
    load_state(path, state.net, "net")
    load_state(path, state.ema, "ema")
    tensors, metadata = checkpoint.load(path)
    entries: dict[int, dict] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            entries.setdefault(int(index), {})[key] = tensor
    groups = state.optimizer.state_dict()["param_groups"]
    wanted = {i for group in groups for i in group["params"]}
    try:
        step, seconds = int(metadata["step"]), float(metadata["seconds"])
        if step > 0 and entries.keys() != wanted:
            raise ValueError(f"moments of {len(entries)} of {len(wanted)} parameters")
        state.optimizer.load_state_dict({"state": entries, "param_groups": groups})
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} does not hold a training state to go on from ({error}); train anew"
        ) from None
    state.step, state.seconds = step, seconds
    return state
