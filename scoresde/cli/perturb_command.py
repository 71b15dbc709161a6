"""scoresde perturb"""

from __future__ import annotations

from pathlib import Path

import click

from scoresde.cli import carry_options as carry
from scoresde.cli.console import Console, common
from scoresde.errors import counted


@click.command("perturb")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--data", help="A dump, or the split test or train of the data set.")
@click.option("--seed", default=0, show_default=True, help="Seed of the paths.")
@carry.rows_option
@carry.carried("paths.h5")
@common
def command(model, console: Console, **options):
    """Noise data along forward paths of MODEL's process into a dump with a trajectory.

    MODEL is a configuration (with [data] or [density]), a run folder or a checkpoint. A path is
    exact in law and fixed by seed and id: a finer grid sees more of the same path.
    """
    if options["resume"] and options["force"]:
        raise click.UsageError("--resume and --force exclude each other")
    from scoresde.transport import Perturbation, origin_of

    settings, process, table, scaling, shape, text, recorded = _opened(model, options)
    grid = _grid(options)
    origin = origin_of(settings, options["data"], seed=options["seed"], event_shape=shape)
    carry.tell_of_changes(origin, recorded, console)
    names = ("seed", "first_id", "n", "batch", "dtype")
    job = Perturbation(
        origin=origin,
        process=process,
        process_table=table,
        grid=grid,
        scaling=origin.scaling if scaling is None else scaling,
        description=text,
        **{name: options[name] for name in names},
    )
    made = carry.run(job, options, console, "perturbing")
    if options["report"] is not None:
        from scoresde.transport.pictures import draw_paths

        states = job.scaling.apply(made.trajectory.astype("float64"))
        title = f"perturb: {origin.name}, {table['name']}"
        draw_paths(options["report"], states, job.levels, title=title)
    line = f"{counted(made.rows_done, 'forward path')} over {counted(len(job.levels), 'level')}"
    carry.tell(job, made, options, console, line, {"points": len(job.levels)})


def _opened(model: Path, options: dict):
    """(settings, process, its table, scaling, event shape, description, the data's fingerprint).

    A configuration of data has no scaling or shape but those of the data: None. A fingerprint is
    that of the data that the model was made of; '' where there is none.
    """
    from scoresde import config
    from scoresde.checkpointed import open_source
    from scoresde.cli.sample_command import under
    from scoresde.errors import UsageError

    if model.suffix == ".toml" and model.exists():
        settings = config.load(model)
        if "density" not in settings and "model" not in settings:
            chosen = [s for s in options["settings"] if s.strip().startswith("process")]
            table = options["process"] or settings.sections.get("process")
            if table is None:
                raise UsageError(f"{model} has no [process]; name one (--process edm)")
            table = {"name": table} if isinstance(table, str) else table
            made = config.from_tables(config.override({"process": table}, chosen))
            text = f"data of {model.name}"
            process, table = made.build("process"), made.resolved()["process"]
            return settings, process, table, None, None, text, ""
    source = under(open_source(model), options["process"], options["settings"])
    facts = source.scaling, tuple(source.model.event_shape), source.description
    facts = *facts, source.data_fingerprint
    return source.config, source.process, source.process_table, *facts


def _grid(options: dict):
    """The [grid]: uniform in time unless another is asked for."""
    from scoresde import config

    table = {"name": options["grid"] or "uniform-time"}
    if options["steps"] is not None:
        if table["name"] == "explicit":
            raise click.UsageError("the explicit grid counts its own steps; leave --steps out")
        table["steps"] = options["steps"]
    chosen = [s for s in options["settings"] if not s.strip().startswith("process")]
    for setting in chosen:
        if setting.split("=")[0].split(".")[0].strip() != "grid":
            raise click.UsageError(f"--set {setting}: perturb has the sections grid and process")
    return config.from_tables(config.override({"grid": table}, chosen))
