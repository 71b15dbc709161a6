"""The training loop, a generator of steps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.errors import NonFiniteError
from scoresde.kernels import Noise
from scoresde.objectives import Objective
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
    seconds: float  # since the run began


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

    Batches, times and noise are functions of (seed, step). Raises `NonFiniteError` at the first
    loss or gradient that is not finite, before it touches the weights.
    """
    begun = time.monotonic()
    noise = Noise(seed)
    places = torch.arange(options.batch, device=data.device)
    parameters = list(state.net.parameters())
    state.net.train()
    progress = state.step / options.steps
    while progress < 1.0:
        k = state.step
        x = data[batch_indices(seed, k, options.batch, len(data)).to(data.device)]
        with options.autocast(data.device):
            loss = objective.losses(model, process, x, noise, k, places).mean()
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, options.clip)
        rate = options.rate(k, progress)
        _check(float(loss), float(norm), k, rate)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        state.optimizer.step()
        state.step = k + 1
        state.average(options.ema)
        seconds = time.monotonic() - begun
        progress = max(state.step / options.steps, seconds / (options.seconds or float("inf")))
        yield Step(state.step, float(loss), float(norm), rate, min(progress, 1.0), seconds)
    state.net.eval()


def _check(loss: float, norm: float, step: int, rate: float) -> None:
    for what, value in (("loss", loss), ("gradient's norm", norm)):
        if value != value or value in (float("inf"), float("-inf")):
            raise NonFiniteError(
                f"the {what} is {value} at step {step + 1} with learning rate {rate:.3g}; lower "
                "training.learning_rate or training.clip, or look for outliers in the data"
            )
