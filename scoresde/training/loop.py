"""The training loop, a generator of steps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.errors import NonFiniteError
from scoresde.kernels import Noise
from scoresde.objectives import Draws, Objective
from scoresde.processes import Process
from scoresde.score import ScoreModel
from scoresde.training.options import Training
from scoresde.training.order import batch_indices
from scoresde.training.state import TrainingState


@dataclass(frozen=True)
class Step:
    """What one step did."""

    step: int  # steps made so far
    loss: float  # mean over the batch, before the update
    gradient_norm: float  # before clipping
    learning_rate: float
    progress: float  # in (0, 1], by steps or by the clock
    seconds: float  # since the run began; where time is bounded, over all its parts


def train(
    state: TrainingState,
    model: ScoreModel,
    objective: Objective,
    process: Process,
    data: Tensor,
    options: Training,
    seed: int = 0,
) -> Iterator[Step]:
    """Train `model`, whose network is `state.net`, on data (n, *event) in model space.

    Batches, times, noise and dropout are functions of (seed, step). Raises `NonFiniteError` at
    the first loss or gradient that is not finite, before it touches the weights.
    """
    bound = options.seconds or float("inf")
    begun = time.monotonic() - state.seconds
    noise = Noise(seed)
    places = torch.arange(options.batch, device=data.device)
    parameters = list(state.net.parameters())
    state.net.train()
    progress = max(state.step / options.steps, state.seconds / bound)
    while progress < 1.0:
        k = state.step
        x = data[batch_indices(seed, k, options.batch, len(data)).to(data.device)]
        with _keyed(seed, k, data.device), options.autocast(data.device):
            draws = Draws(noise, k, places, options.batch)
            loss = objective.losses(model, process, x, draws).mean()
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, options.clip)
        rate = options.rate(k, progress)
        value, norm = float(loss.detach()), float(norm)
        _check(value, norm, k, rate)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        state.optimizer.step()
        state.step = k + 1
        state.average(options.ema)
        seconds = time.monotonic() - begun
        state.seconds = seconds if options.seconds else 0.0
        progress = max(state.step / options.steps, seconds / bound)
        yield Step(state.step, value, norm, rate, min(progress, 1.0), seconds)
    state.net.eval()


@contextmanager
def _keyed(seed: int, step: int, device: torch.device) -> Iterator[None]:
    """torch's own generator, from which dropout draws, keyed by (seed, step), then given back."""
    source = torch.default_generator
    if device.type == "cuda":
        source = torch.cuda.default_generators[device.index or 0]
    before = source.get_state()
    # the CPU's generator heeds the low 32 bits alone, so both must reach them
    source.manual_seed((0x9E3779B97F4A7C15 * (seed + 1) + 0xBF58476D1CE4E5B9 * step) % 2**64 >> 32)
    try:
        yield
    finally:
        source.set_state(before)


def _check(loss: float, norm: float, step: int, rate: float) -> None:
    for what, value in (("loss", loss), ("gradient's norm", norm)):
        if value != value or value in (float("inf"), float("-inf")):
            raise NonFiniteError(
                f"the {what} is {value} at step {step + 1} with learning rate {rate:.3g}; lower "
                "training.learning_rate or training.clip, or look for outliers in the data"
            )
