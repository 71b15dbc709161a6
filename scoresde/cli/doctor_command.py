"""scoresde doctor"""

from __future__ import annotations

import os
import shutil
import tempfile

import click

from scoresde.cli.console import Console, common


@click.command("doctor")
@common
def command(console: Console):
    """Tell versions, cores, threads, precision, free disk, and whether the essentials work."""
    import torch

    from scoresde.errors import ScoresdeError
    from scoresde.io.provenance import provenance
    from scoresde.threads import fastest_threads
    from scoresde.training.options import multiplies_in_bfloat16

    known = provenance()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts = {
        **known["versions"],
        "git_revision": known["git_revision"],
        "platform": known["platform"],
        "cores": cores,
        "load": round(os.getloadavg()[0], 2),
        "threads_that_pay": fastest_threads(),
        "cpu_bfloat16": multiplies_in_bfloat16(torch.device("cpu")),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "free_disk_gib": round(shutil.disk_usage(".").free / 2**30, 1),
    }
    failures = []
    for name, trial in (("noise", _noise), ("sampling", _sampling), ("dump", _dump)):
        try:
            trial()
            facts[name] = "works"
        except (ScoresdeError, AssertionError, OSError, RuntimeError) as error:
            facts[name] = f"FAILS: {error}"
            failures.append(name)
    for name, value in facts.items():
        console.show(f"{name:<18}{value}")
    console.result(facts)
    return 1 if failures else 0


def _noise() -> None:
    import torch

    from scoresde.kernels import philox

    zero = torch.zeros(1, dtype=torch.int64)
    words = [int(w) for w in philox(zero, zero, zero, zero, 0, 0)]
    if words != [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]:
        raise AssertionError(f"Philox gives {words} for the zero counter")


def _sampling() -> None:
    import torch

    from scoresde.densities import Gaussian
    from scoresde.processes import EDM
    from scoresde.samplers import DPMSolverPP2M, sample
    from scoresde.samplers.grids import Karras
    from scoresde.score import ExactScore

    model = ExactScore(Gaussian(mean=[1.0], covariance=[[4.0]]))
    levels = Karras(steps=20).levels(EDM())
    x = torch.full((1, 1), levels[0].sigma, dtype=torch.float64)
    end = float(sample(model, DPMSolverPP2M(), levels, x).x)
    if not 2.0 < end < 4.0:  # the flow takes a start at one standard deviation to about 3
        raise AssertionError(f"a Gaussian's flow ends at {end}, not near 3")


def _dump() -> None:
    import numpy as np

    from scoresde.io import dump

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "trial.h5")
        with dump.create(path, attributes={}, rows=2, event_shape=(3,)) as writer:
            writer.write(0, samples=np.ones((2, 3), np.float32), nfe=1)
        if not dump.read(path).complete:
            raise AssertionError("a dump written here does not read back whole")
