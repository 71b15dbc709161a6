"""The one loop that runs every plan."""

from __future__ import annotations

import torch
from torch import Tensor

from scoresde.errors import DataError, NonFiniteError
from scoresde.kernels import lincomb
from scoresde.result import Result
from scoresde.samplers.plan import STATE, Apply, Combine, Draw, Evaluate, Move, Plan
from scoresde.score import ScoreModel, ask


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
    last = {program.move.step: i for i, program in enumerate(plan.programs)}
    for i, program in enumerate(plan.programs):
        for op in program.instructions:
            kind = type(op)
            if kind is Combine:
                registers[op.target] = lincomb(
                    op.coefficients, [registers[source] for source in op.sources]
                )
            elif kind is Evaluate and op.variance is None:
                registers[op.target] = model.predict(registers[op.state], op.level, op.kind)
            elif kind is Evaluate:
                predict = ask(model, "predict_with_variance", "a learned variance")
                pair = predict(registers[op.state], op.level, op.to, op.kind)
                registers[op.target], registers[op.variance] = pair
            elif kind is Apply:
                registers[op.target] = op.function(*(registers[source] for source in op.sources))
            else:
                registers[op.target] = _normal(op, noise, ids, x)
        if states is not None and last[program.move.step] == i:
            states.append(registers[program.state])
        if look is not None:
            look(program.move, registers[program.state], ids)
        for register in program.forget:
            registers[register] = None
    return registers[plan.programs[-1].state] if plan.programs else x


def _normal(op: Draw, noise, ids: Tensor, x: Tensor) -> Tensor:
    """The standard normals of a draw, in the dtype of x."""
    shape = tuple(x.shape[1:])
    if op.interval is not None and hasattr(noise, "increment"):
        z = noise.increment(*op.interval, ids, shape)
    else:
        z = noise(op.step, op.purpose, ids, shape)
    if z.shape != x.shape:
        raise DataError(f"the noise source gives {tuple(z.shape)} for states {tuple(x.shape)}")
    return z.to(x.dtype)


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
