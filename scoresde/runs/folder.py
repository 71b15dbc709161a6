"""The folder of a training run: what lies in it, and whether a run can begin or go on there."""

from __future__ import annotations

from pathlib import Path

from scoresde.checkpointed import CHECKPOINT
from scoresde.config import Config, to_toml
from scoresde.errors import CheckpointError, ScoresdeError, UsageError
from scoresde.io import checkpoint
from scoresde.io.dump_attributes import first_difference
from scoresde.io.placement import clear_staged, keep_as

CONFIG, LOG = "config.toml", "log.jsonl"
PREVIOUS, BEST, DAMAGED = (f"checkpoint.{n}.safetensors" for n in ("previous", "best", "damaged"))
SNAPSHOTS, TENSORBOARD = "snapshots", "tensorboard"
BOUNDS = ("steps", "seconds", "checkpoint_seconds", "compile")
LASTING = ("seed", "data", "process", "net", "classifier", "objective")


def begin_folder(folder: str | Path, settings: Config, *, overwrite: bool = False) -> Path:
    """Make the run folder and write the resolved configuration; an earlier run is an error."""
    folder = Path(folder)
    if not overwrite and any((folder / name).exists() for name in (CHECKPOINT, PREVIOUS)):
        raise UsageError(
            f"the folder {folder} holds a trained model; name another by --out, go on with it by "
            "--resume or replace it by --force"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(to_toml(settings.resolved()), encoding="utf-8")
        (folder / LOG).write_text("")
        stale = [folder / name for name in (CHECKPOINT, PREVIOUS, BEST, DAMAGED)]
        for path in [*stale, *(folder / SNAPSHOTS).glob("step-*.safetensors")]:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ScoresdeError(f"cannot write the run folder {folder}: {error.strerror}") from None
    return folder


def resume_folder(folder: str | Path, settings: Config, warn=lambda text: None) -> Path:
    """The folder of an earlier run, if it is a run of this configuration.

    The bounds of the run (training.steps, seconds, checkpoint_seconds) may differ. A newest
    checkpoint that is damaged is put aside and the one before it takes its place, which `warn` is
    told. Raises `UsageError` where there is nothing to go on from, or naming what differs.
    """
    folder = Path(folder)
    place = folder / CHECKPOINT
    for name in (CHECKPOINT, PREVIOUS, BEST):
        clear_staged(folder / name)
    if not place.exists() and not (folder / PREVIOUS).exists():
        raise UsageError(f"the folder {folder} holds no {CHECKPOINT} to go on from")
    _sound(folder, warn)
    stored = checkpoint.metadata(place).get("config", {})
    difference = first_difference(_lasting(settings.resolved()), _lasting(stored))
    if difference:
        name, asked, kept = difference
        raise UsageError(
            f"cannot go on with the run in {folder}: {name} is {kept!r} there and {asked!r} in "
            "this request; ask for the same, name another folder by --out or start anew by --force"
        )
    (folder / CONFIG).write_text(to_toml(settings.resolved()), encoding="utf-8")
    return folder


def _sound(folder: Path, warn) -> None:
    """Have a whole checkpoint in place, if need be the one before the newest."""
    place, before = folder / CHECKPOINT, folder / PREVIOUS
    try:
        checkpoint.load(place)
        return
    except CheckpointError as error:
        damage = str(error)
    try:
        checkpoint.load(before)
    except CheckpointError as error:
        raise CheckpointError(f"{damage}; nor is there one before it: {error}") from None
    aside = ""
    if place.exists():
        place.replace(folder / DAMAGED)
        aside = f"; the damaged one is put aside as {DAMAGED}"
    keep_as(before, place)
    step = checkpoint.metadata(place).get("step")
    warn(f"{damage}. Going on from the checkpoint before it, at step {step}{aside}")


def _lasting(tables: dict) -> dict:
    """What may not change within one run."""
    training = dict(tables.get("training") or {})
    kept = {k: v for k, v in training.items() if k not in BOUNDS}
    return {**{name: tables.get(name) for name in LASTING}, "training": kept}
