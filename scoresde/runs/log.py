"""What a training run tells of itself: a JSONL log, and TensorBoard where it is asked for."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from scoresde.errors import CheckpointError, UsageError
from scoresde.io.failure import explain
from scoresde.io.finite import finite
from scoresde.runs.folder import place_text
from scoresde.training import Step

Teller = Callable[[Step], None]


@contextlib.contextmanager
def jsonl(path: Path, *, after: int = 0, seconds: float = 1.0) -> Iterator[Teller]:
    """A function that appends a step to the log at most every `seconds`, flushed line by line.

    Steps with a validation and the last one are always told, with the rows trained on a second.
    Lines of steps later than `after`, which a resumed run makes again, are taken out first.
    Numbers that JSON lacks go as the text 'nan', 'inf', '-inf'.
    """
    with _writing(path):
        _cut(path, after)
        file = path.open("a", encoding="utf-8")
    last = -seconds

    def tell(step: Step) -> None:
        nonlocal last
        if step.seconds - last < seconds and step.progress < 1.0 and not step.validation:
            return
        last = step.seconds
        row = {k: v for k, v in asdict(step).items() if v is not None and v is not False}
        with _writing(path):
            file.write(json.dumps(finite(row), allow_nan=False) + "\n")
            file.flush()

    try:
        yield tell
    finally:
        with _writing(path):
            file.close()


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"cannot write the log {path}: {explain(error, path)}") from None


def _cut(path: Path, after: int) -> None:
    """Take out lines of steps later than `after`, and a last line that a kill cut short."""
    if not path.exists():
        return
    text = path.read_bytes()
    whole = b"".join(line + b"\n" for line in text.split(b"\n") if 0 < _step_of(line) <= after)
    if whole != text:
        place_text(path, whole.decode())


def _step_of(line: bytes) -> int:
    try:
        return int(json.loads(line.decode())["step"])
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return 0


@contextlib.contextmanager
def tensorboard(folder: Path | None, *, after: int = 0) -> Iterator[Teller]:
    """A function that writes a step's numbers as TensorBoard scalars; None writes nothing.

    Raises `UsageError` where the package tensorboard is not installed.
    """
    if folder is None:
        yield lambda step: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            'TensorBoard is not installed: pip install "scoresde[tensorboard]", or train without '
            "--tensorboard (log.jsonl holds the same numbers)"
        ) from None
    with SummaryWriter(str(folder), purge_step=after + 1) as writer:

        def tell(step: Step) -> None:
            scalars = {
                "training/loss": step.loss,
                "training/gradient norm": step.gradient_norm,
                "training/learning rate": step.learning_rate,
            }
            if step.validation is not None:
                scalars["held out/loss"] = step.validation.loss
                scalars["held out/standard error"] = step.validation.error
                for level in step.validation.levels:
                    scalars[f"held out/x0 error at log SNR {level.log_snr:.2f}"] = level.mean
            for name, value in scalars.items():
                writer.add_scalar(name, value, step.step)

        yield tell
