"""A training run in its folder: resolved configuration, checkpoint, log."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import torch

from scoresde.checkpointed import CHECKPOINT, Source, open_source, sigma_data_of, training_metadata
from scoresde.config import Config, to_toml
from scoresde.data import Dataset
from scoresde.errors import CheckpointError, NonFiniteError, ScoresdeError, UsageError
from scoresde.io import checkpoint
from scoresde.io.dump_attributes import first_difference
from scoresde.io.provenance import provenance
from scoresde.score import NetworkScore
from scoresde.training import Step, TrainingState, held_back, restore, save_state, train

CONFIG, LOG = "config.toml", "log.jsonl"
LOG_SECONDS = 1.0
BOUNDS = ("steps", "seconds", "checkpoint_seconds")


def begin_folder(folder: str | Path, settings: Config, *, overwrite: bool = False) -> Path:
    """Make the run folder and write the resolved configuration; an earlier run is an error."""
    folder = Path(folder)
    if (folder / CHECKPOINT).exists() and not overwrite:
        raise UsageError(
            f"the folder {folder} holds a trained model; name another by --out or replace it by "
            "--force"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(to_toml(settings.resolved()), encoding="utf-8")
        (folder / LOG).write_text("")
    except OSError as error:
        raise ScoresdeError(f"cannot write the run folder {folder}: {error.strerror}") from None
    return folder


def resume_folder(folder: str | Path, settings: Config) -> Path:
    """The folder of an earlier run, if it is a run of this configuration; its log goes on.

    The bounds of the run (training.steps, seconds, checkpoint_seconds) may differ. Raises
    `UsageError` where there is nothing to go on from, or naming what else differs.
    """
    folder = Path(folder)
    place = folder / CHECKPOINT
    if not place.exists():
        raise UsageError(f"the folder {folder} holds no {CHECKPOINT} to go on from")
    stored = checkpoint.metadata(place).get("config", {})
    ours, theirs = (_lasting(tables) for tables in (settings.resolved(), stored))
    difference = first_difference(ours, theirs)
    if difference:
        name, asked, kept = difference
        raise UsageError(
            f"cannot go on with the run in {folder}: {name} is {kept!r} there and {asked!r} in "
            "this request; ask for the same, name another folder by --out or start anew by --force"
        )
    return folder


def _lasting(tables: dict) -> dict:
    """What may not change within one run."""
    kept = {name: tables.get(name) for name in ("seed", "data", "process", "net", "objective")}
    training = dict(tables.get("training") or {})
    return {**kept, "training": {k: v for k, v in training.items() if k not in BOUNDS}}


def train_in_folder(
    settings: Config,
    folder: str | Path,
    *,
    data: Dataset | None = None,
    device: str = "cpu",
    resume: bool = False,
    on_step: Callable[[Step], None] | None = None,
) -> Source:
    """Train the network of a configuration, leave checkpoint and log, and open the result.

    `resume` goes on from the folder's checkpoint. The checkpoint is written every
    `training.checkpoint_seconds`, at the end, and on an interrupt, which waits for the step in
    hand. Raises as `train`; a non-finite loss leaves the last good checkpoint in its place.
    """
    folder = Path(folder)
    data = data or settings.build("data").load()
    model, state, options = prepare(settings, data, device)
    metadata = {**training_metadata(settings, data, model), "provenance": provenance()}
    place = folder / CHECKPOINT
    if resume:
        restore(place, state)
    kept, logged, good = state.seconds, -LOG_SECONDS, resume

    def keep() -> None:
        nonlocal good
        save_state(place, state, metadata)
        good = True

    steps = train(
        state,
        model,
        settings.build("objective"),
        settings.build("process"),
        data.train.to(device),
        options,
        settings.seed,
    )
    with _log(folder / LOG) as write, contextlib.closing(steps), held_back() as interrupted:
        try:
            for step in steps:
                if step.seconds - logged >= LOG_SECONDS or step.progress >= 1.0:
                    logged = step.seconds
                    write(step)
                if step.seconds - kept >= options.checkpoint_seconds:
                    kept = step.seconds
                    keep()
                if on_step is not None:
                    on_step(step)
                if interrupted():
                    keep()
                    raise KeyboardInterrupt
            keep()
        except NonFiniteError as error:
            left = f"the last good checkpoint is {place}" if good else "none of it was kept yet"
            raise NonFiniteError(f"{error}; {left}") from None
    return open_source(folder, device=device)


def prepare(settings: Config, data: Dataset, device: str):
    """(score model over the network in training, its state, the options), by the seed alone."""
    options = settings.build("training")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        net = settings.build("net", data.event_shape)
    net = net.to(device)
    if len(data.event_shape) == 3:
        net = net.to(memory_format=torch.channels_last)
    kind = settings.build("objective").kind
    process = settings.build("process")
    model = NetworkScore(net, data.event_shape, kind, sigma_data_of(data.train), process)
    return model, TrainingState.begin(net, options), options


@contextlib.contextmanager
def _log(path: Path):
    """A function that appends a step to the JSONL log, flushed line by line."""
    try:
        with path.open("a") as file:

            def write(step: Step) -> None:
                file.write(json.dumps(vars(step)) + "\n")
                file.flush()

            yield write
    except OSError as error:
        raise CheckpointError(f"cannot write the log {path}: {error.strerror}") from None
