"""Where a method ends that needs noise at every step, and the last step from there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scoresde.errors import NonFiniteError, OptionError
from scoresde.processes import NoiseLevel
from scoresde.result import Result
from scoresde.score import ScoreModel


def noisy(levels: Sequence[NoiseLevel], noun: str) -> list[NoiseLevel]:
    """The levels of a grid that have noise; a grid of one such level gets the process's last.

    Raises `OptionError` where that does not exist.
    """
    kept = [level for level in levels if level.sigma > 0.0]
    if len(kept) > 1:
        return kept
    process = levels[0].process
    last = None if process is None else process.at(process.t_min)
    if last is None or not 0.0 < last.phi < levels[0].phi:
        raise OptionError(
            f"{noun} needs a level with noise before the data; give the grid two steps or more"
        )
    return [levels[0], last]


def finished(
    model: ScoreModel,
    levels: Sequence[NoiseLevel],
    last: NoiseLevel,
    states: Tensor,
    nfe: Tensor,
    ids: Tensor,
    trajectory: bool,
    facts: dict[str, Tensor],
) -> Result:
    """The result of states (batch, points, *event), the end of which lies at level `last`.

    Where the grid ends at sigma = 0 the posterior mean alpha x0 comes after it, by one evaluation
    for all rows. Raises `NonFiniteError`.
    """
    x, end = states[:, -1], levels[-1]
    if end.sigma == 0.0:
        x = end.alpha * model.predict(x, last, "x0").to(x.dtype)
        nfe = nfe + 1
        states = torch.cat([states, x[:, None]], dim=1)
    bad = ~torch.isfinite(x).reshape(len(x), -1).all(dim=1)
    if bool(bad.any()):
        raise NonFiniteError(
            f"the last step, from sigma/alpha = {last.noise_ratio:.6g}, ended in states that are "
            f"not finite, for ids {ids[bad].tolist()[:8]}; end at a positive sigma (final='min') "
            "or check the model"
        )
    if not trajectory:
        return Result(x, nfe, facts=facts)
    if len(levels) < states.shape[1]:  # the process's last level was put in
        states = states[:, [0, -1]]
    return Result(x, nfe, states.contiguous(), facts=facts)
