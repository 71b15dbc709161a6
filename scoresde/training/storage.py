"""A training state's way into a checkpoint and back."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from scoresde.errors import CheckpointError, NonFiniteError, UsageError
from scoresde.families import unknown
from scoresde.io import checkpoint
from scoresde.training.averages import Power
from scoresde.training.state import TrainingState

RAW = "raw"  # the weights as the optimiser left them


def save_state(path: str | Path, state: TrainingState, metadata: dict) -> None:
    """Write the whole state atomically: weights `net.*`, `average.LABEL.net.*`, moments.

    Raises `NonFiniteError` for weights that are not finite; the file there is then intact.
    """
    tensors: dict[str, Tensor] = {}
    for prefix, module in state.held():
        tensors |= {f"{prefix}.{k}": v for k, v in module.state_dict().items()}
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise NonFiniteError(
                f"the weights {name} are not finite after step {state.step}, so they are not "
                "saved; lower training.learning_rate"
            )
    for index, entry in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in entry.items()}
    facts = {
        "step": state.step,
        "seconds": state.seconds,
        "best": None if state.best == math.inf else state.best,
        "waited": state.waited,
        "scaler": state.scaler.state_dict(),
        "averages": [rule.label for rule in state.rules],
    }
    checkpoint.save(path, tensors, {**metadata, **facts})


def save_averages(path: str | Path, state: TrainingState, metadata: dict) -> None:
    """Write the power-function averages alone, from which others are made afterwards."""
    tensors = {
        f"{prefix}.{k}": v
        for prefix, module in state.held()
        if prefix.startswith("average.length-")
        for k, v in module.state_dict().items()
    }
    labels = [rule.label for rule in state.rules if isinstance(rule, Power)]
    checkpoint.save(path, tensors, {**metadata, "step": state.step, "averages": labels})


def load_weights(path: str | Path, modules: dict[str, nn.Module], which: str = "") -> None:
    """Put the weights of a checkpoint into modules ("net", and "process" where it learned).

    `which` is the label of an average, "raw" for none, "" for the first average. Raises
    `UsageError` for an average that is not there.
    """
    tensors, metadata = checkpoint.load(path)
    labels = [str(label) for label in metadata.get("averages", [])]
    known = [*labels, RAW] if any(name.startswith("net.") for name in tensors) else labels
    if which and which not in known:
        raise UsageError(f"{path}: {unknown('average of the weights', which, known)}")
    which = which or next(iter(labels), RAW)
    prefix = "" if which == RAW else f"average.{which}."
    for name, module in modules.items():
        _put(path, tensors, module, f"{prefix}{name}.")


def _put(path, tensors: dict[str, Tensor], module: nn.Module, prefix: str) -> None:
    weights = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    wanted = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    found = {k: tuple(v.shape) for k, v in weights.items()}
    if wanted != found:
        odd = sorted(set(wanted.items()) ^ set(found.items()))[0][0]
        raise CheckpointError(
            f"{path} does not hold the {prefix.rstrip('.')} that its configuration describes: "
            f"{odd!r} is {found.get(odd, 'missing')} there, {wanted.get(odd, 'not expected')} here"
        )
    module.load_state_dict(weights)


def restore(path: str | Path, state: TrainingState) -> TrainingState:
    """The whole state of a checkpoint, in place; raises `CheckpointError` if a part is missing."""
    tensors, metadata = checkpoint.load(path)
    missing = {"step", "seconds", "best", "waited", "scaler"} - metadata.keys()
    if missing:
        raise CheckpointError(
            f"{path} does not hold a training state to go on from (no {min(missing)!r}: it holds "
            "averages alone); put the run's own checkpoint back, or train anew"
        )
    for prefix, module in state.held():
        _put(path, tensors, module, f"{prefix}.")
    entries: dict[int, dict] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            entries.setdefault(int(index), {})[key] = tensor
    groups = state.optimizer.state_dict()["param_groups"]
    wanted = {i for group in groups for i in group["params"]}
    try:
        step, seconds = int(metadata["step"]), float(metadata["seconds"])
        if not (entries.keys() <= wanted) or (step > 0 and not entries):
            raise ValueError(f"moments of {len(entries)} of {len(wanted)} parameters")
        best = math.inf if metadata["best"] is None else float(metadata["best"])
        state.best, state.waited = best, int(metadata["waited"])
        state.scaler.load_state_dict(metadata["scaler"] or {})
        state.optimizer.load_state_dict({"state": entries, "param_groups": groups})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} does not hold a training state to go on from ({error}); train anew"
        ) from None
    state.step, state.seconds = step, seconds
    return state
