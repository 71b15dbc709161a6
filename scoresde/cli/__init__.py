"""The command line: parse, call, print.

Commands are imported when they run, so that `scoresde --help` needs neither torch nor numpy.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings

import click

from scoresde import __version__
from scoresde.errors import ScoresdeError

COMMANDS = {
    "demo": "Train on digits, sample with every solver, compare, draw: the whole story.",
    "train": "Train a score network from a configuration.",
    "fit": "Fit a classical model to data: mixtures, PCA, kernels, clusters.",
    "average": "Make another average of a run's weights from its snapshots.",
    "sample": "Sample a model with a solver or a Langevin kernel into a dump.",
    "modes": "Find the modes of a model by ascent without noise.",
    "encode": "Carry data to latents by the probability flow, with the round trip's error.",
    "decode": "Carry latents back to data.",
    "interpolate": "Sample along the way between two samples or two encoded data.",
    "perturb": "Noise data along exact forward paths.",
    "compare": "Judge dumps against a reference dump.",
    "verify": "Hold every sampler against exact truth.",
    "inspect": "Tell what a dump, checkpoint or run folder holds.",
    "list": "List the members of the families.",
    "doctor": "Tell whether this machine is ready.",
}
INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group whose commands live in modules of their own names, imported when called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return importlib.import_module(f"scoresde.cli.{name}_command").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]):
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from scoresde.families import unknown

            ctx.fail(unknown("command", args[0], list(COMMANDS)))
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="scoresde")
def group() -> None:
    """Score-based generative modelling with samples you can trust.

    `scoresde COMMAND --help` tells the options of a command.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with 0, 1 (error), 2 (usage) or 130 (interrupted)."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """The exit code of a command line; errors are printed on standard error."""
    # numpy's own threads have small matrices here, and beside a busy neighbour they were measured
    # to take ten times as long as one; read once, when numpy is imported
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # torch's second thread sleeps between two layers' work and wakes slowly: spinning some 30 ms
    # halved a training step on idle cores. Whether two threads pay at all, a trial finds out.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000000")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warned
            code = group.main(arguments, prog_name="scoresde", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        cause = error.__cause__ or error  # click wraps an interrupt in its own Abort
        hint = "; ".join(getattr(cause, "__notes__", []))
        click.echo(f"interrupted{': ' + hint if hint else ''}", err=True)
        return INTERRUPTED
    except ScoresdeError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except (MemoryError, OverflowError) as error:
        click.echo(f"error: a number in this request is too large: {error}", err=True)
        return 1
    except RuntimeError as error:
        if not any(word in str(error) for word in ("allocate", "overflow")):
            raise
        click.echo(f"error: a number in this request is too large: {error}", err=True)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as error:
        name = f" ({error.filename})" if error.filename else ""
        click.echo(f"error: {error.strerror or error}{name}", err=True)
        return 1


def _warned(message: Warning | str, *place: object) -> None:
    """A Python warning as one line on standard error, without the line of source that gave it."""
    click.echo(f"warning: {' '.join(str(message).split())}", err=True)
