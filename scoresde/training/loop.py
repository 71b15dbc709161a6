"""The training loop, a generator of steps."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from scoresde.data import Dataset
from scoresde.errors import NonFiniteError
from scoresde.objectives import Objective
from scoresde.processes import Process
from scoresde.score import ScoreModel
from scoresde.training.batches import Batches
from scoresde.training.options import Training
from scoresde.training.state import TrainingState
from scoresde.training.validation import Validation, validate

HELD_OUT = 0x5EED  # distance of the validation's seed from the training's
_SMALLEST_SCALE = 2.0**-10


@dataclass(frozen=True)
class Step:
    """What one step did."""

    step: int  # steps made so far
    loss: float  # mean over the batch, before the update
    gradient_norm: float  # before clipping
    learning_rate: float
    progress: float  # in (0, 1], by steps or by the clock
    seconds: float  # since the run began; where time is bounded, over all its parts
    validation: Validation | None = None  # where this step was followed by one
    best: bool = False  # whether that was the best so far


def train(
    state: TrainingState,
    model: ScoreModel,
    objective: Objective,
    process: Process,
    data: Dataset,
    options: Training,
    seed: int = 0,
) -> Iterator[Step]:
    """Train `model`, whose network is `state.net`, on the training split, in model space.

    Batches, times, noise and dropout are functions of (seed, step). Raises `NonFiniteError` at
    the first loss or gradient that is not finite, before it touches the weights; under float16
    once the loss scale has nothing left to give.
    """
    bound = options.seconds or math.inf
    begun = time.monotonic() - state.seconds
    batches, held_out = _batches(state, model, data, options, seed)
    state.train_mode(True)
    progress = max(state.step / options.steps, state.seconds / bound)
    while progress < 1.0 and not _exhausted(state, options):
        k = state.step
        state.optimizer.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=state.device)
        for number, (draws, x, condition) in enumerate(batches.parts(k)):
            bound_model = model.given(condition) if condition is not None else model
            with _keyed(seed, k, number, state.device), options.autocast(state.device):
                total = objective.losses(bound_model, process, x, draws).sum() / options.batch
            state.scaler.scale(total).backward()
            loss += total.detach()
        state.scaler.unscale_(state.optimizer)
        norm = state.clip(options.clip)
        rate = options.rate(k, progress)
        value, norm = torch.stack([loss.to(norm.dtype), norm]).tolist()
        _check(value, norm, k, rate, state.scaler)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.step = k + 1
        state.average()
        found = best = None
        if options.validation_steps and state.step % options.validation_steps == 0:
            found = _held_out_loss(state, model, objective, process, held_out)
            best = found.loss < state.best
            state.best = min(state.best, found.loss)
            state.waited = 0 if best else state.waited + 1
        seconds = time.monotonic() - begun
        state.seconds = seconds if options.seconds else 0.0
        progress = max(state.step / options.steps, seconds / bound)
        done = 1.0 if _exhausted(state, options) else min(progress, 1.0)
        yield Step(state.step, value, norm, rate, done, seconds, found, bool(best))
    state.train_mode(False)


def _exhausted(state: TrainingState, options: Training) -> bool:
    return 0 < options.patience <= state.waited


def _batches(state, model, data, options: Training, seed: int) -> tuple[Batches, Batches]:
    """Those to train on, and those held out, under a seed of their own."""
    conditional = bool(model.classes or model.features)
    judged = getattr(model, "kind", "") == "class"  # a classifier is never without its labels
    training = Batches(
        data,
        options.batch,
        seed,
        state.device,
        split=options.accumulate,
        conditional=conditional,
        label_dropout=0.0 if judged else options.label_dropout,
    )
    rows = min(len(data.test), options.validation_rows)
    held_out = Batches(
        data,
        rows,
        (seed + HELD_OUT) % 2**32,
        state.device,
        split=-(-rows // options.batch),
        conditional=conditional,
        held_out=True,
    )
    return training, held_out


def _held_out_loss(state, model, objective, process, held_out: Batches) -> Validation:
    """The held-out loss of the first average."""
    averaged = state.averages[state.rules[0].label]
    judged = copy.copy(model)
    judged.net = averaged["net"]
    process = judged.process = averaged.get("process", process)
    state.train_mode(False)
    found = validate(judged, objective, process, held_out, state.step)
    state.train_mode(True)
    return found


@contextmanager
def _keyed(seed: int, step: int, part: int, device: torch.device) -> Iterator[None]:
    """torch's own generator, from which dropout draws, keyed by (seed, step, part), given back."""
    source = torch.default_generator
    if device.type == "cuda":
        source = torch.cuda.default_generators[device.index or 0]
    before = source.get_state()
    # the CPU's generator heeds the low 32 bits alone, so all three must reach them
    key = 0x9E3779B97F4A7C15 * (seed + 1) + 0xBF58476D1CE4E5B9 * step + 0x94D049BB133111EB * part
    source.manual_seed(key % 2**64 >> 32)
    try:
        yield
    finally:
        source.set_state(before)


def _check(loss: float, norm: float, step: int, rate: float, scaler) -> None:
    if scaler.is_enabled() and scaler.get_scale() > _SMALLEST_SCALE:
        return  # an overflow of the scaled loss: the step is skipped and the scale halved
    for what, value in (("loss", loss), ("gradient's norm", norm)):
        if not math.isfinite(value):
            raise NonFiniteError(
                f"the {what} is {value} at step {step + 1} with learning rate {rate:.3g}; lower "
                "training.learning_rate or training.clip, or look for outliers in the data"
            )
