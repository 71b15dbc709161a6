"""scoresde train"""

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
from scoresde.cli.pace import Pace


@click.command("train")
@click.argument("configuration", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Run folder [default: runs/NAME].")
@click.option("--resume", is_flag=True, help="Go on from the run folder's checkpoint.")
@click.option("--force", is_flag=True, help="Replace the model that the run folder holds.")
@click.option("--dry-run", is_flag=True, help="Print the resolved configuration and stop.")
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard scalars to RUN/tensorboard.")
@settings_option
@device_option
@threads_option
@common
def command(configuration, out, resume, force, dry_run, settings, console: Console, **options):
    """Train the network that CONFIGURATION (a .toml file) describes.

    Leaves a run folder: config.toml, checkpoint.safetensors, the checkpoint before it, log.jsonl.
    Ctrl-C, SIGTERM and SIGUSR1 leave a checkpoint; the last two exit with 75.
    """
    if resume and force:
        raise click.UsageError("--resume and --force exclude each other")
    from scoresde import config

    resolved = config.load(configuration, settings)
    network = "classifier" if "classifier" in resolved else "net"
    for section in ("data", "process", network, "objective", "training"):
        if section not in resolved:
            raise click.UsageError(
                f"{configuration} has no [{section}] section; training needs it"
            )
    if dry_run:
        console.show(config.to_toml(resolved.resolved()))
        console.result(resolved.resolved())
        return
    check_device(options["device"])
    from scoresde.runs import begin_folder, prepare, resume_folder

    folder = out or Path("runs") / configuration.stem
    _use_threads(folder, options["threads"], resume, console)
    data = resolved.build("data").load()
    # what cannot be built is refused before there is a folder
    prepare(resolved, data, options["device"])
    if resume:
        resume_folder(folder, resolved, console.warn)
    else:
        begin_folder(folder, resolved, overwrite=force)
    pace = Pace(resolved.build("training").batch)
    source, last = _train(resolved, folder, data, resume, pace, console, options)
    _tell(resolved, folder, source, last, pace, console)


def _use_threads(folder: Path, threads: int | None, resume: bool, console: Console) -> None:
    """As many CPU threads as asked for, or as the run had; another number is warned of."""
    from scoresde.runs import threads_of

    kept = threads_of(folder) if resume else None
    used = set_threads(threads or kept, console)
    if kept not in (None, used):
        console.warn(
            f"the run in {folder} was trained on {kept} CPU threads until here: on {used} sums "
            f"are rounded in another order, and it ends in other bits than on {kept} throughout"
        )


def _train(resolved, folder: Path, data, resume: bool, pace: Pace, console: Console, options):
    """(the trained source, the last step or None), with a progress bar."""
    from scoresde.checkpointed import CHECKPOINT
    from scoresde.io import checkpoint
    from scoresde.runs import train_in_folder

    last = None
    with console.progress("training", 1.0) as bar:

        def on_step(step) -> None:
            nonlocal last
            last = step
            bar(step.progress, f"step {step.step}  loss {step.loss:.4g}  {pace.told(step)}")
            if step.validation is not None:
                console.detail(
                    f"step {step.step}: held-out loss {step.validation.loss:.4g} "
                    f"+- {step.validation.error:.2g}{', the best' if step.best else ''}"
                )

        try:
            source = train_in_folder(
                resolved,
                folder,
                data=data,
                device=options["device"],
                resume=resume,
                board=options["tensorboard"],
                on_step=on_step,
            )
        except KeyboardInterrupt as error:
            if (folder / CHECKPOINT).exists():
                step = checkpoint.metadata(folder / CHECKPOINT)["step"]
                error.add_note(
                    f"step {step} is safe in {folder}; the same call with --resume goes on"
                )
            raise
    return source, last


def _tell(resolved, folder: Path, source, last, pace: Pace, console: Console) -> None:
    """What came of it, in words and as JSON."""
    from dataclasses import asdict

    from scoresde.checkpointed import CHECKPOINT
    from scoresde.io import checkpoint

    if last is None:
        patience = resolved.build("training").patience
        waited = checkpoint.metadata(folder / CHECKPOINT)["waited"]
        why = (
            f"training.patience = {patience} stopped it"
            if 0 < patience <= waited
            else "for a longer one set training.steps"
        )
        console.say(f"nothing to do: the run in {folder} has ended; {why}")
    else:
        console.say(
            f"{source.description}: loss {last.loss:.4g} after {last.seconds:.1f} s"
            f"{pace.overall(last)}"
        )
    console.say(f"model in {folder}; sample it with: scoresde sample {folder}")
    summary = asdict(last) if last is not None else {}
    digest = checkpoint.digest(folder / CHECKPOINT)
    console.result(
        {"folder": str(folder), "identity": source.identity, "digest": digest, **summary}
    )
