"""The one loop that runs every plan."""

from __future__ import annotations

import torch
from torch import Tensor

from scoresde.errors import DataError, NonFiniteError
from scoresde.kernels import lincomb
from scoresde.result import Result
from scoresde.samplers.plan import STATE, Combine, Draw, Evaluate, Move, Plan
from scoresde.score import ScoreModel


def execute(
    plan: Plan, model: ScoreModel, x: Tensor, noise, ids: Tensor, trajectory: bool = False
) -> Result:
    """Run a plan on states x (batch, *event); raises `NonFiniteError` with step, level and ids.

    The loop asks nothing of the device: only the final state is looked at. If it is not finite,
    the run is made again with a look at every step, which the noise, being a function, allows.
    """
    states = [x] if trajectory else None
    final = _loop(plan, model, x, noise, ids, states, None)
    if not bool(torch.isfinite(final).all()):
        _loop(plan, model, x, noise, ids, None, _look)
        _look(plan.programs[-1].move, final, ids)
    nfe = torch.full((len(x),), plan.nfe, dtype=torch.int64)
    return Result(final, nfe, torch.stack(states, dim=1) if trajectory else None)


def _loop(plan: Plan, model, x, noise, ids, states, look) -> Tensor:
    registers: list[Tensor | None] = [None] * plan.registers
    registers[STATE] = x
    shape, dtype = tuple(x.shape[1:]), x.dtype
    last = {program.move.step: i for i, program in enumerate(plan.programs)}
    for i, program in enumerate(plan.programs):
        for op in program.instructions:
            if type(op) is Combine:
                registers[op.target] = lincomb(
                    op.coefficients, [registers[source] for source in op.sources]
                )
            elif type(op) is Evaluate:
                registers[op.target] = model.predict(registers[op.state], op.level, op.kind)
            elif type(op) is Draw:
                z = noise(op.step, op.purpose, ids, shape)
                if z.shape != x.shape:
                    raise DataError(
                        f"the noise source gives {tuple(z.shape)} for states {tuple(x.shape)}"
                    )
                registers[op.target] = z.to(dtype)
        if states is not None and last[program.move.step] == i:
            states.append(registers[program.state])
        if look is not None:
            look(program.move, registers[program.state], ids)
        for register in program.forget:
            registers[register] = None
    return registers[plan.programs[-1].state] if plan.programs else x


def _look(move: Move, x: Tensor, ids: Tensor) -> None:
    bad = ~torch.isfinite(x).flatten(1).all(dim=1)
    if bool(bad.any()):
        lost = ids[bad].tolist()
        shown = ", ".join(map(str, lost[:8])) + (", ..." if len(lost) > 8 else "")
        raise NonFiniteError(
            f"the state is not finite after step {move.step}, from sigma/alpha = "
            f"{move.source.noise_ratio:.6g} to {move.target.noise_ratio:.6g}, for {len(lost)} of "
            f"{len(ids)} samples (ids {shown}); take more steps, a later start (log_snr_min) or "
            "check the model there"
        )
