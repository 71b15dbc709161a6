"""scoresde decode"""

from __future__ import annotations

from pathlib import Path

import click

from scoresde.cli import carry_options as carry
from scoresde.cli.console import Console, common

_REPORTED = 2000


@click.command("decode")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("latents", type=click.Path(path_type=Path))
@click.option("--sampler", help="Deterministic solver  [default: that of the encoding].")
@carry.rows_option
@carry.carried("decoded.h5")
@carry.guidable
@common
def command(model, latents, console: Console, **options):
    """Decode the dump LATENTS by MODEL into samples.

    Solver, grid, process, labels and vector are those of the encoding unless others are given;
    with another --label or MODEL the latents become that label's, or that model's, samples.
    """
    from scoresde.cli.sample_command import method_of, under
    from scoresde.transport import Decoding, from_dump
    from scoresde.transport.origin import LATENT

    source, guide = carry.opened(model, options)
    source, recorded = carry.as_recorded(source, latents, options["process"])
    method = method_of(source, options, guide)
    source = under(source, options["process"], options["settings"])
    origin = from_dump(latents, space=LATENT)
    given = carry.vector_of(source, origin, recorded)
    job = Decoding(source, carry.call_of(method, options, given), origin, recorded, guide)
    if recorded.get("model") != source.identity:
        console.warn(f"{latents} was encoded by another model; decoding is a bridge between them")
    made = carry.run(job, options, console, "decoding")
    if options["report"] is not None:
        import torch

        from scoresde.transport.pictures import draw_transport

        starts = origin.read(torch.from_numpy(made.sample_id[:_REPORTED])).numpy()
        title = f"decode: {source.description}"
        draw_transport(options["report"], made.samples[:_REPORTED], starts, title=title)
    nfe = float(made.nfe.mean())
    line = f"{made.rows_done} latents decoded, {nfe:.4g} evaluations each"
    carry.tell(job, made, options, console, line, {"nfe": nfe})
