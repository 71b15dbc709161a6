"""A plan as the loop reads it: one tuple an instruction, made once a plan."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter

from scoresde.samplers.plan import Apply, Combine, Draw, Evaluate, Move, Plan

COMBINE, EVALUATE, DRAW, SCALE, APPLY, EVALUATE_WITH_VARIANCE = range(6)

Operation = tuple[int, int, object, object, object]
"""(code, the register written, and what that code needs)."""

Compiled = tuple[tuple[Move, tuple[Operation, ...], int, bool, tuple[int, ...]], ...]
"""For each program (move, operations, state, whether its interval ends here, what to forget)."""


@lru_cache(maxsize=32)
def compiled(plan: Plan) -> Compiled:
    last = {program.move.step: i for i, program in enumerate(plan.programs)}
    return tuple(
        (
            program.move,
            tuple(map(_operation, program.instructions)),
            program.state,
            last[program.move.step] == i,
            program.forget,
        )
        for i, program in enumerate(plan.programs)
    )


def _operation(op: Evaluate | Draw | Combine | Apply) -> Operation:
    if isinstance(op, Combine):
        return _combination(op.target, op.coefficients, op.sources)
    if isinstance(op, Draw):
        return (DRAW, op.target, None, None, None)
    if isinstance(op, Apply):
        return (APPLY, op.target, op.function, op.sources, None)
    if op.variance is None:
        return (EVALUATE, op.target, op.state, op.level, op.kind)
    return (EVALUATE_WITH_VARIANCE, op.target, op, None, None)


def _combination(target: int, coefficients: tuple[float, ...], sources: tuple[int, ...]):
    if len(sources) == 1:
        return (SCALE, target, coefficients, sources[0], None)
    gather: Callable[[list], tuple] = itemgetter(*sources)
    return (COMBINE, target, coefficients, gather, None)
