"""Held-out losses, with their standard errors, of the averaged weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.kernels import Purpose
from scoresde.objectives import Objective
from scoresde.processes import Process
from scoresde.score import ScoreModel
from scoresde.training.batches import Batches

LEVELS = 8


@dataclass(frozen=True)
class LevelError:
    """The denoising error at one level: |x0_hat - x|^2 averaged over event and rows."""

    log_snr: float
    mean: float
    error: float  # standard error over the rows


@dataclass(frozen=True)
class Validation:
    """The objective's mean over held-out rows, its standard error, and the error by level.

    Rows, times and noise are the same at every validation, so two of them are paired.
    """

    step: int
    loss: float
    error: float
    levels: tuple[LevelError, ...] = ()


def validate(
    model: ScoreModel, objective: Objective, process: Process, held_out: Batches, step: int
) -> Validation:
    """Ask a model about held-out rows; levels lie evenly in log SNR over the process's range."""
    losses = torch.cat(list(_losses(model, objective, process, held_out))).double()
    low, high = process.at(1.0 - 1e-6).log_snr, process.at(process.t_min).log_snr
    snrs = torch.linspace(max(low, -15.0), min(high, 15.0), LEVELS + 2, dtype=torch.float64)[1:-1]
    denoises = getattr(model, "kind", "class") != "class"
    levels = (
        _level_error(model, process, held_out, float(snr), index)
        for index, snr in enumerate(snrs if denoises else ())
    )
    return Validation(step, *_estimate(losses), tuple(levels))


def _losses(model, objective, process, held_out):
    for draws, x, condition in held_out.parts(0):
        bound = model.given(condition) if condition is not None else model
        yield objective.losses(bound, process, x, draws).detach()


@torch.no_grad()
def _level_error(model, process, held_out, log_snr: float, index: int) -> LevelError:
    errors, level = [], process.at_log_snr(log_snr)
    for draws, x, condition in held_out.parts(index):
        bound = model.given(condition) if condition is not None else model
        eps = draws.normal(Purpose.VALIDATE, tuple(x.shape[1:])).to(x.dtype)
        x0 = bound.predict(level.alpha * x + level.sigma * eps, level, "x0")
        errors.append((x0 - x).double().square().flatten(1).mean(1))
    return LevelError(log_snr, *_estimate(torch.cat(errors)))


def _estimate(values: Tensor) -> tuple[float, float]:
    count = len(values)
    spread = float(values.std()) / math.sqrt(count) if count > 1 else math.nan
    return float(values.mean()), spread
