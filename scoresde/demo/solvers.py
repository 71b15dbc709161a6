"""The solvers of the demo: who runs, at which budgets, on the same starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from scoresde import config
from scoresde.checkpointed import Source
from scoresde.generate import Request, generate
from scoresde.io.dump import Dump

BUDGETS = (5, 10, 20)  # evaluations
PAIRS = 200
REFERENCE_STEPS = 50  # of Heun, 99 evaluations
SOLVERS: dict[str, tuple[dict, Callable[[int], int]]] = {
    # section [sampler], and the steps that a budget of evaluations allows
    "ddim": ({"name": "ddim"}, lambda budget: budget),
    "dpmpp-2m": ({"name": "dpmpp-2m"}, lambda budget: budget),
    "heun": ({"name": "heun"}, lambda budget: (budget + 1) // 2),
    "flow-midpoint": (
        {"name": "torchdiffeq", "method": "midpoint"},
        lambda budget: budget // 2,
    ),
    "ancestral": ({"name": "ancestral"}, lambda budget: budget),
    "euler-maruyama": ({"name": "euler-maruyama"}, lambda budget: budget),
}
LANGEVIN = {"name": "annealed-langevin", "step_size": 0.1, "corrections": 10}
LANGEVIN_STEPS = 20


def method(sampler: dict, steps: int) -> config.Config:
    """A sampler on Karras's grid."""
    return config.from_tables({"sampler": sampler, "grid": {"name": "karras", "steps": steps}})


def reference(source: Source, path: Path, seed: int) -> Dump:
    """Starts of a seed on a fine grid: Heun's method at 99 evaluations."""
    request = Request(method=method({"name": "heun"}, REFERENCE_STEPS), n=PAIRS, seed=seed)
    return generate(source, request, path, overwrite=True)


def paired(source: Source, folder: Path, seed: int) -> Iterator[tuple[str, int, Dump]]:
    """(solver, budget, its dump) for every solver at every budget, then annealed Langevin."""
    for name, (sampler, steps_of) in SOLVERS.items():
        for budget in BUDGETS:
            request = Request(method=method(sampler, steps_of(budget)), n=PAIRS, seed=seed)
            path = folder / f"{name}-{budget}.h5"
            yield name, budget, generate(source, request, path, overwrite=True)
    budget = LANGEVIN_STEPS * LANGEVIN["corrections"]
    request = Request(method=method(LANGEVIN, LANGEVIN_STEPS), n=PAIRS, seed=seed)
    path = folder / f"annealed-langevin-{budget}.h5"
    yield "annealed-langevin", budget, generate(source, request, path, overwrite=True)
