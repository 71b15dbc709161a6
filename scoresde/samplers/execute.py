"""The one loop that runs every plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from scoresde.errors import DataError, NonFiniteError
from scoresde.kernels import Key, lincomb
from scoresde.result import Result
from scoresde.samplers.compiled import APPLY, COMBINE, DRAW, EVALUATE, SCALE, compiled
from scoresde.samplers.plan import STATE, Move, Plan
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
    if not finite(final):
        _loop(plan, model, x, noise, ids, None, _look)
        _look(plan.programs[-1].move, final, ids)
    nfe = torch.full((len(x),), plan.nfe, dtype=torch.int64)
    return Result(final, nfe, torch.stack(states, dim=1) if trajectory else None)


def finite(x: Tensor) -> bool:
    """Whether no number of x is infinite or NaN.

    A finite sum says so in a twentieth of the time; one that overflows says nothing.
    """
    return bool(torch.isfinite(x.sum())) or bool(torch.isfinite(x).all())


def _loop(plan: Plan, model, x, noise, ids, states, look) -> Tensor:
    registers: list[Tensor | None] = [None] * plan.registers
    registers[STATE] = x
    states_shape, dtype = x.shape, x.dtype
    predict, normals = model.predict, _normals(plan.keys, noise, ids, x)
    for move, operations, state, ends, forget in compiled(plan):
        for code, target, a, b, c in operations:
            if code == COMBINE:
                registers[target] = lincomb(a, b(registers))
            elif code == EVALUATE:
                out = predict(registers[a], b, c)
                if out.shape != states_shape:
                    raise _misshapen(model, out, x)
                registers[target] = out if out.dtype is dtype else out.to(dtype)
            elif code == DRAW:
                registers[target] = next(normals)
            elif code == SCALE:
                registers[target] = lincomb(a, (registers[b],))
            elif code == APPLY:
                registers[target] = a(*[registers[source] for source in b])
            else:
                learned = ask(model, "predict_with_variance", "a learned variance")
                registers[target], registers[a.variance] = learned(
                    registers[a.state], a.level, a.to, a.kind
                )
        if states is not None and ends:
            states.append(registers[state])
        if look is not None:
            look(move, registers[state], ids)
        for register in forget:
            registers[register] = None
    return registers[plan.programs[-1].state] if plan.programs else x


def _misshapen(model, out: Tensor, x: Tensor) -> DataError:
    return DataError(
        f"{type(model).__name__} gives predictions {tuple(out.shape)} for states "
        f"{tuple(x.shape)}; let it give the shape of its states"
    )


def _normals(keys: Sequence[Key], noise, ids: Tensor, x: Tensor) -> Iterator[Tensor]:
    """The standard normals of each draw in turn, in the dtype of x.

    A source may offer `many`, which draws several at a time, and `increment`, which knows the
    Brownian path of each id; otherwise it is a function (step, purpose, ids, shape).
    """
    shape = tuple(x.shape[1:])
    if hasattr(noise, "many"):
        source = noise.many(keys, ids, shape, x.dtype)
    else:
        source = (_normal(key, noise, ids, shape) for key in keys)
    given, states, dtype = 0, x.shape, x.dtype
    for z in source:
        if z.shape != states:
            raise DataError(f"the noise source gives {tuple(z.shape)} for states {tuple(states)}")
        given += 1
        yield z if z.dtype is dtype else z.to(dtype)
    raise DataError(f"the noise source gives {given} normals where {len(keys)} are asked for")


def _normal(key: Key, noise, ids: Tensor, shape: tuple[int, ...]) -> Tensor:
    step, purpose, interval = key
    if interval is not None and hasattr(noise, "increment"):
        z = noise.increment(*interval, ids, shape)
    else:
        z = noise(step, purpose, ids, shape)
    if z is None:
        raise DataError(f"the noise source gives nothing for step {step}, purpose {purpose}")
    return torch.as_tensor(z, device=ids.device)


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
