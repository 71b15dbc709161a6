"""scoresde demo"""

from __future__ import annotations

import time
from pathlib import Path

import click

from scoresde.cli.console import Console, common, set_threads, settings_option, threads_option


@click.command("demo")
@click.option("--data", default="digits", show_default=True, help="digits or moons.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Run folder [default: runs/demo-DATA]."
)
@click.option("--force", is_flag=True, help="Replace an earlier run in that folder.")
@click.option("--dry-run", is_flag=True, help="Print the resolved configuration and stop.")
@settings_option
@threads_option
@common
def command(data, out, force, dry_run, settings, threads, console: Console):
    """Train a network on data that ship with the package, sample it with every solver, compare.

    Takes about two minutes on two cores (moons: under one). Leaves config.toml,
    checkpoint.safetensors, log.jsonl, samples.h5, solvers/*.h5, report.json and report.png. Exits
    with 1 if a claim fails.
    """
    begun = time.monotonic()
    from scoresde.config import to_toml
    from scoresde.demo import demo_settings, tell

    resolved = demo_settings(data, settings)
    if dry_run:
        console.show(to_toml(resolved.resolved()))
        console.result(resolved.resolved())
        return
    set_threads(threads, console)
    console.say(f"scoresde demo: {data}")
    console.say(f"  {time.monotonic() - begun:6.1f} s  start")
    folder = free_folder(out or Path("runs") / f"demo-{data}", out is not None or force)
    try:
        outcome = tell(
            resolved,
            folder,
            overwrite=force,
            threads=threads,
            progress=console.progress,
            phase=lambda name, seconds: console.say(f"  {seconds:6.1f} s  {name}"),
        )
    except KeyboardInterrupt as error:
        error.add_note(
            f"what was made is in {folder}; the training goes on with: scoresde train "
            f"{folder}/config.toml --out {folder} --resume"
        )
        raise
    _print(outcome, console)
    console.say(f"\n{time.monotonic() - begun:.1f} s in all. In {outcome.folder}:")
    console.say(
        "  samples.h5  the samples   report.png  the picture   solvers/*.h5  every solver's"
    )
    console.result({**outcome.to_dict(), "total_seconds": time.monotonic() - begun})
    failed = [claim.text for claim in outcome.claims if not claim.held]
    for text in failed:
        console.warn(f"a claim fails: {text}")
    return 1 if failed else 0


def free_folder(folder: Path, as_named: bool) -> Path:
    """The folder, or where it holds a run already and nobody named it, the next free one."""
    count, free = 1, folder
    while not as_named and (free / "checkpoint.safetensors").exists():
        count += 1
        free = folder.with_name(f"{folder.name}-{count}")
    return free


def _print(outcome, console: Console) -> None:
    from rich.table import Table

    from scoresde.compare.tables import rich_table

    table = Table(title="held-out denoising error (x0-MSE)", title_justify="left", box=None)
    names = list(outcome.denoising[0].baselines)
    for head in ("sigma", "network", *names, "gain over the best, in paired standard errors"):
        table.add_column(head, justify="right")
    for row in outcome.denoising:
        cells = [f"{row.baselines[name]:.4f}" for name in names]
        table.add_row(f"{row.sigma:g}", f"{row.network:.4f}", *cells, f"{row.in_errors:+.1f}")
    console.say("")
    console.say(table)
    console.say("")
    console.say(rich_table(outcome.comparison))
    console.say("")
    console.say("2,000 samples and the baselines' own, beside held-out data in model space")
    console.say(rich_table(outcome.samples))
    for claim in outcome.claims:
        console.say(f"  {'holds' if claim.held else 'FAILS'}  {claim.text}")
