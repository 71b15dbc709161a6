"""A training run in its folder: configuration and data to checkpoint and log."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from scoresde.checkpointed import (
    CHECKPOINT,
    Source,
    build_net,
    model_over,
    open_source,
    sigma_data_of,
    training_metadata,
)
from scoresde.config import Config
from scoresde.data import Dataset
from scoresde.errors import (
    DataError,
    NonFiniteError,
    OptionError,
    Preempted,
    UsageError,
)
from scoresde.io import checkpoint
from scoresde.io.provenance import provenance
from scoresde.objectives import Objective
from scoresde.processes import Process
from scoresde.runs.folder import LOG, TENSORBOARD
from scoresde.runs.keeper import Keeper
from scoresde.runs.lock import alone_in
from scoresde.runs.log import jsonl, tensorboard
from scoresde.score import ScoreModel
from scoresde.training import (
    Step,
    Training,
    TrainingState,
    held_back,
    restore,
    train,
)


@dataclass(frozen=True)
class Run:
    """All that a training run is made of, by the configuration and the seed alone."""

    model: ScoreModel
    objective: Objective
    process: Process
    options: Training
    state: TrainingState
    data: Dataset
    seed: int

    def steps(self):
        """The generator of its steps."""
        return train(
            self.state,
            self.model,
            self.objective,
            self.process,
            self.data,
            self.options,
            self.seed,
        )


def prepare(settings: Config, data: Dataset, device: str) -> Run:
    """The run of a configuration on a data set, at its first step.

    Raises `DataError` where the data lack the labels or vectors that the net is to be given.
    """
    options = settings.build("training")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        objective, process = settings.build("objective"), settings.build("process")
        net = build_net(settings, data.event_shape).to(device)
    _check_conditions(net, data)
    _check_held_out(data, options, conditional=bool(net.classes or net.features))
    if len(data.event_shape) == 3:
        net = net.to(memory_format=torch.channels_last)
    modules = {"net": net}
    if isinstance(process, nn.Module):
        modules["process"] = process.to(device)
    for name, module in objective.modules().items():
        modules[f"objective.{name}"] = module.to(device)
    state = TrainingState.begin(modules, options)
    called = torch.compile(net) if options.compile else net
    model = model_over(called, settings, data.event_shape, sigma_data_of(data), process)
    return Run(model, objective, process, options, state, _on(data, device), settings.seed)


def _on(data: Dataset, device: str) -> Dataset:
    """The data with what lies in memory on the device; rows read on demand stay where they are."""
    moved = {
        name: getattr(data, name).to(device)
        for name in ("train", "test", "train_labels", "test_labels")
        if isinstance(getattr(data, name), torch.Tensor)
    }
    return replace(data, **moved)


def _check_conditions(net: nn.Module, data: Dataset) -> None:
    classes, features = getattr(net, "classes", 0), getattr(net, "features", 0)
    given = f"vectors of {data.features} numbers" if data.features else "no labels"
    given = f"labels of {data.classes} classes" if data.classes else given
    if classes and not data.classes:
        way = f"set net.features = {data.features}" if data.features else "leave net.classes out"
        raise DataError(
            f"net.classes is {classes} and the data set {data.name!r} has {given}; give data "
            f"with labels (label_key, class folders) or {way}"
        )
    if classes and data.classes > classes:
        raise DataError(
            f"the data set {data.name!r} has labels up to {data.classes - 1} and net.classes is "
            f"{classes}: labels run from 0 to {classes - 1}; set net.classes = {data.classes}"
        )
    if features and data.features != features:
        raise OptionError(
            f"net.features is {features} and the data set {data.name!r} has {given}; set "
            f"net.features = {data.features}{' and net.classes' if data.classes else ''}"
        )


def _check_held_out(data: Dataset, options: Training, conditional: bool) -> None:
    if not options.validation_steps:
        return
    if not len(data.test):
        raise DataError(
            f"the test split of {data.name!r} has no rows to validate on; hold some back, or "
            "leave training.validation_steps out"
        )
    if conditional and data.test_labels is None:
        raise DataError(
            f"the test split of {data.name!r} has no labels and the net is given them; give "
            "labels to it, or leave training.validation_steps out"
        )


def train_in_folder(
    settings: Config,
    folder: str | Path,
    *,
    data: Dataset | None = None,
    device: str = "cpu",
    resume: bool = False,
    board: bool = False,
    on_step: Callable[[Step], None] | None = None,
) -> Source:
    """Train the network of a configuration, leave checkpoint and log, and open the result.

    `resume` goes on from the folder's checkpoint; a run that has ended is left as it is. The
    checkpoint is written every `training.checkpoint_seconds`, at the end, and on SIGINT, SIGTERM
    and SIGUSR1, which wait for the step in hand; the one before stays beside it. `board` writes
    TensorBoard scalars. Raises as `train`, `KeyboardInterrupt` on SIGINT and `Preempted` on the
    other two; a non-finite loss leaves the last good checkpoint in its place.
    """
    folder = Path(folder)
    data = data or settings.build("data").load()
    run = prepare(settings, data, device)
    metadata = {
        **training_metadata(settings, data, run.model),
        "provenance": provenance(),
        "threads": torch.get_num_threads(),
    }
    keeper = Keeper(folder, run.state, run.options, metadata, good=resume)
    with alone_in(folder):
        if resume:
            _same_data(folder, data)
            restore(folder / CHECKPOINT, run.state)
        _train(run, keeper, board, on_step)
    return open_source(folder, device=device)


def _train(run: Run, keeper: Keeper, board: bool, on_step: Callable[[Step], None] | None) -> None:
    folder, begun = keeper.folder, run.state.step
    with (
        jsonl(folder / LOG, after=begun) as log,
        tensorboard(folder / TENSORBOARD if board else None, after=begun) as scalars,
        contextlib.closing(run.steps()) as steps,
        held_back() as came,
    ):
        try:
            for step in steps:
                log(step)
                scalars(step)
                keeper.told(step)
                if on_step is not None:
                    on_step(step)
                if came() is not None:
                    keeper.keep()
                    raise _stopped(came(), step, folder)
            if run.state.step > begun or not keeper.good:
                keeper.end()
        except (DataError, NonFiniteError) as error:
            raise type(error)(f"{error}; {keeper.last_good()}") from None


def _stopped(number: signal.Signals, step: Step, folder: Path) -> BaseException:
    if number == signal.SIGINT:
        return KeyboardInterrupt()
    return Preempted(
        f"stopped by {number.name}: step {step.step} is safe in {folder}; the same call with "
        "--resume goes on"
    )


def _same_data(folder: Path, data: Dataset) -> None:
    """Raises `UsageError` if the data are not those that the run was begun on."""
    kept = checkpoint.metadata(folder / CHECKPOINT).get("data_fingerprint")
    if kept != data.fingerprint:
        raise UsageError(
            f"the data set {data.name!r} has changed since the checkpoint in {folder} was made "
            f"(its SHA-256 begins with {data.fingerprint[:12]}, it was {str(kept)[:12]}): restore "
            "the data, or train anew by --force"
        )
