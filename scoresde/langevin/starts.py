"""Where ascents to the modes of a law start."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scoresde.densities.derived import plain
from scoresde.errors import OptionError
from scoresde.io.failure import in_bytes
from scoresde.kernels import Purpose, normal
from scoresde.processes import NoiseLevel
from scoresde.score import ExactScore, ScoreModel

_CENTRES = 1024  # means of components, the heaviest, that ascents start from
_MOST = 2**26  # numbers in the draws that a search starts from: 0.5 GB of float64


def check_count(n: int, event_shape: tuple[int, ...]) -> None:
    """Raises `OptionError` for n draws below zero or more than memory should hold."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 0:
        raise OptionError(f"n draws to start from are a whole number, 0 or more, got {n!r}")
    d = math.prod(event_shape)
    if n * d > _MOST:
        raise OptionError(
            f"n = {n} draws to start from, of {d} numbers each, take {in_bytes(8 * n * d)} and "
            f"more in the search; give at most {_MOST // d} (modes are seldom that many)"
        )


def first_states(model: ScoreModel, level: NoiseLevel, n: int, seed: int) -> Tensor:
    """The means of an exact density's components, and n draws of its law at the level."""
    if not isinstance(model, ExactScore):
        raise OptionError(
            f"modes of a {type(model).__name__} are searched from states that are given: "
            "starts=x, samples of the model, say"
        )
    density, law = model.density, plain(model.density)
    means = getattr(law, "means", getattr(law, "points", None))
    check_count(n, tuple(density.event_shape))
    ids = torch.arange(n, device=None if means is None else means.device)
    drawn = torch.zeros(0, *density.event_shape, dtype=torch.float64, device=ids.device)
    if n > 0:
        noise = normal(seed, Purpose.START, 0, ids, tuple(density.event_shape))
        drawn = level.alpha * density.sample(ids, seed) + level.sigma * noise
    if means is not None:
        if len(means) > _CENTRES:
            means = means[law.weights.argsort(descending=True, stable=True)[:_CENTRES]]
        centres = means.to(torch.float64).reshape(-1, *density.event_shape)
        drawn = torch.cat([level.alpha * centres, drawn])
    if len(drawn) == 0:
        raise OptionError("there is no start: give n at least 1")
    return drawn
