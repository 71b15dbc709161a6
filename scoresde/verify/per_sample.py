"""Steps of each sample's own: what they are for, and what they must not cost."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace

import torch
from torch import Tensor

from scoresde.processes import NoiseLevel
from scoresde.samplers import Sampler, sample
from scoresde.score import ScoreModel
from scoresde.verify.exact_flow import flow_of_mixture
from scoresde.verify.mixture import MixtureScore
from scoresde.verify.settings import settings
from scoresde.verify.verdict import Check, judge, worst_of

SAMPLES, BATCHES = 64, (1, 7)
APART = 14  # of the samples are drawn apart as well
TOLERANCE = 1e-5
ALONE_BOUND, ERROR_BOUND = 1e-10, 1e-5


def at_tolerance(sampler: Sampler, tolerance: float) -> Sampler:
    """The sampler with `rtol` and `atol` set, where it has them."""
    named = {field.name for field in fields(sampler)} if is_dataclass(sampler) else set()
    return replace(sampler, **dict.fromkeys(named & {"rtol", "atol"}, tolerance))


class AllAsOne(ScoreModel):
    """A batch of n events as a single one (n, *event): one step size and one error for all."""

    def __init__(self, inner: ScoreModel, n: int):
        self.inner, self.n, self.kind = inner, n, inner.kind
        self.event_shape = (n, *inner.event_shape)

    def forward(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return self.predict(x, level, self.kind)

    def predict(self, x: Tensor, level: NoiseLevel, kind: str) -> Tensor:
        if isinstance(level.alpha, Tensor):
            shape = (self.n, *[1] * (x.ndim - 2))
            alpha, sigma = (a[0].expand(shape) for a in (level.alpha, level.sigma))
            level = NoiseLevel(level.t, alpha, sigma)
        return self.inner.predict(x[0], level, kind)[None]


def per_sample_checks(name: str, sampler: Sampler) -> list[Check]:
    """At rtol = atol = 1e-5: alone as in any batch, exact, and no dearer than one step for all.

    A sample's result is the same to 1e-10 in batches of 1, 7 and 64; the median error against
    DOP853 is at most 1e-5; the mean evaluations are at most those of the same method with one
    step size for the 64, whose controller sees their error's root mean square.
    """
    setting, sampler = settings()[0], at_tolerance(sampler, TOLERANCE)
    levels, (x, exact) = setting.levels(1), flow_of_mixture(setting, SAMPLES)
    whole = sample(MixtureScore(), sampler, levels, x)
    apart = [0.0]
    for size in BATCHES:
        parts = [sample(MixtureScore(), sampler, levels, p).x for p in x[:APART].split(size)]
        apart.append(float((torch.cat(parts) - whole.x[:APART]).abs().max()))
    error = ((whole.x - exact).norm(dim=1) / exact.norm(dim=1)).median()
    together = sample(AllAsOne(MixtureScore(), SAMPLES), sampler, levels, x[None])
    mean, one = float(whole.nfe.double().mean()), float(together.nfe[0])
    batches = f"in batches of 1, 7 and {SAMPLES}"
    cost = f"{mean:.1f} evaluations a sample, {one:.0f} with one step size for all"
    title, law = setting.title, "per sample"
    return [
        judge(name, f"{law}: batches", title, worst_of(apart), 0.0, ALONE_BOUND, batches),
        judge(name, f"{law}: error", title, error, 0.0, ERROR_BOUND, "median, relative"),
        judge(name, f"{law}: evaluations", title, mean / one, 0.0, 1.0, cost),
    ]
