"""The folder of a training run: what lies in it, and whether a run can begin or go on there."""

from __future__ import annotations

import contextlib
from pathlib import Path

from scoresde.checkpointed import CHECKPOINT
from scoresde.config import Config, to_toml
from scoresde.errors import CheckpointError, ScoresdeError, UsageError
from scoresde.io import checkpoint
from scoresde.io.dump_attributes import first_difference
from scoresde.io.failure import explain
from scoresde.io.placement import clear_staged, keep_as, staged, write_at
from scoresde.runs.lock import alone_in

CONFIG, LOG = "config.toml", "log.jsonl"
PREVIOUS, BEST, DAMAGED = (f"checkpoint.{n}.safetensors" for n in ("previous", "best", "damaged"))
SNAPSHOTS, TENSORBOARD = "snapshots", "tensorboard"
BOUNDS = ("steps", "seconds", "checkpoint_seconds", "compile")
LASTING = ("seed", "data", "process", "net", "classifier", "objective")


def begin_folder(folder: str | Path, settings: Config, *, overwrite: bool = False) -> Path:
    """Make the run folder and write the resolved configuration; an earlier run is an error.

    Raises `UsageError` also where another process trains in the folder.
    """
    folder = Path(folder)
    if not overwrite and any((folder / name).exists() for name in (CHECKPOINT, PREVIOUS)):
        raise UsageError(
            f"the folder {folder} holds a trained model; name another by --out, go on with it by "
            "--resume or replace it by --force"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone_in(folder):
            place_text(folder / CONFIG, to_toml(settings.resolved()))
            place_text(folder / LOG, "")
            stale = [folder / name for name in (CHECKPOINT, PREVIOUS, BEST, DAMAGED)]
            for path in [*stale, *(folder / SNAPSHOTS).glob("step-*.safetensors")]:
                path.unlink(missing_ok=True)
            _clear(folder)
    except OSError as error:
        raise ScoresdeError(f"cannot write the run folder {folder}: {error.strerror}") from None
    return folder


def resume_folder(folder: str | Path, settings: Config, warn=lambda text: None) -> Path:
    """The folder of an earlier run, if it is a run of this configuration.

    The bounds of the run (training.steps, seconds, checkpoint_seconds) may differ. A newest
    checkpoint that is damaged is put aside and the one before it takes its place, which `warn` is
    told. Raises `UsageError` where there is nothing to go on from, where another process trains in
    the folder, or naming what differs.
    """
    folder = Path(folder)
    place = folder / CHECKPOINT
    if not place.exists() and not (folder / PREVIOUS).exists():
        raise UsageError(f"the folder {folder} holds no {CHECKPOINT} to go on from")
    with alone_in(folder):
        _clear(folder)
        _sound(folder, warn)
        difference = first_difference(_lasting(settings.resolved()), _lasting(_stored(place)))
        if difference:
            name, asked, kept = difference
            raise UsageError(
                f"cannot go on with the run in {folder}: {name} is {kept!r} there and {asked!r} in"
                " this request; ask for the same, name another folder by --out or start anew by "
                "--force"
            )
        place_text(folder / CONFIG, to_toml(settings.resolved()))
    return folder


def threads_of(folder: str | Path) -> int | None:
    """The CPU threads that the run in a folder was last trained with; None if that is not known.

    On another number sums are rounded in another order, and a run ends in other bits.
    """
    for name in (CHECKPOINT, PREVIOUS):
        with contextlib.suppress(CheckpointError, AttributeError):
            count = checkpoint.metadata(Path(folder) / name).get("threads")
            return count if isinstance(count, int) and count > 0 else None
    return None


def place_text(path: Path, text: str) -> None:
    """Write a text in the place of the old one, which stays until the new is whole."""
    try:
        with staged(path, overwrite=True) as descriptor:
            write_at(descriptor, text.encode(), 0)
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {explain(error, path)}") from None


def _clear(folder: Path) -> None:
    """Remove what killed writers left behind."""
    for name in (CHECKPOINT, PREVIOUS, BEST, CONFIG, LOG):
        clear_staged(folder / name)
    for left in (folder / SNAPSHOTS).glob(".step-*.tmp"):
        left.unlink(missing_ok=True)


def _sound(folder: Path, warn) -> None:
    """Have a whole checkpoint in place, if need be the one before the newest."""
    place, before = folder / CHECKPOINT, folder / PREVIOUS
    try:
        checkpoint.load(place)
        return
    except CheckpointError as error:
        if place.exists() and isinstance(error.__cause__, OSError):
            raise  # what the system does not let us read may be whole
        damage = str(error)
    try:
        checkpoint.load(before)
    except CheckpointError as error:
        raise CheckpointError(f"{damage}; nor is there one before it: {error}") from None
    aside = ""
    if place.exists():
        place.replace(folder / DAMAGED)
        aside = f"; the one that cannot be read is put aside as {DAMAGED}"
    keep_as(before, place)
    step = checkpoint.metadata(place).get("step")
    warn(f"{damage}. Going on from the checkpoint before it, at step {step}{aside}")


def _stored(place: Path) -> dict:
    """The configuration that a checkpoint carries; `CheckpointError` for none of a training."""
    metadata = checkpoint.metadata(place)
    stored = metadata.get("config") if isinstance(metadata, dict) else None
    if not isinstance(stored, dict) or not isinstance(stored.get("training"), dict):
        raise CheckpointError(
            f"the checkpoint {place} carries no configuration of a training run, so that nothing "
            "can go on from it; put the run's own checkpoint back, or train anew by --force"
        )
    return stored


def _lasting(tables: dict) -> dict:
    """What may not change within one run."""
    training = dict(tables.get("training") or {})
    kept = {k: v for k, v in training.items() if k not in BOUNDS}
    return {**{name: tables.get(name) for name in LASTING}, "training": kept}
