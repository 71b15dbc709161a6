"""A training run small enough to be made again and again."""

from __future__ import annotations

from dataclasses import replace

import torch

from scoresde import config
from scoresde.data import Dataset, Scaling
from scoresde.runs import prepare
from scoresde.training import Step, TrainingState


def settings(**sections) -> config.Config:
    """A tiny network on moons; tables given are laid over it, or replace one of another name."""
    tables = {
        "seed": 3,
        "data": {"name": "moons", "n_train": 50, "n_test": 10},
        "process": {"name": "edm"},
        "net": {"name": "mlp", "width": 8, "blocks": 1},
        "objective": {"name": "denoising"},
        "training": {"steps": 20, "batch": 16, "warm_up": 4},
    }
    for name, table in sections.items():
        if not isinstance(table, dict):
            tables[name] = table
            continue
        below = tables.get(name, {})
        if table.get("name", below.get("name")) != below.get("name"):
            below = {}
        tables[name] = {**below, **table}
    return config.from_tables(tables)


def steps_of(chosen: config.Config, state=None, data=None):
    """(state, generator of steps) of a run, from its beginning or from a state."""
    clean = chosen.build("data").load()
    run = prepare(chosen, clean, "cpu")
    if state is not None:
        state(run.state)
    return run.state, replace(run, data=data or clean).steps()


def run(chosen: config.Config) -> tuple[TrainingState, list[Step]]:
    state, steps = steps_of(chosen)
    return state, list(steps)


def weights(state: TrainingState) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in state.net.parameters()])


def averaged(state: TrainingState) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in state.ema.parameters()])


def dataset(train_split: torch.Tensor) -> Dataset:
    return Dataset(
        name="given", train=train_split, test=train_split, scaling=Scaling(), attribution=""
    )


def with_a_hole(data: Dataset, row: int) -> Dataset:
    """The same data with NaN in one row."""
    train_split = data.train.clone()
    train_split[row] = torch.nan
    return dataset(train_split)
