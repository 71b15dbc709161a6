"""scoresde verify"""

from __future__ import annotations

import click

from scoresde.cli.console import Console, common


@click.command("verify")
@click.argument("names", nargs=-1)
@common
@click.pass_context
def command(ctx, names, console: Console):
    """Hold samplers against exact truth: order, law, batch-independence, evaluations.

    All samplers (plug-ins too) or those NAMEd. Exits with 1 if a declaration is false.
    """
    import torch

    from scoresde.verify import verify
    from scoresde.verify.table import table

    torch.set_num_threads(1)  # small float64 problems: a second thread only waits
    with console.progress("verifying", 1.0) as bar:
        verdict = verify(
            list(names) or None, progress=lambda done, total, note: bar(done / total, note)
        )
    console.show(table(verdict))
    console.result(verdict.to_dict())
    return 0 if verdict.passed else 1
