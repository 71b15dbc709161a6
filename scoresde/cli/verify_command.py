"""scoresde verify"""

from __future__ import annotations

import os

import click

from scoresde.cli.console import Console, common


@click.command("verify")
@click.argument("names", nargs=-1)
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="MODULE:CLASS",
    help="Judge a class of your own, here or on the import path; may be repeated.",
)
@click.option("--all", "every", is_flag=True, help="Show every check, not one line a sampler.")
@click.option("--workers", type=click.IntRange(1, 256), help="Processes. [default: all cores]")
@common
@click.pass_context
def command(ctx, names, plugins, every, workers, console: Console):
    """Hold samplers against exact truth: order, law, batch-independence, evaluations.

    All samplers (plug-ins too) or those NAMEd: a name, an alias, or 'name(option=value)'. Exits
    with 1 if a declaration is false.
    """
    import torch

    from scoresde.errors import PluginError
    from scoresde.verify import verify
    from scoresde.verify.table import summary, table

    torch.set_num_threads(1)  # small float64 problems: a second thread only waits
    for text in plugins:
        if ":" not in text.split("(")[0]:
            raise PluginError(f"--plugin takes module:Class, got {text!r}")
    chosen = [*names, *plugins] or None
    if workers is None:
        workers = 1 if chosen and len(chosen) < 3 else len(os.sched_getaffinity(0))
    with console.progress("verifying", 1.0) as bar:
        verdict = verify(
            chosen,
            workers=workers,
            progress=lambda done, total, note: bar(done / total, note),
        )
    console.show(table(verdict) if every else summary(verdict))
    console.result(verdict.to_dict())
    return 0 if verdict.passed else 1
