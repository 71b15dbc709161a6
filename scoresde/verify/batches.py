"""A sample must not depend on which others are drawn beside it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scoresde.kernels import Noise, Purpose
from scoresde.processes import VPLinear
from scoresde.samplers import Sampler, sample, start
from scoresde.verify.mixture import MixtureScore
from scoresde.verify.settings import Setting
from scoresde.verify.verdict import Check, judge, worst_of

SAMPLES = 64
PARTS = {1: 8, 7: 64}  # batch size: of how many of the samples
STATE_BOUND = 1e-12
STEPS = 3
FIRST_ID = 2**33  # ids take more than 32 bits, and a batch never starts at 0


@dataclass
class Recorder:
    """A noise source that remembers what it gave to whom."""

    noise: Noise = field(default_factory=lambda: Noise(5))
    given: dict = field(default_factory=dict)

    def __call__(self, step: int, purpose: int, ids: Tensor, shape: tuple[int, ...]) -> Tensor:
        z = self.noise(step, purpose, ids, shape)
        for id_, row in zip(ids.tolist(), z, strict=True):
            self.given[int(step), int(purpose), id_] = row.numpy().tobytes()
        return z


def _draw(sampler: Sampler, batch: int, samples: int = SAMPLES) -> tuple[Tensor, dict]:
    levels = Setting("vp-linear", VPLinear(), -1.0, 1.0).levels(STEPS)
    recorder, parts = Recorder(), []
    for ids in (torch.arange(samples) + FIRST_ID).split(batch):
        x = start(levels[0], recorder, ids, (2,))
        parts.append(sample(MixtureScore(), sampler, levels, x, recorder, ids=ids).x)
    return torch.cat(parts), recorder.given


def batch_checks(name: str, sampler: Sampler) -> list[Check]:
    """64 samples in one batch and in sevens, 8 one by one: noise to the bit, states to rounding.

    Also whether noise is drawn at all, as `stochastic` says; noise from any other source than the
    one given differs from batch to batch.
    """
    whole, noise = _draw(sampler, SAMPLES)
    differing, apart = 0, [0.0]
    for batch, samples in PARTS.items():
        x, given = _draw(sampler, batch, samples)
        apart.append(float((x - whole[:samples]).abs().max()))
        keys = {key for key in noise if key[2] < FIRST_ID + samples} | given.keys()
        differing += sum(noise.get(key) != given.get(key) for key in keys)
    sizes = ", ".join(map(str, (*PARTS, SAMPLES)))
    drew = any(purpose != Purpose.START for _, purpose, _ in noise)
    return [
        judge(name, "stochastic", "vp-linear", drew, int(sampler.stochastic), 0, "1 if it draws"),
        judge(
            name,
            "batch noise",
            "vp-linear",
            differing,
            0,
            0,
            f"normals that differ, of {len(noise)}",
        ),
        judge(
            name,
            "batch states",
            "vp-linear",
            worst_of(apart),
            0.0,
            STATE_BOUND,
            f"in batches of {sizes}",
        ),
    ]
