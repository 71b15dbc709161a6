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
from scoresde.io.provenance import provenance
from scoresde.score import NetworkScore
from scoresde.training import Step, TrainingState, save_state, train

CONFIG, LOG = "config.toml", "log.jsonl"
LOG_SECONDS = 1.0


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
        (folder / CONFIG).write_text(to_toml(settings.resolved()))
        (folder / LOG).write_text("")
    except OSError as error:
        raise ScoresdeError(f"cannot write the run folder {folder}: {error.strerror}") from None
    return folder


def train_in_folder(
    settings: Config,
    folder: str | Path,
    *,
    data: Dataset | None = None,
    device: str = "cpu",
    on_step: Callable[[Step], None] | None = None,
) -> Source:
    """Train the network of a configuration, leave checkpoint and log, and open the result.

    The checkpoint is written every `training.checkpoint_seconds`, at the end, and on an interrupt.
    Raises as `train`; a non-finite loss leaves the last good checkpoint in its place.
    """
    folder = Path(folder)
    data = data or settings.build("data").load()
    model, state, options = prepare(settings, data, device)
    metadata = {**training_metadata(settings, data, model), "provenance": provenance()}

    def keep() -> None:
        save_state(folder / CHECKPOINT, state, metadata)

    steps = train(
        state,
        model,
        settings.build("objective"),
        settings.build("process"),
        data.train.to(device),
        options,
        settings.seed,
    )
    kept, logged = 0.0, -LOG_SECONDS
    with _log(folder / LOG) as write, contextlib.closing(steps):
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
        except NonFiniteError as error:
            place = folder / CHECKPOINT
            left = f"; the last good checkpoint is {place}" if place.exists() else ""
            raise NonFiniteError(f"{error}{left}") from None
        except KeyboardInterrupt:
            keep()
            raise
    keep()
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
