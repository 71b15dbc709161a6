"""Levels of tensors: one of its own for every row of a batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scoresde.errors import CapabilityError, ScoresdeError
from scoresde.processes import NoiseLevel
from scoresde.score import ScoreModel


def normalised(level: NoiseLevel) -> NoiseLevel:
    """The level (cos phi, sin phi) of a grid's level, of no process; 0 at an end stays 0."""
    scale = level.scale
    return NoiseLevel(t=math.nan, alpha=level.alpha / scale, sigma=level.sigma / scale)


def rows_at_phi(phi: Tensor, x: Tensor) -> NoiseLevel:
    """(cos phi, sin phi) for phi (rows,) float64 and states x (rows, *event), in x's dtype."""
    return _rows(phi.cos(), phi.sin(), x)


def rows_at_half_log_snr(half: Tensor, x: Tensor) -> NoiseLevel:
    """alpha^2 = 1/(1 + exp(-2 lambda)), sigma^2 = 1/(1 + exp(2 lambda)), lambda (rows,)."""
    return _rows((2.0 * half).sigmoid().sqrt(), (-2.0 * half).sigmoid().sqrt(), x)


def _rows(alpha: Tensor, sigma: Tensor, x: Tensor) -> NoiseLevel:
    shape = (-1, *[1] * (x.ndim - 1))
    fields = (field.reshape(shape).to(x.dtype) for field in (alpha, sigma))
    return NoiseLevel(math.nan, *fields)


def ask_rows(model: ScoreModel, x: Tensor, level: NoiseLevel, kind: str) -> Tensor:
    """A model's prediction at a level a row, in the dtype of x.

    Raises `CapabilityError` for a model that takes one level for all rows alone.
    """
    try:
        out = model.predict(x, level, kind)
    except (ScoresdeError, torch.OutOfMemoryError):
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        raise CapabilityError(
            f"{type(model).__name__} fails where every row has a noise level of its own, as "
            f"per-sample steps need ({type(error).__name__}: {' '.join(str(error).split())}); "
            "let it take levels whose alpha and sigma are tensors (batch, 1, ..., 1), or use a "
            "sampler that steps along the grid"
        ) from error
    if out.shape != x.shape:
        raise CapabilityError(
            f"{type(model).__name__} gives {tuple(out.shape)} for states {tuple(x.shape)} where "
            "every row has a noise level of its own; let alpha and sigma be tensors "
            "(batch, 1, ..., 1)"
        )
    return out.to(x.dtype)
