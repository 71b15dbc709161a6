"""scoresde compare"""

from __future__ import annotations

import json
from pathlib import Path

import click

from scoresde.cli.console import Console, common


@click.command("compare")
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("candidates", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--metric", "metrics", multiple=True, help="Metric to take [default: all].")
@click.option("--resamples", default=200, show_default=True, help="Bootstrap resamples.")
@click.option("--confidence", default=0.95, show_default=True, help="Of the intervals.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the bootstrap."
)
@click.option("--report", type=click.Path(path_type=Path), help="Write a picture (.png).")
@click.option("--out", type=click.Path(path_type=Path), help="Write the comparison as JSON.")
@common
def command(
    reference, candidates, metrics, resamples, confidence, seed, report, out, console: Console
):
    """Judge the dumps CANDIDATES against the dump REFERENCE.

    Sliced W1, energy distance, Gaussian Fréchet and, where the starts are the same, the RMS
    difference sample by sample; each with a bootstrap interval and the reference's own floor.
    """
    from scoresde.compare import compare
    from scoresde.compare.report import report as draw
    from scoresde.compare.tables import rich_table, text_cells
    from scoresde.io import dump

    names = _names([reference, *candidates])
    dumps = {name: dump.read(path) for name, path in names.items()}
    truth, *others = names
    comparison = compare(
        dumps[truth],
        {name: dumps[name] for name in others},
        metrics=metrics or None,
        seed=seed,
        resamples=resamples,
        confidence=confidence,
    )
    console.show(rich_table(comparison))
    if report is not None:
        draw(
            report,
            grids={name: made.samples[:64] for name, made in dumps.items()},
            errors=comparison.errors(),
            title="scoresde compare",
            subtitle=f"against {reference}",
            table=text_cells(comparison),
        )
        console.say(f"picture: {report}")
    if out is not None:
        out.write_text(json.dumps(comparison.to_dict(), indent=1))
        console.say(f"figures: {out}")
    console.result(comparison.to_dict())


def _names(paths: list[Path]) -> dict[str, Path]:
    """A short name for every path: its stem, or the whole path where stems repeat."""
    stems = [path.stem for path in paths]
    names = [
        stem if stems.count(stem) == 1 else str(path)
        for stem, path in zip(stems, paths, strict=True)
    ]
    if len(set(names)) < len(names):
        raise click.UsageError("a dump is named twice; name every dump once")
    return dict(zip(names, paths, strict=True))
