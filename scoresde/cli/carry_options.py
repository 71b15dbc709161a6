"""What the commands that carry data share: options, methods, the run into a dump."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from scoresde.cli.console import Console, device_option, settings_option, threads_option
from scoresde.cli.sample_command import method_of, numbers_of
from scoresde.errors import DumpError, OptionError, UsageError

FLOWS = "dopri5 (default) or bosh3 with steps of each row's own, a method of torchdiffeq, or ddim"
_RECORDED = ("sampler", "grid", "guidance", "threshold")


def carried(out: str):
    """Options of every such command; `out` is the default dump."""
    made = (
        click.option("--grid", help="Grid of noise levels (see: scoresde list grids)."),
        click.option("--steps", type=int, help="Intervals of the grid."),
        click.option("--process", help="Another process than the model's own."),
        click.option("--batch", default=256, show_default=True, help="Rows computed at once."),
        click.option("--dtype", default="float32", show_default=True, help="float32 or float64."),
        click.option(
            "--out", type=click.Path(path_type=Path), default=Path(out), show_default=True
        ),
        click.option("--resume", is_flag=True, help="Go on with the dump: only missing blocks."),
        click.option("--force", is_flag=True, help="Replace the dump."),
        click.option("--report", type=click.Path(path_type=Path), help="Write a picture (.png)."),
        settings_option,
        threads_option,
    )
    return _all(made)


def guidable(command):
    """Options of commands that ask a model: its labels, its guidance, the device."""
    made = (
        click.option("--label", help="A class, a cycle by id (0,1,1), all, or none."),
        click.option("--given", help="Numbers that a model of vectors is given."),
        click.option("--guidance", metavar="WEIGHT|off", help="Guide, as in sampling."),
        click.option("--guide", type=click.Path(path_type=Path), help="The guidance's model."),
        click.option("--weights", default="", help="Average of the weights, as in sampling."),
        click.option("--guide-weights", default="", help="That of the guide."),
        click.option("--trajectory", is_flag=True, help="Keep the state after every step."),
        device_option,
    )
    return _all(made)(command)


def rows_option(command):
    made = (
        click.option("--n", type=int, help="Number of rows  [default: at most 64]."),
        click.option("--first-id", type=int, help="Id of the first row."),
    )
    return _all(made)(command)


def _all(options):
    def decorate(command):
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def opened(model: Path, options: dict):
    """(source, guide) of a command line."""
    from scoresde.checkpointed import open_source
    from scoresde.cli.console import check_device
    from scoresde.jobs import dtype_named

    if options["resume"] and options["force"]:
        raise click.UsageError("--resume and --force exclude each other")
    device = check_device(options["device"])
    dtype = dtype_named(options["dtype"])
    source = open_source(model, dtype=dtype, device=device, weights=options["weights"])
    guide, of_guide = options["guide"], options["guide_weights"]
    if guide is None:
        if of_guide:
            raise click.UsageError("--guide-weights is of a --guide; give one")
        return source, None
    return source, open_source(guide, dtype=dtype, device=device, weights=of_guide)


def flow_method(source, options: dict, guide):
    """The [sampler] of --method and the [grid]: the model's own where they are of that name."""
    from scoresde.families import unknown
    from scoresde.samplers.adaptive.embedded_pairs import PAIRS
    from scoresde.samplers.adaptive.torchdiffeq_flow import ADAPTIVE, FIXED

    whole = ("ddim", "probability-flow", "torchdiffeq", "scipy-flow")
    method, known = options["method"], [*dict.fromkeys([*PAIRS, *ADAPTIVE, *FIXED, *whole])]
    if method is not None and method not in known:
        raise OptionError(unknown("method of encoding", method, known))
    settings = tuple(options["settings"])
    own = source.config.sections.get("sampler", {}).get("name")
    if method is None and own not in whole:
        method = "probability-flow"
    if method is not None and method not in whole:
        settings = (f"sampler.method={method}", *settings)
        method = "probability-flow" if method in PAIRS else "torchdiffeq"
    return method_of(source, {**options, "sampler": method, "settings": settings}, guide)


def call_of(method, options: dict, given: tuple[float, ...] | None = None):
    """The `Call` of a command line; `given` is the vector where neither one nor a label is."""
    from scoresde.transport import Call

    names = ("first_id", "n", "batch", "dtype", "device", "trajectory", "label")
    vector = None if options["given"] is None else numbers_of(options["given"])
    if vector is None and options["label"] is None:
        vector = given
    return Call(method=method, vector=vector, **{k: options[k] for k in names if k in options})


def as_recorded(source, path: Path, process: str | None):
    """(source, attributes): under the methods and the process by which latents were made.

    Raises `DumpError` for a dump that is not of latents, or records no methods.
    """
    from scoresde import config
    from scoresde.io import dump
    from scoresde.transport.origin import LATENT

    attributes = dump.describe(path)["attributes"]
    if attributes.get("space") != LATENT or not {"sampler", "grid", "process"} <= set(attributes):
        raise DumpError(
            f"the dump {path} does not hold latents; make some by scoresde encode, then decode"
        )
    tables = {name: attributes[name] for name in _RECORDED if name in attributes}
    sections = {"seed": source.config.seed, **source.config.sections, **tables}
    source = replace(source, config=config.from_tables(sections))
    table = attributes["process"]
    if process is None and table != source.process_table:
        made = config.from_tables({"process": table})
        source = replace(source, process=made.build("process"), process_table=table)
    return source, attributes


def vector_of(source, origin, recorded: dict) -> tuple[float, ...] | None:
    """The vector that latents were encoded with, if the model takes vectors.

    Labels have a column of their own in the dump, a vector is recorded as text.
    """
    from scoresde.transport.job import NO_LABEL

    text = str(recorded.get("given", NO_LABEL))
    told = source.model.features and origin.label_of is None and text != NO_LABEL
    return numbers_of(text) if told else None


def tell_of_changes(origin, recorded: str, console: Console) -> None:
    """Tells of a data set that is another than the model was made of, by its fingerprint."""
    if origin.count is None or origin.path is not None:
        return
    found = origin.identity.rpartition(":")[2]
    if recorded not in ("", found):
        console.warn(
            f"the data set has changed since the model was made: its SHA-256 begins with "
            f"{found[:12]}, it was {recorded[:12]}"
        )


def run(job, options: dict, console: Console, what: str):
    """Compute the job into its dump under a bar, and read it back."""
    from scoresde.cli.console import set_threads
    from scoresde.transport import into_dump

    out = options["out"]
    _check_places(out, options["report"], job.origin.path)
    set_threads(options["threads"], console)
    with console.progress(what, job.n) as bar:
        try:
            return into_dump(
                job,
                out,
                resume=options["resume"],
                overwrite=options["force"],
                progress=lambda done: bar(done),
            )
        except KeyboardInterrupt as error:
            error.add_note(f"rows done are safe in {out}; the same call with --resume goes on")
            raise


def _check_places(out: Path, report: Path | None, read: Path | None) -> None:
    """Refuses, before anything is computed, to write over what is read."""
    if read is not None and out.exists() and out.samefile(read):
        raise UsageError(f"--out {out} is the dump that is read; write to another file")
    if report is not None and report.suffix.lower() != ".png":
        raise UsageError(f"--report {report}: the picture is a PNG; give it a name in .png")
    if report is not None and not report.parent.is_dir():
        raise UsageError(f"--report {report}: there is no folder {report.parent}; create it")


def tell(job, made, options: dict, console: Console, line: str, facts: dict) -> None:
    """What was made, for people and as JSON."""
    console.say(f"{line}: {options['out']}")
    if options["report"] is not None:
        console.say(f"picture: {options['report']}")
    identity = job.attributes()["identity"]
    console.result({"out": str(options["out"]), "rows": made.rows_done, **facts, **identity})
