"""scoresde train"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
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
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard scalars to RUN/tensorboard.")
@settings_option
@device_option
@threads_option
@common
def command(
    configuration,
    out,
    resume,
    force,
    dry_run,
    tensorboard,
    settings,
    device,
    threads,
    console: Console,
):
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
    check_device(device)
    from scoresde.checkpointed import CHECKPOINT
    from scoresde.io import checkpoint
    from scoresde.runs import begin_folder, prepare, resume_folder, threads_of, train_in_folder

    folder = out or Path("runs") / configuration.stem
    kept = threads_of(folder) if resume else None
    used = set_threads(threads or kept, console)
    if kept not in (None, used):
        console.warn(
            f"the run in {folder} was trained on {kept} CPU threads until here: on {used} sums "
            f"are rounded in another order, and it ends in other bits than on {kept} throughout"
        )
    data = resolved.build("data").load()
    prepare(resolved, data, device)  # what cannot be built is refused before there is a folder
    if resume:
        resume_folder(folder, resolved, console.warn)
    else:
        begin_folder(folder, resolved, overwrite=force)
    last = None
    pace = Pace(resolved.build("training").batch)

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
                device=device,
                resume=resume,
                board=tensorboard,
                on_step=on_step,
            )
        except KeyboardInterrupt as error:
            if (folder / CHECKPOINT).exists():
                step = checkpoint.metadata(folder / CHECKPOINT)["step"]
                error.add_note(
                    f"step {step} is safe in {folder}; the same call with --resume goes on"
                )
            raise
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
        rate = pace.overall(last)
        told = "" if math.isnan(rate) else f", {rate:.4g} rows/s"
        console.say(f"{source.description}: loss {last.loss:.4g} after {last.seconds:.1f} s{told}")
    console.say(f"model in {folder}; sample it with: scoresde sample {folder}")
    summary = asdict(last) if last is not None else {}
    digest = checkpoint.digest(folder / CHECKPOINT)
    console.result(
        {"folder": str(folder), "identity": source.identity, "digest": digest, **summary}
    )


@dataclass
class Pace:
    """Rows trained on in a second, over about the last two seconds and over all."""

    batch: int
    window: float = 2.0
    first: tuple[int, float] | None = None
    mark: tuple[int, float] | None = None
    rate: float = math.nan

    def told(self, step) -> str:
        now = (step.step, step.seconds)
        self.first = self.first or now
        self.mark = self.mark or now
        steps, seconds = now[0] - self.mark[0], now[1] - self.mark[1]
        if steps and (seconds >= self.window or math.isnan(self.rate)) and seconds > 0.0:
            self.rate, self.mark = self.batch * steps / seconds, now
        return "" if math.isnan(self.rate) else f"{self.rate:.4g} rows/s"

    def overall(self, step) -> float:
        steps, seconds = step.step - self.first[0], step.seconds - self.first[1]
        return self.batch * steps / seconds if seconds > 0.0 else math.nan
