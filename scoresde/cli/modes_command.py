"""scoresde modes"""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import click

from scoresde.cli.console import (
    Console,
    check_device,
    common,
    device_option,
    set_threads,
    threads_option,
)
from scoresde.errors import counted

SHOWN = 4  # coordinates of a mode in the table; --json has all


@click.command("modes")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--n", default=64, show_default=True, help="Samples to start from.")
@click.option("--seed", default=0, show_default=True, help="Seed of the samples.")
@click.option("--level", type=float, metavar="LOG-SNR", help="Modes of the law noised to there.")
@click.option("--tolerance", default=1e-8, show_default=True, help="Of |score| by local length.")
@click.option("--iterations", default=2000, show_default=True, help="At most so many steps.")
@click.option("--weights", default="", help="Average of the weights, as in sampling.")
@click.option("--dtype", default="float64", show_default=True, help="float32 or float64.")
@device_option
@threads_option
@common
def command(model, n, seed, level, device, threads, console: Console, **options):
    """Find the modes of MODEL: climb log p along the score, and tell maxima by the Hessian.

    MODEL is as in `scoresde sample`. A density is climbed from the means of its components and n
    samples, at no noise unless --level gives a log-SNR; a network from n samples of its own
    solver, at its process's least noise. Modes and log p are in the units of the data, |score| and
    the curvature (the Hessian's largest eigenvalue) in those of the model.
    """
    from scoresde.checkpointed import open_source
    from scoresde.errors import CapabilityError, UsageError
    from scoresde.jobs import dtype_named
    from scoresde.langevin import modes
    from scoresde.langevin.starts import check_count
    from scoresde.processes import CLEAN

    check_device(device)
    dtype = dtype_named(options["dtype"])
    source = open_source(model, dtype=dtype, device=device, weights=options["weights"])
    if source.model.kind == "class":
        raise UsageError(f"{model} is a classifier, whose classes have no modes; give a density")
    set_threads(threads, console)
    process = source.process
    if level is not None:
        at = _level(process, level)
    else:
        at = CLEAN if source.exact else process.at(process.t_min)
    starts = None
    if not source.exact:
        check_count(n, tuple(source.model.event_shape))
        starts = _samples(source, n, seed, device, options["dtype"]) * at.alpha
    with console.progress("climbing", 1.0) as bar:
        try:
            found = modes(
                source.model,
                starts,
                level=at,
                n=n,
                seed=seed,
                tolerance=options["tolerance"],
                max_iterations=options["iterations"],
                on_climbed=lambda done, of: bar(done / of, f"{done} of {counted(of, 'start')}"),
            )
        except CapabilityError as error:
            way = "; or its modes at a noise level: --level LOG-SNR" if at is CLEAN else ""
            raise CapabilityError(f"{error}{way}") from None
    result = _told(source, at, found)
    console.show(_table(result["modes"]))
    console.say(
        f"{counted(len(found.x), 'mode')} of {source.description} from "
        f"{counted(found.starts, 'start')}; {found.saddles} ended at saddles, "
        f"{found.unconverged} did not arrive"
    )
    if found.log_density is None:
        console.say("the model offers no log-density: modes stand by how many starts they drew")
    console.result(result)


def _level(process, log_snr: float):
    """The level of a log-SNR; `UsageError` for one that the process does not reach."""
    from scoresde.errors import OptionError, UsageError

    if math.isfinite(log_snr):
        with suppress(OptionError):  # told below with the range
            return process.at_log_snr(log_snr)
    low, high = process.at(1.0).log_snr, process.at(process.t_min).log_snr
    raise UsageError(
        f"--level {log_snr}: the log SNR of this process runs from {low:.4g} (noise) to "
        f"{high:.4g} (data); leave --level out for the law without noise"
    )


def _samples(source, n: int, seed: int, device: str, dtype: str):
    """Samples of a network by its own solver, in model space."""
    import torch

    from scoresde.cli.sample_command import method_of
    from scoresde.generate import Generator, Request

    asked = dict.fromkeys(("sampler", "grid", "steps", "guidance", "guidance_interval"))
    method = method_of(source, {**asked, "threshold": None, "settings": ()})
    request = Request(method=method, n=n, seed=seed, dtype=dtype, device=device)
    return Generator(source, request).draw(torch.arange(n, device=device)).x


def _told(source, at, found) -> dict:
    """What was found as JSON has it, in the units of the data."""
    shape = tuple(source.model.event_shape)
    x = source.scaling.undo(found.x / at.alpha)
    volume = source.scaling.log_volume(shape) - math.prod(shape) * math.log(at.alpha)
    rows = [
        {
            "x": x[i].tolist(),
            "log_density": (
                None if found.log_density is None else float(found.log_density[i]) - volume
            ),
            "score_norm": float(found.score_norm[i]),
            "curvature": float(found.curvature[i]),
            "starts": int(found.basin[i]),
        }
        for i in range(len(x))
    ]
    return {
        "model": source.description,
        "identity": source.identity,
        "log_snr": at.log_snr,
        "starts": found.starts,
        "saddles": found.saddles,
        "unconverged": found.unconverged,
        "modes": rows,
    }


def _table(rows: list[dict]):
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("mode", "x", "log p", "|score|", "curvature", "starts"):
        table.add_column(name, justify="left" if name == "x" else "right")
    for i, row in enumerate(rows, 1):
        numbers = _flat(row["x"])
        more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
        value = row["log_density"]
        table.add_row(
            str(i),
            "  ".join(f"{number:.5g}" for number in numbers[:SHOWN]) + more,
            "" if value is None else f"{value:.6g}",
            f"{row['score_norm']:.1e}",
            f"{row['curvature']:.4g}",
            str(row["starts"]),
        )
    return table


def _flat(x) -> list[float]:
    return [x] if not isinstance(x, list) else [number for part in x for number in _flat(part)]
