"""What a fit will work on: data in model space, the estimator, a start; all that fits together."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from scoresde.config import Config
from scoresde.data import Dataset, Rows, Scaling, Table
from scoresde.data.arrays import Arrays
from scoresde.errors import CheckpointError, DataError, OptionError, UsageError, counted
from scoresde.estimators import Estimator, load
from scoresde.estimators.mixture.choose import Criterion, check_choice
from scoresde.io import checkpoint


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """An estimator and the rows x (n, *event) of the training split that it is to be fitted to.

    `given` are further keywords of its `fit`; of the sizes `ks` the criterion is to choose one.
    """

    settings: Config
    estimator: Estimator
    data: Dataset
    x: Tensor | Rows
    given: dict[str, object]
    ks: Sequence[int] = ()
    criterion: Criterion = "bic"

    def told(self) -> str:
        """What would run, in words."""
        data, name = self.data, self.settings.sections["fit"]["name"]
        shape = "x".join(map(str, data.event_shape))
        among = f", k one of {', '.join(map(str, self.ks))} by {self.criterion}" * bool(self.ks)
        return (
            f"{name} on {counted(len(self.x), 'row')} of {data.name} ({shape}), "
            f"{len(data.test)} held out{among}"
        )

    def facts(self) -> dict[str, object]:
        """The same in plain data."""
        return {
            "estimator": self.settings.sections["fit"]["name"],
            "rows": len(self.x),
            "held_out_rows": len(self.data.test),
            "event_shape": list(self.data.event_shape),
            "ks": list(self.ks),
        }


def planned(
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
) -> Plan:
    """Read the data of a fit, and refuse what can be refused before it.

    `estimator` and `data` stand in for what the settings would make. start: a fitted file from
    which the fit begins, where the estimator has such starts. n: the first n rows of the training
    split alone. ks: numbers of components among which the criterion is to choose.

    Raises `OptionError` for an n out of range, `UsageError` for a start that the estimator cannot
    take, `DataError` for data that cannot be read, and as the estimator's `check`.
    """
    estimator = estimator or settings.build("fit")
    data = data or _loaded(settings.build("data"), estimator)
    rows = len(data.train) if n is None else n
    if not 1 <= rows <= len(data.train):
        have = counted(len(data.train), "row")
        raise OptionError(
            f"n is at least 1 and at most the {have} of the training split of {data.name}, got {n}"
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
    if ks:
        check_choice(estimator, rows, ks, criterion)
    for each in (replace(estimator, k=k) for k in ks) if ks else (estimator,):
        each.check(rows, data.event_shape)
    given = {} if start is None else {"start": _start(start, estimator, data)}
    return Plan(
        settings=settings,
        estimator=estimator,
        data=data,
        x=x,
        given=given,
        ks=tuple(ks),
        criterion=criterion,
    )


def _loaded(reader, estimator: Estimator) -> Dataset:
    """The data set; missing entries pass where reader and estimator can do with them."""
    if estimator.takes_missing and isinstance(reader, Table | Arrays):
        return reader.load(missing=True)
    return reader.load()


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
    k = getattr(estimator, "k", None)
    if means is not None and k is not None and len(means) != k:
        have = counted(len(means), "component")
        raise UsageError(f"the start {path} has {have}, and k is {k}; set k to {len(means)}")
    for start in (model, model.density, means):
        if start is not None and isinstance(start, kinds):
            return start
    raise UsageError(
        f"{type(estimator).__name__} cannot start at the {type(model).__name__} in {path}; it "
        f"takes a {' or a '.join(k.__name__ for k in kinds if k is not type(None))}"
    )
