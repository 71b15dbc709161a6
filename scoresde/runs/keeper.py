"""The checkpoints of a run in its folder: newest, the one before it, best, snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scoresde.checkpointed import CHECKPOINT
from scoresde.errors import CheckpointError
from scoresde.io.failure import explain
from scoresde.io.placement import keep_as
from scoresde.runs.folder import BEST, PREVIOUS, SNAPSHOTS
from scoresde.training import Step, Training, TrainingState, save_averages, save_state


@dataclass
class Keeper:
    """Writes the checkpoints of a run when they are due."""

    folder: Path
    state: TrainingState
    options: Training
    metadata: dict
    good: bool  # whether the checkpoint in place is of this run
    kept: float | None = None  # when the last one was written, in the run's seconds
    step: int = -1  # and after which step

    def told(self, step: Step) -> None:
        options = self.options
        if self.kept is None:
            self.kept = 0.0 if options.seconds is None else step.seconds
        if step.best:
            save_state(self.folder / BEST, self.state, self.metadata)
        if options.snapshot_steps and step.step % options.snapshot_steps == 0:
            self.snapshot()
        if step.seconds - self.kept >= options.checkpoint_seconds:
            self.kept = step.seconds
            self.keep()

    def keep(self) -> None:
        place = self.folder / CHECKPOINT
        if self.step == self.state.step:
            return
        if self.good:
            try:
                # resolved: of a link it is the link that would get a second name
                keep_as(place.resolve(), self.folder / PREVIOUS)
            except OSError as error:
                raise CheckpointError(
                    f"cannot keep {place} as {PREVIOUS}: {explain(error, place)}"
                ) from None
        save_state(place, self.state, self.metadata)
        self.good, self.step = True, self.state.step

    def end(self) -> None:
        if self.options.snapshot_steps:
            self.snapshot()
        self.keep()

    def snapshot(self) -> None:
        place = self.folder / SNAPSHOTS
        try:
            place.mkdir(exist_ok=True)
        except OSError as error:
            raise CheckpointError(
                f"cannot make the folder {place}: {explain(error, place)}"
            ) from None
        save_averages(place / f"step-{self.state.step:09d}.safetensors", self.state, self.metadata)

    def last_good(self) -> str:
        if self.good:
            return f"the last good checkpoint is {self.folder / CHECKPOINT}"
        return "none of it was kept yet"
