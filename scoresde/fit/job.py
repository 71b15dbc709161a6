"""The fit itself: data in model space, the model, and how well it does on both splits."""

from __future__ import annotations

import inspect
import time
import typing
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from scoresde.config import Config
from scoresde.data import Dataset, Scaling
from scoresde.errors import CheckpointError, DataError, OptionError, UsageError
from scoresde.estimators import Estimator, Fitted, load
from scoresde.estimators.base import OnIteration
from scoresde.estimators.mixture.choose import Choice, Criterion, OnCandidate, choose
from scoresde.fit.likelihood import Likelihood, likelihood
from scoresde.io import checkpoint
from scoresde.io.provenance import provenance


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitting:
    """A fitted model, what it was fitted to, and its likelihood on both splits of the data."""

    settings: Config
    data: Dataset
    rows: int  # of the training split that were fitted to
    model: Fitted
    train: Likelihood
    held_out: Likelihood
    seconds: float  # of the fit alone
    choice: Choice | None = None  # where k was chosen among several

    @property
    def name(self) -> str:
        return self.settings.sections["fit"]["name"]

    def figures(self) -> dict:
        """The fit in plain data: what a file keeps of it, and what a report tells."""
        model, choice = self.model, {}
        if self.choice is not None:
            table = [asdict(candidate) for candidate in self.choice.table]
            choice = {"choice": {"criterion": self.choice.criterion, "candidates": table}}
        return {
            "rows": self.rows,
            "held_out": asdict(self.held_out),
            "train": asdict(self.train),
            "iterations": model.iterations,
            "converged": model.converged,
            "objective": model.trace[-1] if model.trace else None,
            "facts": model.facts(),
            **choice,
        }

    def metadata(self) -> dict:
        """What a file must carry beside the model, for `open_source` and for a reader."""
        data = self.data
        return {
            "config": self.settings.resolved(),
            "data": data.name,
            "event_shape": list(data.event_shape),
            "scaling": data.scaling.to_dict(),
            "class_names": list(data.class_names),
            "attribution": data.attribution,
            "data_fingerprint": data.fingerprint,
            "figures": self.figures(),
            "threads": torch.get_num_threads(),
            "provenance": provenance(),
        }


def carry_out(
    settings: Config,
    *,
    estimator: Estimator | None = None,
    data: Dataset | None = None,
    start: str | Path | None = None,
    n: int | None = None,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    ks: Sequence[int] = (),
    criterion: Criterion = "bic",
    on_iteration: OnIteration | None = None,
    on_candidate: OnCandidate | None = None,
) -> Fitting:
    """Fit the estimator of [fit] to the training split of [data], and judge it on the other.

    The fit is in model space, as a network's training is. `estimator` and `data` stand in for
    what the settings would make. start: a fitted file from which the fit begins, where the
    estimator has such starts. n: the first n rows of the training split alone. ks: numbers of
    components among which the criterion chooses (`choose`), on the training split.

    Raises `OptionError` for an n out of range, `UsageError` for a start that the estimator cannot
    take, and as the estimator's `fit`.
    """
    estimator = estimator or settings.build("fit")
    data = data or settings.build("data").load()
    rows = len(data.train) if n is None else n
    if not 1 <= rows <= len(data.train):
        raise OptionError(
            f"n is at least 1 and at most the {len(data.train)} rows of the training split of "
            f"{data.name}, got {n}"
        )
    x = data.train if rows == len(data.train) else data.train[:rows]
    if isinstance(x, Tensor):
        x = x.to(device=device, dtype=dtype)
    elif device != "cpu" or dtype != torch.float32:
        raise UsageError(
            "rows that are read from a file as they are needed are float32 on the CPU; set "
            "data.lazy=false, or leave --device and --dtype out"
        )
    if ks and start is not None:
        raise UsageError("a start has its own k; leave it out to choose among several")
    given = {} if start is None else {"start": _start(start, estimator, data)}
    begun, choice, seed = time.perf_counter(), None, settings.seed
    if ks:
        rule = {"ks": ks, "criterion": criterion, "seed": seed, "on_candidate": on_candidate}
        choice = choose(estimator, x, **rule)
        model = choice.model
        settings = settings.replace("fit", {**settings.sections["fit"], "k": choice.k})
    else:
        model = estimator.fit(x, seed=seed, on_iteration=on_iteration, **given)
    seconds = time.perf_counter() - begun
    where = {"scaling": data.scaling, "device": device}
    return Fitting(
        settings=settings,
        data=data,
        rows=rows,
        model=model,
        train=likelihood(model.density, x, **where),
        held_out=likelihood(model.density, data.test, **where),
        seconds=seconds,
        choice=choice,
    )


def _start(path: str | Path, estimator: Estimator, data: Dataset):
    """What the estimator's `start` takes of a fitted file, in the model space of these data.

    By its annotation: the fitted model, its density, or a tensor of centres.
    """
    fit = type(estimator).fit
    if "start" not in inspect.signature(fit).parameters:
        raise UsageError(f"{type(estimator).__name__} takes no start; leave --start out")
    metadata = checkpoint.metadata(path)
    model = load(path)
    if tuple(model.event_shape) != data.event_shape:
        raise DataError(
            f"the start {path} is a model of events of shape {tuple(model.event_shape)}, the data "
            f"set {data.name!r} has {data.event_shape}"
        )
    try:
        scaling = Scaling.from_dict(metadata.get("scaling", Scaling().to_dict()))
    except DataError as error:
        raise CheckpointError(f"the start {path}: {error}") from None
    if scaling != data.scaling:
        raise UsageError(
            f"the start {path} was fitted under another scaling of the data ({scaling}) than "
            f"{data.name!r} has ({data.scaling}); start from a fit to the same training split"
        )
    taken = typing.get_type_hints(fit)["start"]
    kinds = tuple(kind for kind in (*typing.get_args(taken), taken) if isinstance(kind, type))
    means = getattr(model.density, "means", None)
    for start in (model, model.density, means):
        if start is not None and isinstance(start, kinds):
            return start
    raise UsageError(
        f"{type(estimator).__name__} cannot start at the {type(model).__name__} in {path}; it "
        f"takes a {' or a '.join(k.__name__ for k in kinds if k is not type(None))}"
    )
