"""scoresde average"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from scoresde.cli.console import Console, common

FAR = 0.25  # distance of profiles that is worth a word: 8 snapshots of two lengths give 0.01


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

    if run.is_file():
        raise click.UsageError(
            f"{run} is a file, and averages are made of the snapshots in a run folder; a fitted "
            "model has no weights to average"
        )
    made = reconstruct(run, length, step=step, out=out)
    console.say(f"average of length {length:g} at step {made.step}: {made.path}")
    if made.distance > FAR:
        console.warn(
            f"its profile is {100.0 * made.distance:.0f} % off the one asked for; a step of a "
            "snapshot, a length between those kept and more snapshots bring it nearer"
        )
    console.result(asdict(made))
