r"""Both directions of one deterministic flow: data to latents, latents to data.

A latent is the normalised state at the grid's first level, w = z_1/sqrt(alpha_1^2 + sigma_1^2), a
standard normal where the model is right: the very number that `start` draws. So decoding a latent
is sampling from it, and what encodes is the way up of the same flow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.processes import NoiseLevel
from scoresde.result import Result
from scoresde.samplers import DDIM, FlowSampler, GridSampler, Sampler, sample
from scoresde.samplers.plan import Move
from scoresde.score import ScoreModel


@dataclass(frozen=True, kw_only=True)
class DDIMInversion(GridSampler):
    r"""x_t = (alpha_t/alpha_s) x_s + (sigma_t - sigma_s alpha_t/alpha_s) eps(x_s, s), s < t.

    DDIM's step taken upwards: explicit Euler in sigma/alpha, eps asked where the step begins. It
    inverts DDIM only as h -> 0, the round trip's error is of order 1. One evaluation a step.
    (Song, Meng & Ermon 2021, sec. 4.3 and eq. 14; Dhariwal & Nichol 2021, app. F.)
    """

    order = order_cold = 1

    def moves(self, levels: Sequence[NoiseLevel]) -> list[Move]:
        pairs = pairwise(levels[::-1])
        return [Move(s, t, step, "noise") for step, (s, t) in enumerate(pairs)]

    def step(self, tape, x, t, s, memory):
        from_, to = t, s  # a move's source and target: here the noise rises
        ratio = to.alpha / from_.alpha
        eps = tape.evaluate(x, from_, "eps")
        return ratio * x + (to.sigma - ratio * from_.sigma) * eps, None


@dataclass(frozen=True, kw_only=True)
class FlowInversion(Sampler):
    """The probability flow from the last level to the first: the inverse of its own way down.

    To the tolerance for adaptive methods; for a fixed method of order p the round trip's error has
    order p where p is odd and p + 1 where it is even (the first error term is undone on the way).
    """

    flow: FlowSampler

    def run(self, model, levels, x, noise, ids, trajectory=False) -> Result:
        return self.flow.rise(model, levels, x, ids, trajectory)


def inverse_of(sampler: Sampler) -> Sampler:
    """What carries states from levels[-1] to levels[0], against the sampler's own way.

    Raises `OptionError` for a sampler that has no inverse here.
    """
    if isinstance(sampler, FlowSampler):
        return FlowInversion(flow=sampler)
    if isinstance(sampler, DDIM) and not sampler.stochastic:
        return DDIMInversion()
    raise OptionError(
        f"{sampler} cannot encode: data are encoded by probability-flow, torchdiffeq or "
        "scipy-flow (to tolerance, or to a fixed method's order), or by ddim with eta = 0 (to "
        "first order)"
    )


def encode(
    model: ScoreModel,
    sampler: Sampler,
    levels: Sequence[NoiseLevel],
    x: Tensor,
    *,
    ids: Tensor | None = None,
    trajectory: bool = False,
) -> Result:
    r"""Latents w = z_1/sqrt(alpha_1^2 + sigma_1^2) of states x (batch, *event) at levels[-1].

    The result's x holds the latents, its trajectory the states from x up to z_1. Raises as
    `samplers.sample`, and `OptionError` for a sampler without an inverse or a model whose kind is
    singular at levels[-1] (x0, score: at sigma = 0).
    """
    up = sample(model, inverse_of(sampler), levels, x, ids=ids, trajectory=trajectory)
    return replace(up, x=up.x / levels[0].scale)


def decode(
    model: ScoreModel,
    sampler: Sampler,
    levels: Sequence[NoiseLevel],
    latents: Tensor,
    *,
    ids: Tensor | None = None,
    dtype: torch.dtype | None = None,
    trajectory: bool = False,
) -> Result:
    """States at levels[-1] of latents (batch, *event): the samples that begin there.

    Any deterministic sampler will do. Starts are scaled in float64 and then rounded to `dtype`, by
    default that of the latents. Raises as `samplers.sample`, and `OptionError` for a stochastic
    sampler.
    """
    x = (latents.to(torch.float64) * levels[0].scale).to(dtype or latents.dtype)
    return sample(model, certain(sampler), levels, x, ids=ids, trajectory=trajectory)


def certain(sampler: Sampler) -> Sampler:
    """The sampler, if a start determines its sample; else an `OptionError`."""
    if sampler.stochastic:
        raise OptionError(
            f"{type(sampler).__name__} as set draws noise on its way, so a latent does not "
            "determine a sample; take a deterministic sampler: ddim, heun, dpmpp-2m or "
            "probability-flow"
        )
    return sampler


def rms(x: Tensor) -> Tensor:
    """sqrt(mean_j x_j^2) of every row of x (batch, *event), float64 (batch,)."""
    return x.to(torch.float64).flatten(1).square().mean(dim=1).sqrt()
