"""What commands share: options, printing, progress bars, threads."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import click


@dataclass(frozen=True)
class Console:
    """Where a command's words go: results to standard output, progress and notes to error."""

    as_json: bool = False
    verbosity: int = 0  # -1 quiet, 0 normal, 1 verbose

    def say(self, *parts: object) -> None:
        """A line, or a rich renderable, for people; silent with --json or -q."""
        if not self.as_json and self.verbosity >= 0:
            _rich(sys.stdout).print(*parts, highlight=False, markup=False, soft_wrap=True)

    def show(self, renderable: object) -> None:
        """The result itself, in a form for people; silent with --json alone."""
        if not self.as_json:
            text = isinstance(renderable, str)  # long lines of TOML are not to be broken
            _rich(sys.stdout).print(renderable, highlight=False, markup=False, soft_wrap=text)

    def warn(self, text: str) -> None:
        """A warning on standard error, also with -q."""
        click.echo(f"warning: {text}", err=True)

    def detail(self, text: str) -> None:
        """A line that only -v shows."""
        if self.verbosity > 0:
            click.echo(text, err=True)

    def result(self, data: dict) -> None:
        """The result as JSON, with --json alone; numbers that JSON lacks go as text."""
        from scoresde.io.finite import finite

        if self.as_json:
            click.echo(json.dumps(finite(data), default=str, allow_nan=False))

    @contextlib.contextmanager
    def progress(self, what: str, total: float) -> Iterator[Callable[[float, str], None]]:
        """A progress bar on standard error: call it with the amount done and a note."""
        if self.verbosity < 0 or not sys.stderr.isatty():
            yield lambda done, note="": None
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description:<24}"),
            BarColumn(),
            TextColumn("{task.percentage:>4.0f} %"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=_rich(sys.stderr), transient=True) as bar:
            task = bar.add_task(what, total=total, note="")
            yield lambda done, note="": bar.update(task, completed=done, note=note)


def _rich(file):
    from rich.console import Console as RichConsole

    width = None if file.isatty() else 120
    return RichConsole(file=file, width=width, emoji=False)


def common(command):
    """--json, -q, -v on a command, handed to it as `console`."""

    @click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
    @click.option("-q", "--quiet", is_flag=True, help="No progress and no notes.")
    @click.option("-v", "--verbose", is_flag=True, help="More detail.")
    @click.pass_context
    def wrapped(ctx, *args, as_json, quiet, verbose, **options):
        if quiet and verbose:
            raise click.UsageError("-q and -v exclude each other")
        console = Console(as_json, verbose - quiet)
        return ctx.invoke(command, *args, console=console, **options)

    wrapped.__name__ = command.__name__
    wrapped.__doc__ = command.__doc__
    wrapped.__click_params__ = [
        *getattr(wrapped, "__click_params__", []),
        *getattr(command, "__click_params__", []),
    ]
    return wrapped


def settings_option(command):
    """--set section.option=value, as often as wanted."""
    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="SECTION.OPTION=VALUE",
        help="Set one option of the configuration, e.g. --set sampler.eta=0.5.",
    )(command)


def threads_option(command):
    return click.option(
        "--threads",
        type=click.IntRange(1, 1024),
        default=None,
        help="CPU threads (default: one or all, whichever is faster just now).",
    )(command)


def device_option(command):
    return click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")(command)


def set_threads(count: int | None, console: Console) -> int:
    """Use `count` CPU threads, or as many as a short trial finds fastest."""
    import torch

    from scoresde.threads import fastest_threads

    count = count or fastest_threads()
    torch.set_num_threads(count)
    console.detail(f"{count} CPU threads")
    return count


def check_device(device: str) -> str:
    """The device if torch has it; else a usage error."""
    import torch

    from scoresde.errors import UsageError

    try:
        torch.zeros(1, device=device).cpu()  # the device "meta" holds no numbers
    except (RuntimeError, AssertionError):
        raise UsageError(f"torch has no device {device!r} here; use --device cpu") from None
    return device
