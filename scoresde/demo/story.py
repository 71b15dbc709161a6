"""From an empty folder to a report: train, sample, compare, draw."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from scoresde import config
from scoresde.checkpointed import Source
from scoresde.compare import Comparison, compare
from scoresde.compare.comparison import NEAREST
from scoresde.compare.report import report
from scoresde.compare.tables import text_cells
from scoresde.config import Config
from scoresde.data import Dataset
from scoresde.demo import solvers
from scoresde.demo.baselines import DenoisingRow, denoising_errors, fitted
from scoresde.densities import Density
from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.generate import Request, generate
from scoresde.io.dump import Dump
from scoresde.runs import begin_folder, prepare, train_in_folder
from scoresde.threads import StallGuard, fastest_threads
from scoresde.training import Step

DEMOS = ("digits", "moons")
SIGMAS = (0.1, 0.3, 0.5, 1.0, 2.0)
JUDGED = (0.1, 0.3, 0.5)
SAMPLES = 2000
SHOWN = 36


@dataclass(frozen=True)
class Claim:
    """One thing that the demo promises, and whether it held."""

    text: str
    held: bool


@dataclass
class Outcome:
    """Everything that the demo found."""

    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)
    denoising: list[DenoisingRow] = field(default_factory=list)
    samples: Comparison | None = None
    comparison: Comparison | None = None
    claims: list[Claim] = field(default_factory=list)

    def to_dict(self) -> dict:
        """All of it in JSON's types."""
        return {
            "folder": str(self.folder),
            "seconds": self.seconds,
            "denoising": [{**asdict(r), "in_errors": r.in_errors} for r in self.denoising],
            "samples": self.samples.to_dict() if self.samples else None,
            "comparison": self.comparison.to_dict() if self.comparison else None,
            "claims": [asdict(claim) for claim in self.claims],
        }


def demo_settings(name: str, overrides: tuple[str, ...] = ()) -> Config:
    """The configuration of a demo, from the file beside this one."""
    if name not in DEMOS:
        raise OptionError(unknown("demo", name, list(DEMOS)))
    return config.load(Path(__file__).with_name(f"{name}.toml"), overrides)


def tell(
    settings: Config,
    folder: Path,
    *,
    overwrite: bool = False,
    threads: int | None = None,
    progress: Callable | None = None,
    phase: Callable[[str, float], None] | None = None,
) -> Outcome:
    """Run the demo in a folder.

    `threads` CPU threads train the network; None tries one and all. `progress(what, total)` opens
    a bar, `phase(name, seconds)` is told of each finished phase.
    """
    outcome = Outcome(begin_folder(folder, settings, overwrite=overwrite))
    bar = progress or _no_bar

    @contextmanager
    def timed(name: str):
        begun = time.monotonic()
        yield
        outcome.seconds[name] = time.monotonic() - begun
        if phase is not None:
            phase(name, outcome.seconds[name])

    with timed("data and baselines"):
        data = settings.build("data").load()
        baselines = fitted(data.train, seed=settings.seed)
    with timed("training"), bar("training", 1.0) as update:
        source = _train(settings, outcome.folder, data, threads, update)
    with timed("denoising"):
        outcome.denoising = denoising_errors(source.model, baselines, data.test, SIGMAS)
    with timed(f"{SAMPLES} samples"), bar("sampling", SAMPLES) as update:
        request = Request(method=_method(settings), n=SAMPLES, batch=500, seed=settings.seed)
        path = outcome.folder / "samples.h5"
        made = generate(source, request, path, overwrite=True, progress=update)
    with timed("solvers side by side"):
        truth, second, runs = _side_by_side(source, outcome.folder, settings.seed + 1, bar)
    with timed("comparison"):
        outcome.samples = _judge(made, baselines, data, settings.seed)
        candidates = {f"{name} {budget}": dump for name, budget, dump in runs}
        outcome.comparison = compare(truth, candidates, second=second)
    outcome.claims = _claims(outcome, images=len(data.event_shape) == 3)
    with timed("report"):
        _draw(outcome, data, made, truth, runs)
        (outcome.folder / "report.json").write_text(json.dumps(outcome.to_dict(), indent=1))
    return outcome


@contextmanager
def _no_bar(what: str, total: float):
    yield lambda done, note="": None


def _train(settings: Config, folder: Path, data: Dataset, threads: int | None, update) -> Source:
    """Train, with as many threads as a few steps on a copy show to pay off just now."""
    torch.set_num_threads(threads or fastest_threads(_trial_step(settings, data)))
    guard, before = StallGuard(), 0.0

    def on_step(step: Step) -> None:
        nonlocal before
        guard.told(step.seconds - before)
        before = step.seconds
        update(step.progress, f"step {step.step}  loss {step.loss:.4f}")

    return train_in_folder(settings, folder, data=data, on_step=on_step)


def _trial_step(settings: Config, data: Dataset) -> Callable[[], Step]:
    """One more training step of a copy, at each call."""
    steps = prepare(settings, data, "cpu").steps()
    return lambda: next(steps)


def _method(settings: Config) -> Config:
    return config.from_tables({k: settings.sections[k] for k in ("sampler", "grid")})


def _side_by_side(source: Source, folder: Path, seed: int, bar):
    place = folder / "solvers"
    place.mkdir(exist_ok=True)
    total = len(solvers.SOLVERS) * len(solvers.BUDGETS) + 3
    with bar("solvers", total) as update:
        truth = solvers.reference(source, place / "reference.h5", seed)
        update(1, "reference")
        second = solvers.reference(source, place / "reference-2.h5", seed + 1)
        update(2, "second reference")
        runs = []
        for name, budget, made in solvers.paired(source, place, seed):
            runs.append((name, budget, made))
            update(2 + len(runs), f"{name} {budget}")
    return truth, second, runs


def _judge(made: Dump, baselines: dict[str, Density], data: Dataset, seed: int) -> Comparison:
    """The network's samples and the baselines' own against held-out data, in model space.

    The floor is of the training data, an independent sample of the same law.
    """
    ids = torch.arange(len(made.samples))
    drawn = {name: density.sample(ids, seed).numpy() for name, density in baselines.items()}
    return compare(
        data.test.numpy(),
        {"network": data.scaling.apply(made.samples), **drawn},
        second=data.train.numpy(),
        train=data.train.numpy(),
        metrics=["sliced-w1", "energy", "frechet"],
        seed=seed,
    )


def _claims(outcome: Outcome, *, images: bool) -> list[Claim]:
    claims = [
        Claim(
            f"denoises held-out data better than the best baseline at sigma {row.sigma:g} "
            f"by more than 3 paired standard errors ({row.in_errors:+.1f})",
            row.in_errors > 3.0,
        )
        for row in outcome.denoising
        if row.sigma in JUDGED and images
    ]
    found = outcome.samples.rows[0].entries
    ratio, frechet = (found[name].estimate.value for name in (NEAREST, "frechet"))
    claims.append(Claim(f"does not copy: nearest-training ratio {ratio:.2f} >= 0.9", ratio >= 0.9))
    if images:
        claims.append(Claim(f"pixel Fréchet {frechet:.3f} <= 0.60 to test", frechet <= 0.60))
    return claims


def _draw(outcome: Outcome, data: Dataset, made: Dump, truth: Dump, runs) -> None:
    grids = {
        "held-out data": data.scaling.undo(data.test).numpy(),
        f"reference, {int(truth.nfe[0])}": truth.samples,
    }
    for name, budget, dump in runs:
        if budget >= max(solvers.BUDGETS):
            grids[f"{name}, {int(dump.nfe[0])}"] = dump.samples
    images = truth.samples.ndim == 4
    report(
        outcome.folder / "report.png",
        grids={name: x[:SHOWN] if images else x for name, x in grids.items()},
        errors=outcome.comparison.errors(),
        title=f"scoresde demo: {data.name}",
        subtitle=f"one network, the same {len(truth.samples)} starts for every solver; "
        "error against a fine grid; numbers are model evaluations",
        table=text_cells(outcome.comparison),
    )
