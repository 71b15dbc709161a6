"""Averages of a run's weights made afterwards, from the snapshots that it kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from scoresde.errors import UsageError
from scoresde.io import checkpoint
from scoresde.runs.folder import SNAPSHOTS
from scoresde.training import post_hoc
from scoresde.training.averages import Power, profile_distance

PREFIX = "average.length-"
USELESS = 1.0  # the distance at which no average at all would be as near


@dataclass(frozen=True)
class Reconstruction:
    """Where the average was written, and what it was put together from."""

    path: Path
    step: int
    length: float
    weights: dict[str, float]  # of each kept average, by "step N, length S"
    distance: float  # of the profile made to the one asked for, relative: 0 is exact


def reconstruct(
    folder: str | Path, length: float, *, step: int | None = None, out: str | Path | None = None
) -> Reconstruction:
    r"""Write the power-function average of another length as a checkpoint to sample from.

    The kept averages are summed, in float64, with the weights whose profile is nearest to the one
    asked for (Karras et al. 2024, algorithm 3); `step` is that of the last snapshot by default.
    Raises `UsageError` where the run kept no snapshots or none that comes near the average, and
    for an `out` that exists; `OptionError` for a length or step out of range.
    """
    rule = Power(length)
    paths = sorted((Path(folder) / SNAPSHOTS).glob("step-*.safetensors"))
    if not paths:
        raise UsageError(
            f"the folder {folder} holds no snapshots; train with training.lengths = [0.05, 0.1] "
            "and training.snapshot_steps"
        )
    kept = [
        (path, int(found["step"]), float(label.removeprefix("length-")))
        for path in paths
        for found in [checkpoint.metadata(path)]
        for label in found["averages"]
    ]
    step = max(s for _, s, _ in kept) if step is None else step
    if out is not None and Path(out).exists():
        raise UsageError(f"there is a file {out} already; name another by --out")
    averages = [(s, own) for _, s, own in kept]
    weights = post_hoc(averages, step, length).tolist()
    distance = profile_distance(averages, weights, step, length)
    if distance >= USELESS:
        steps = ", ".join(str(s) for s in sorted({s for s, _ in averages}))
        raise UsageError(
            f"no sum of the averages in {folder} comes near that of length {length:g} at step "
            f"{step} (its profile would be {distance:.2g} times the norm away); there are "
            f"snapshots at steps: {steps}; take one of them, or a length near those kept"
        )
    tensors = _sum(kept, weights, rule.label)
    metadata = {**checkpoint.metadata(paths[-1]), "step": step, "averages": [rule.label]}
    path = Path(out) if out is not None else Path(folder) / f"average-{rule.label}.safetensors"
    checkpoint.save(path, tensors, metadata)
    shares = {f"step {s}, length {own:g}": w for (_, s, own), w in zip(kept, weights, strict=True)}
    return Reconstruction(path, step, length, shares, distance)


def _sum(kept, weights: list[float], label: str) -> dict[str, torch.Tensor]:
    """The weighted sum of the kept averages, one snapshot in memory at a time."""
    totals: dict[str, torch.Tensor] = {}
    dtypes: dict[str, torch.dtype] = {}
    for (path, _, own), weight in zip(kept, weights, strict=True):
        prefix = f"{PREFIX}{own:g}."
        for name, tensor in checkpoint.load(path)[0].items():
            if name.startswith(prefix):
                name = f"average.{label}.{name.removeprefix(prefix)}"
                dtypes[name] = tensor.dtype
                part = tensor.to(torch.float64) * weight
                totals[name] = totals[name] + part if name in totals else part
    return {name: total.to(dtypes[name]) for name, total in totals.items()}
