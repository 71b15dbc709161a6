"""How good the samples of a trained run are: denoising by level, distances with floors, a picture.

    python tools/quality.py runs/fashion_mnist --classifier runs/fashion_classifier

Writes docs/quality.md and docs/quality.png. Distances are taken in the pixels and in the features
of a classifier trained by the same loop (the input of its last layer at the smallest noise); each
stands beside its floor, that of as many training images against the test split.
"""

from __future__ import annotations

import platform
from pathlib import Path

import click
import numpy as np
import torch

import scoresde
from scoresde.checkpointed import Source, open_source
from scoresde.compare import Comparison, compare
from scoresde.compare.report import report
from scoresde.compare.tables import text_cells
from scoresde.config import from_tables
from scoresde.data import Dataset
from scoresde.demo.baselines import denoising_errors, fitted
from scoresde.generate import Request, generate
from scoresde.io import checkpoint

DOCS = Path(__file__).parents[1] / "docs"
SIGMAS = (0.05, 0.1, 0.3, 0.5, 1.0, 2.0)
METRICS = ["sliced-w1", "energy", "frechet"]
BASELINE_ROWS, HELD_OUT_ROWS = 4000, 1000  # what exact baselines are fitted on and judged by


def features(source: Source, x: torch.Tensor) -> np.ndarray:
    """What the classifier's last layer sees of images (n, *event) at its smallest noise."""
    kept: list[torch.Tensor] = []
    hook = source.model.net.leave.register_forward_pre_hook(lambda _, given: kept.append(given[0]))
    level = source.process.at(source.process.t_min)
    device = next(source.model.net.parameters()).device
    with torch.no_grad():
        for part in x.split(500):
            source.model.log_prob(part.to(device), level)
    hook.remove()
    return torch.cat(kept).cpu().numpy()


def accuracy(source: Source, x: torch.Tensor, labels: torch.Tensor) -> float:
    level = source.process.at(source.process.t_min)
    device = next(source.model.net.parameters()).device
    with torch.no_grad():
        found = [source.model.log_prob(p.to(device), level).argmax(1).cpu() for p in x.split(500)]
    return float((torch.cat(found) == labels).double().mean())


def distances(x: torch.Tensor, data: Dataset, judge: Source) -> dict[str, Comparison]:
    """Samples in model space against the test split, with the training split for the floor."""
    test, train = data.test[: len(x)], data.train[: len(x)]
    views = {"pixels": lambda v: v.numpy(), "features": lambda v: features(judge, v)}
    return {
        name: compare(
            view(test), {"samples": view(x)}, second=view(train), metrics=METRICS, resamples=100
        )
        for name, view in views.items()
    }


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True))
@click.option("--classifier", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--n", default=5000, show_default=True, help="Number of samples.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(run: Path, classifier: Path, n: int, device: str, seed: int) -> None:
    """Judge RUN and write docs/quality.md and docs/quality.png."""
    source, judge = (open_source(path, device=device) for path in (run, classifier))
    data = source.config.build("data").load()
    method = from_tables({k: source.config.sections[k] for k in ("sampler", "grid")})
    label = "all" if source.model.classes else None
    request = Request(method=method, n=n, batch=500, seed=seed, device=device, label=label)
    made = generate(source, request, run / "quality.h5", overwrite=True)
    x = torch.from_numpy(source.scaling.apply(made.samples))
    some = data.train[:BASELINE_ROWS]
    baselines = fitted(some, ("Gaussian", "KDE"))
    held_out = data.test[:HELD_OUT_ROWS]
    cpu = open_source(run)
    rows = denoising_errors(cpu.model, baselines, held_out, SIGMAS, repeats=1)
    found = distances(x, data, judge)
    chip = torch.cuda.get_device_name() if device != "cpu" else platform.processor() or "CPU"
    described = checkpoint.metadata(run / "checkpoint.safetensors")
    seconds = described["seconds"] or float("nan")
    parts = [
        "# Quality of samples",
        f"{source.description} ({chip}, torch {torch.__version__}, scoresde "
        f"{scoresde.__version__}, {seconds:.0f} s of training where the clock bounded it); {n} "
        f"samples at {float(np.mean(made.nfe)):.0f} evaluations. Written by "
        f"`python tools/quality.py {run} --classifier {classifier} --n {n}`.",
        "![samples](quality.png)",
        "## Denoising of held-out images, by level",
        "Mean square of x0_hat - x a pixel; the advantage over the better baseline is paired. "
        f"The baselines are fitted to {len(some)} training images.",
        table(
            ["sigma", "network", "Gaussian", "KDE", "advantage", "its standard error"],
            [
                [f"{r.sigma:g}", f"{r.network:.4f}"]
                + [f"{r.baselines[k]:.4f}" for k in ("Gaussian", "KDE")]
                + [f"{r.advantage:+.4f}", f"{r.standard_error:.4f}"]
                for r in rows
            ],
        ),
        "## Distances to the test split",
        "The classifier whose features are taken names "
        f"{accuracy(judge, data.test, data.test_labels):.1%} of the test images rightly.",
    ]
    for name, comparison in found.items():
        head, cells = text_cells(comparison)
        head = [column.replace("pixel ", "") for column in head]
        parts += [f"In {name}:", table(head, cells)]
    (DOCS / "quality.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    shown = {
        "test images": data.scaling.undo(data.test[:64]).numpy(),
        "samples": made.samples[:64],
    }
    report(DOCS / "quality.png", grids=shown, title="Samples", subtitle=source.description)
    click.echo(f"wrote {DOCS / 'quality.md'} and {DOCS / 'quality.png'}")


if __name__ == "__main__":
    main()
