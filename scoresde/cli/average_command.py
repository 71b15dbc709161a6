"""scoresde average"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from scoresde.cli.console import Console, common


@click.command("average")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--length", type=float, required=True, help="Relative standard deviation, as 0.08.")
@click.option("--step", type=int, help="Step at which the average ends [default: the last].")
@click.option("--out", type=click.Path(path_type=Path), help="Checkpoint to write.")
@common
def command(run, length, step, out, console: Console):
    """Make another average of RUN's weights from the snapshots that it kept.

    RUN was trained with training.lengths and training.snapshot_steps.
    """
    from scoresde.runs import reconstruct

    made = reconstruct(run, length, step=step, out=out)
    console.say(f"average of length {length:g} at step {made.step}: {made.path}")
    console.result(asdict(made))
