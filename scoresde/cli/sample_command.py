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

LARGEST_SHARE = 0.01


@click.command("sample")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--sampler", help="Solver or Langevin kernel (see: scoresde list samplers).")
@click.option("--grid", help="Grid of noise levels (see: scoresde list grids).")
@click.option("--steps", type=int, help="Intervals of the grid.")
@click.option("--process", help="Sample under another process than the model's own.")
@click.option("--n", default=64, show_default=True, help="Number of samples.")
@click.option("--first-id", default=0, show_default=True, help="Id of the first sample.")
@click.option("--batch", default=256, show_default=True, help="Samples computed at once.")
@click.option("--seed", default=0, show_default=True, help="Seed of all noise.")
@click.option("--dtype", default="float32", show_default=True, help="float32 or float64.")
@click.option("--trajectory", is_flag=True, help="Keep the state after every step.")
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
def command(model, out, resume, force, dry_run, device, threads, console: Console, **options):
    """Sample MODEL into an HDF5 dump.

    MODEL is a run folder, a checkpoint, or a .toml file with an exact [density]. Sample i is the
    same whatever --n, --batch and --resume.
    """
    if resume and force:
        raise click.UsageError("--resume and --force exclude each other")
    from scoresde.checkpointed import open_source
    from scoresde.generate import DTYPES, Generator, Request, generate

    check_device(device)
    dtype = DTYPES.get(options["dtype"], DTYPES["float32"])
    source = open_source(model, dtype=dtype, device=device)
    method = method_of(source, options)
    source = under(source, options["process"], options["settings"])
    names = ("n", "first_id", "batch", "seed", "dtype", "trajectory", "log_prob")
    request = Request(method=method, device=device, **{name: options[name] for name in names})
    generator = Generator(source, request)
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
                source, request, out, resume=resume, overwrite=force, progress=lambda k: bar(k)
            )
        except KeyboardInterrupt as error:
            error.add_note(f"rows done are safe in {out}; the same call with --resume goes on")
            raise
    nfe = float(made.nfe.mean())
    console.say(
        f"{made.rows_done} samples of {source.description}, {nfe:.4g} evaluations each: {out}"
    )
    console.result({"out": str(out), "rows": made.rows_done, "nfe": nfe, **attributes["identity"]})


def method_of(source, options: dict):
    """The method: the model's own sections, then the options, then --set."""
    from scoresde import config
    from scoresde.langevin import KERNELS
    from scoresde.samplers import SAMPLERS

    own = source.config.sections
    sampler = options["sampler"]
    if sampler is None and "sampler" not in own and "kernel" in own:
        sampler = own["kernel"]["name"]
    if sampler in KERNELS.members or (sampler and sampler not in SAMPLERS and sampler in KERNELS):
        if options["grid"] is not None or options["steps"] is not None:
            raise click.UsageError(
                f"{sampler} runs at one level and takes no grid; set chain.draws, chain.warm_up"
            )
        tables = {"kernel": _chosen(own, "kernel", sampler), "chain": own.get("chain", {})}
    else:
        tables = {
            "sampler": _chosen(own, "sampler", sampler or "dpmpp-2m", asked=sampler is not None),
            "grid": _chosen(own, "grid", options["grid"] or "karras", asked=bool(options["grid"])),
        }
        if options["steps"] is not None:
            if tables["grid"]["name"] == "explicit":
                raise click.UsageError("the explicit grid counts its own steps; leave --steps out")
            tables["grid"] = {**tables["grid"], "steps": options["steps"]}
    settings = [s for s in options["settings"] if not s.strip().startswith("process")]
    for setting in settings:
        section = setting.split("=")[0].split(".")[0].strip()
        if section not in tables:
            raise click.UsageError(
                f"--set {setting}: sampling has the sections {', '.join(tables)} and process"
            )
    return config.from_tables(config.override(tables, settings))


def _chosen(own: dict, section: str, name: str, *, asked: bool = True) -> dict:
    """The model's own section where it has that name, or where nothing was asked for."""
    kept = dict(own.get(section, {}))
    return kept if kept and (not asked or kept.get("name") == name) else {"name": name}


def under(source, process: str | None, settings: tuple[str, ...]):
    """The source with another process to sample under, if one is asked for."""
    from dataclasses import replace

    from scoresde import config

    chosen = [s for s in settings if s.strip().startswith("process")]
    if process is None and not chosen:
        return source
    table = {"process": {"name": process} if process else dict(source.process_table)}
    asked = config.from_tables(config.override(table, chosen))
    return replace(
        source, process=asked.build("process"), process_table=asked.resolved()["process"]
    )
