"""scoresde sample"""

from __future__ import annotations

from pathlib import Path

import click

from scoresde.cli.console import (
    Console,
    check_device,
    common,
    device_option,
    set_threads,
    settings_option,
    threads_option,
)
from scoresde.errors import counted

LARGEST_SHARE = 0.01


@click.command("sample")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--sampler", help="Solver or Langevin kernel (see: scoresde list samplers).")
@click.option("--grid", help="Grid of noise levels (see: scoresde list grids).")
@click.option("--steps", type=int, help="Intervals of the grid.")
@click.option("--process", help="Sample under another process than the model's own.")
@click.option("--label", help="A class, a list cycled by sample id (0,1,1), or all.")
@click.option("--given", help="Numbers that a model of vectors is given, in the data's units.")
@click.option("--guidance", metavar="WEIGHT|off", help="Guide: 1 is conditional, more sharper.")
@click.option(
    "--guidance-interval",
    type=float,
    nargs=2,
    metavar="LOW HIGH",
    help="Guide between these noise ratios sigma/alpha alone.",
)
@click.option("--guide", type=click.Path(path_type=Path), help="Classifier, or a bad model.")
@click.option("--weights", default="", help="Average of the weights: half-life-700, raw, ...")
@click.option("--guide-weights", default="", help="That of the guide.")
@click.option("--threshold", metavar="NAME|off", help="Hold x0 to its range: static, dynamic.")
@click.option("--n", default=64, show_default=True, help="Number of samples.")
@click.option("--first-id", default=0, show_default=True, help="Id of the first sample.")
@click.option("--batch", default=256, show_default=True, help="Samples computed at once.")
@click.option("--seed", default=0, show_default=True, help="Seed of all noise.")
@click.option("--dtype", default="float32", show_default=True, help="float32 or float64.")
@click.option("--trajectory", is_flag=True, help="Keep the state after every step.")
@click.option("--path", is_flag=True, help="One Brownian path a sample, whatever the steps.")
@click.option("--log-prob", is_flag=True, help="Keep the log-density (exact models).")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("samples.h5"), show_default=True
)
@click.option("--resume", is_flag=True, help="Go on with the dump: only missing blocks.")
@click.option("--force", is_flag=True, help="Replace the dump.")
@click.option("--dry-run", is_flag=True, help="Print what would be done and stop.")
@settings_option
@device_option
@threads_option
@common
def command(
    model, guide, out, resume, force, dry_run, device, threads, console: Console, **options
):
    """Sample MODEL into an HDF5 dump.

    MODEL is a run folder, a checkpoint, or a .toml file with an exact [density]. Sample i is the
    same whatever --n, --batch and --resume. --guidance is classifier-free; with --guide it is by
    that classifier, or autoguidance away from that worse model.
    """
    if resume and force:
        raise click.UsageError("--resume and --force exclude each other")
    from scoresde.checkpointed import open_source
    from scoresde.generate import DTYPES, Generator, Request, generate

    check_device(device)
    dtype = DTYPES.get(options["dtype"], DTYPES["float32"])
    source = open_source(model, dtype=dtype, device=device, weights=options["weights"])
    second = None
    if guide is not None:
        second = open_source(guide, dtype=dtype, device=device, weights=options["guide_weights"])
    elif options["guide_weights"]:
        raise click.UsageError("--guide-weights is of a --guide; give one")
    method = method_of(source, options, second)
    source = under(source, options["process"], options["settings"])
    names = ("n", "first_id", "batch", "seed", "dtype", "trajectory", "log_prob", "path", "label")
    vector = None if options["given"] is None else numbers_of(options["given"])
    request = Request(
        method=method, device=device, vector=vector, **{name: options[name] for name in names}
    )
    generator = Generator(source, request, second)
    share = generator.start_share()
    if share > LARGEST_SHARE:
        console.warn(
            f"the grid starts where data make up about {share:.0%} of the state's variance, and "
            "the start is pure noise: the samples' law is off; start at a lower log_snr_min"
        )
    attributes = generator.attributes()
    if dry_run:
        plan = {"out": str(out), **generator.layout(), **attributes["identity"]}
        console.show("\n".join(f"{key:<14}{value}" for key, value in plan.items()))
        console.result(plan)
        return
    set_threads(threads, console)
    with console.progress("sampling", request.n) as bar:
        try:
            made = generate(
                source,
                request,
                out,
                resume=resume,
                overwrite=force,
                guide=second,
                progress=lambda k: bar(k),
            )
        except KeyboardInterrupt as error:
            error.add_note(f"rows done are safe in {out}; the same call with --resume goes on")
            raise
    nfe, networks = float(made.nfe.mean()), attributes["provenance"]["evaluations_per_call"]
    each = f"{nfe:.4g} evaluations each" + (f" of {networks} networks" if networks > 1 else "")
    console.say(f"{counted(made.rows_done, 'sample')} of {source.description}, {each}: {out}")
    console.result({"out": str(out), "rows": made.rows_done, "nfe": nfe, **attributes["identity"]})


def numbers_of(text: str) -> tuple[float, ...]:
    """The numbers of a list with commas."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.UsageError(f"--given takes numbers with commas, got {text!r}") from None


def method_of(source, options: dict, guide=None):
    """The method: the model's own sections, then the options, then --set."""
    from scoresde import config
    from scoresde.langevin import KERNELS
    from scoresde.samplers import SAMPLERS

    own, grid = source.config.sections, options["grid"]
    sampler = options["sampler"]
    if sampler is None and "sampler" not in own and "kernel" in own:
        sampler = own["kernel"]["name"]
    if sampler in KERNELS.members or (sampler and sampler not in SAMPLERS and sampler in KERNELS):
        if grid is not None or options["steps"] is not None:
            raise click.UsageError(
                f"{sampler} runs at one level and takes no grid; set chain.draws, chain.warm_up"
            )
        tables = {"kernel": _chosen(own, "kernel", sampler), "chain": own.get("chain", {})}
    else:
        solver = "dpmpp-2m" if sampler is None else sampler
        spacing = "karras" if grid is None else grid
        tables = {
            "sampler": _chosen(own, "sampler", solver, asked=sampler is not None),
            "grid": _chosen(own, "grid", spacing, asked=grid is not None),
        }
        if options["steps"] is not None:
            if tables["grid"]["name"] == "explicit":
                raise click.UsageError("the explicit grid counts its own steps; leave --steps out")
            tables["grid"] = {**tables["grid"], "steps": options["steps"]}
    settings = [s for s in options["settings"] if not s.strip().startswith("process")]
    sections = {s: s.split("=")[0].split(".")[0].strip() for s in settings}
    for setting, section in sections.items():
        known = [*tables, "guidance", "threshold"]
        if section not in known:
            raise click.UsageError(
                f"--set {setting}: sampling has the sections {', '.join(known)} and process"
            )
    asked = set(sections.values())
    for section, table in (
        ("guidance", _guidance(own, options, guide, "guidance" in asked)),
        ("threshold", _threshold(own, options, "threshold" in asked)),
    ):
        if table is not None:
            tables[section] = table
    return config.from_tables(config.override(tables, settings))


def _guidance(own: dict, options: dict, guide, set_by_name: bool) -> dict | None:
    """The [guidance] table: the model's own, or the one that fits the guide, with its weight."""
    weight, interval = options.get("guidance"), options.get("guidance_interval")
    asked = weight is not None or guide is not None or set_by_name
    if weight == "off" or not (asked or "guidance" in own):
        if interval or guide is not None or set_by_name:
            raise click.UsageError(
                "--guidance-interval, --guide and --set guidance are options of guidance: give "
                "its weight too (--guidance 2)"
            )
        return None
    if guide is not None:
        name = "classifier" if guide.model.kind == "class" else "autoguidance"
        table = _chosen(own, "guidance", name)
    else:
        table = dict(own.get("guidance", {"name": "classifier-free"}))
    if weight is not None:
        try:
            table["weight"] = float(weight)
        except ValueError:
            raise click.UsageError(
                f"--guidance takes a weight (2.0) or 'off', got {weight!r}"
            ) from None
    if interval:
        table["interval"] = list(interval)
    return table


def _threshold(own: dict, options: dict, set_by_name: bool) -> dict | None:
    """The [threshold] table: the model's own, or the one asked for."""
    name = options.get("threshold")
    if name == "off" and set_by_name:
        raise click.UsageError("--threshold off and --set threshold exclude each other")
    if name == "off" or (name is None and "threshold" not in own and not set_by_name):
        return None
    return _chosen(own, "threshold", name or "static", asked=name is not None)


def _chosen(own: dict, section: str, name: str, *, asked: bool = True) -> dict:
    """The model's own section where it has that name, or where nothing was asked for."""
    kept = dict(own.get(section, {}))
    return kept if kept and (not asked or kept.get("name") == name) else {"name": name}


def under(source, process: str | None, settings: tuple[str, ...]):
    """The source with another process to sample under, if one is asked for.

    A schedule that was learned stands as it is: its name keeps it, its options are of training.
    """
    from dataclasses import replace

    from scoresde import config
    from scoresde.processes import LearnedVP

    chosen = [s for s in settings if s.strip().startswith("process")]
    trained = isinstance(source.process, LearnedVP) and "objective" in source.config
    own = (None, source.process_table["name"]) if trained else (None,)
    if process in own and not chosen:
        return source
    if process in own and trained:
        raise click.UsageError(
            f"--set {chosen[0]}: the model's schedule was learned, and its options are those of "
            "its training; leave them out, or take another --process"
        )
    table = {"process": {"name": process} if process else dict(source.process_table)}
    asked = config.from_tables(config.override(table, chosen))
    return replace(
        source, process=asked.build("process"), process_table=asked.resolved()["process"]
    )
