"""Plans and the loop that runs them: what is written, read and forgotten."""

import math
import weakref

import pytest
import torch
from sampling_tools import VARIANTS, grid

from scoresde.errors import OptionError
from scoresde.samplers import DDIM, AnnealedLangevin, DPMSolverPP2M, GridSampler, Heun, sample
from scoresde.samplers.plan import Combine, Tape, Term
from scoresde.score import ScoreModel


def test_the_executor_forgets_registers() -> None:
    """Beside the trajectory nothing may grow with the steps: the states die as they are used."""
    alive: list[int] = []
    references: list[weakref.ref] = []

    class Counting(ScoreModel):
        kind, event_shape = "x0", (2,)

        def forward(self, x, level):
            out = 0.5 * x
            references.append(weakref.ref(out))
            references.append(weakref.ref(x))
            alive.append(sum(r() is not None for r in references))
            return out

    for sampler in (DDIM(), Heun(), DPMSolverPP2M(), AnnealedLangevin()):
        alive.clear()
        references.clear()
        sample(Counting(), sampler, grid(steps=12), torch.zeros(2, 2).double())
        assert len(alive) >= 12
        assert max(alive) <= 5, type(sampler).__name__


def test_a_plan_has_float_coefficients_and_no_dead_instruction() -> None:
    for sampler in VARIANTS.values():
        if not isinstance(sampler, GridSampler):
            continue
        plan = sampler.plan(grid())
        written, read = set(), {plan.programs[-1].state}
        for program in plan.programs:
            for op in program.instructions:
                written.update(op.writes)
                read.update(op.reads)
                if isinstance(op, Combine):
                    assert all(type(c) is float and c != 0.0 for c in op.coefficients)
        assert written <= read
        assert read <= written | {0}


def test_terms_are_vectors() -> None:
    tape = Tape()
    x, y = Term({0: 1.0}), Term({1: 1.0})
    z = 2.0 * (x + y) - y / 4 + -x * 0.5
    assert z.parts == {0: 1.5, 1: 1.75}
    assert (0.0 * x).parts == {}
    with pytest.raises(OptionError, match="coefficient nan"):
        tape.settle(math.nan * x)
