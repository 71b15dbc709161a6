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


@click.command("train")
@click.argument("configuration", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Run folder [default: runs/NAME].")
@click.option("--resume", is_flag=True, help="Go on from the run folder's checkpoint.")
@click.option("--force", is_flag=True, help="Replace the model that the run folder holds.")
@click.option("--dry-run", is_flag=True, help="Print the resolved configuration and stop.")
@settings_option
@device_option
@threads_option
@common
def command(
    configuration, out, resume, force, dry_run, settings, device, threads, console: Console
):
    """Train the network that CONFIGURATION (a .toml file) describes.

    Leaves a run folder: config.toml, checkpoint.safetensors, log.jsonl.
    """
    if resume and force:
        raise click.UsageError("--resume and --force exclude each other")
    from scoresde import config

    resolved = config.load(configuration, settings)
    for section in ("data", "process", "net", "objective", "training"):
        if section not in resolved:
            raise click.UsageError(
                f"{configuration} has no [{section}] section; training needs it"
            )
    if dry_run:
        console.show(config.to_toml(resolved.resolved()))
        console.result(resolved.resolved())
        return
    check_device(device)
    set_threads(threads, console)
    from scoresde.checkpointed import CHECKPOINT
    from scoresde.io import checkpoint
    from scoresde.training_run import begin_folder, prepare, resume_folder, train_in_folder

    data = resolved.build("data").load()
    prepare(resolved, data, device)  # what cannot be built is refused before there is a folder
    folder = out or Path("runs") / configuration.stem
    if resume:
        resume_folder(folder, resolved)
    else:
        begin_folder(folder, resolved, overwrite=force)
    last = None

    with console.progress("training", 1.0) as bar:

        def on_step(step) -> None:
            nonlocal last
            last = step
            bar(step.progress, f"step {step.step}  loss {step.loss:.4g}")

        try:
            source = train_in_folder(
                resolved, folder, data=data, device=device, resume=resume, on_step=on_step
            )
        except KeyboardInterrupt as error:
            if (folder / CHECKPOINT).exists():
                step = checkpoint.metadata(folder / CHECKPOINT)["step"]
                error.add_note(
                    f"step {step} is safe in {folder}; the same call with --resume goes on"
                )
            raise
    if last is not None:
        console.say(f"{source.description}: loss {last.loss:.4g} after {last.seconds:.1f} s")
    console.say(f"model in {folder}; sample it with: scoresde sample {folder}")
    summary = vars(last) if last is not None else {}
    console.result({"folder": str(folder), "identity": source.identity, **summary})
