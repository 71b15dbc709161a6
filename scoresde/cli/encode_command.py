"""scoresde encode"""

from __future__ import annotations

from pathlib import Path

import click

from scoresde.cli import carry_options as carry
from scoresde.cli.console import Console, common
from scoresde.errors import counted

_REPORTED = 2000


@click.command("encode")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--data", help="A dump, or the split test or train of the model's data set.")
@click.option("--method", help=f"The flow: {carry.FLOWS}.")
@click.option("--seed", default=0, show_default=True, help="Seed of draws from a density.")
@carry.rows_option
@carry.carried("latents.h5")
@carry.guidable
@common
def command(model, console: Console, **options):
    """Encode data by MODEL's probability flow into a dump of latents.

    Data are the test split of the data set that MODEL was trained on, draws of an exact density,
    or a dump. Each is carried up to the grid's first level and back; the dump keeps the latent and
    the round trip's RMS error. `scoresde decode` is the way back.
    """
    from scoresde.cli.sample_command import under
    from scoresde.transport import Encoding, origin_of

    source, guide = carry.opened(model, options)
    method = carry.flow_method(source, options, guide)
    source = under(source, options["process"], options["settings"])
    origin = origin_of(source.config, options["data"], seed=options["seed"])
    carry.tell_of_changes(origin, source.data_fingerprint, console)
    job = Encoding(source, carry.call_of(method, options), origin, guide)
    made = carry.run(job, options, console, "encoding")
    if options["report"] is not None:
        import torch

        from scoresde.transport.pictures import draw_transport

        shown = torch.from_numpy(made.sample_id[:_REPORTED])
        data = origin.read(shown).numpy()
        latents, errors = made.samples[:_REPORTED], made.facts["roundtrip_rms"]
        title = f"encode: {source.description}"
        draw_transport(options["report"], data, latents, errors, title=title)
    facts = _facts(made)
    line = (
        f"{counted(made.rows_done, 'row')} of {origin.name} encoded, {facts['nfe']:.4g} "
        f"evaluations each and {facts['nfe_decode']:.4g} back, round-trip RMS "
        f"{facts['roundtrip_rms_median']:.3g} (largest {facts['roundtrip_rms_max']:.3g})"
    )
    carry.tell(job, made, options, console, line, facts)


def _facts(made) -> dict:
    import numpy as np

    errors = made.facts["roundtrip_rms"]
    return {
        "nfe": float(made.nfe.mean()),
        "nfe_decode": float(made.facts["nfe_decode"].mean()),
        "roundtrip_rms_median": float(np.median(errors)),
        "roundtrip_rms_max": float(errors.max()),
        "latent_rms": float(np.sqrt(np.square(made.samples.astype(np.float64)).mean())),
    }
