"""scoresde interpolate"""

from __future__ import annotations

from pathlib import Path

import click

from scoresde.cli import carry_options as carry
from scoresde.cli.console import Console, common
from scoresde.errors import counted


@click.command("interpolate")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--pair", "pairs", type=int, nargs=2, multiple=True, metavar="A B",
    help="Ids of the two ends; as often as wanted.",
)  # fmt: skip
@click.option("--points", default=9, show_default=True, help="Points of a way, ends included.")
@click.option("--along", default="arc", show_default=True, help="arc (slerp) or line.")
@click.option(
    "--latents", type=click.Path(path_type=Path), help="Between encoded data: a dump of latents."
)
@click.option("--sampler", help="Deterministic solver (see: scoresde list samplers).")
@click.option("--seed", default=0, show_default=True, help="Seed of the samples' starts.")
@carry.carried("ways.h5")
@carry.guidable
@common
def command(model, pairs, points, along, latents, console: Console, **options):
    """Interpolate between samples of MODEL, or between encoded data.

    The ends are the samples that `scoresde sample` makes of those ids with the same sampler, grid
    and seed; with --latents they are the data that those latents decode to.
    """
    from scoresde.cli.sample_command import method_of, under
    from scoresde.transport import Interpolation, Ways, from_dump, from_noise
    from scoresde.transport.origin import LATENT

    source, guide = carry.opened(model, options)
    ways, recorded, given = Ways(pairs=pairs, points=points, along=along), None, None
    if latents is None:
        origin = from_noise(options["seed"], source.model.event_shape)
    else:
        source, recorded = carry.as_recorded(source, latents, options["process"])
        origin = from_dump(latents, space=LATENT)
        given = carry.vector_of(source, origin, recorded)
    method = method_of(source, options, guide)
    source = under(source, options["process"], options["settings"])
    call = carry.call_of(method, options, given)
    job = Interpolation(source, call, ways, origin, recorded, guide)
    made = carry.run(job, options, console, "interpolating")
    if options["report"] is not None:
        _draw(options["report"], job, made, source)
    nfe = float(made.nfe.mean())
    line = (
        f"{counted(len(pairs), 'way')} of {counted(points, 'point')}, {nfe:.4g} evaluations each"
    )
    carry.tell(job, made, options, console, line, {"nfe": nfe})


def _draw(path: Path, job, made, source) -> None:
    import torch

    from scoresde.transport.pictures import draw_ways

    shape = (len(job.ways.pairs), job.ways.points, *made.samples.shape[1:])
    starts = job.latents(torch.from_numpy(made.sample_id)).numpy().reshape(shape)
    cloud = source.model.density.sample(torch.arange(1000)).numpy() if source.exact else None
    title = f"interpolate: {source.description}"
    draw_ways(path, made.samples.reshape(shape), starts, title=title, cloud=cloud)
