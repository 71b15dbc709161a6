"""Evaluations as counted at the model, against what a sampler reports and declares."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.processes import NoiseLevel, VPLinear
from scoresde.samplers import Sampler, sample
from scoresde.score import ScoreModel
from scoresde.verify.mixture import MixtureScore
from scoresde.verify.settings import Setting, ends_of, starts
from scoresde.verify.verdict import Check, judge

ROWS = 3
FEW, MANY = 5, 9
DOMAIN_BOUND = 1e-12  # in phi: rounding of the ends


class CountingScore(ScoreModel):
    """A score model that counts the rows it is asked for and notes the range of phi."""

    def __init__(self, inner: ScoreModel):
        self.inner, self.kind = inner, inner.kind
        self.event_shape, self.sigma_data = inner.event_shape, inner.sigma_data
        self.rows, self.lowest, self.highest = 0, float("inf"), float("-inf")

    def _count(self, x: Tensor, level: NoiseLevel) -> None:
        self.rows += len(x)
        phi = torch.as_tensor(level.phi, dtype=torch.float64)
        self.lowest = min(self.lowest, float(phi.min()))
        self.highest = max(self.highest, float(phi.max()))

    def forward(self, x: Tensor, level: NoiseLevel) -> Tensor:
        self._count(x, level)
        return self.inner.forward(x, level)

    def predict(self, x: Tensor, level: NoiseLevel, kind: str) -> Tensor:
        self._count(x, level)
        return self.inner.predict(x, level, kind)

    def value_and_score(self, x: Tensor, level: NoiseLevel) -> tuple[Tensor, Tensor]:
        self._count(x, level)
        return self.inner.value_and_score(x, level)


@dataclass(frozen=True)
class _Run:
    counted: int  # rows asked of the model
    reported: int  # the sum of Result.nfe
    outside: float  # how far an evaluation lay beyond the grid's ends, in phi


def _run(sampler: Sampler, steps: int, final: str) -> _Run:
    levels = Setting("vp-linear", VPLinear(), -4.0, 4.0).levels(steps, final=final)
    model = CountingScore(MixtureScore())
    result = sample(model, sampler, levels, starts(levels[0], ROWS))
    nfe = torch.as_tensor(result.nfe)
    reported = int(nfe.sum()) if nfe.shape == (ROWS,) else -1
    low, high = ends_of(levels)
    outside = max(0.0, low - model.lowest, model.highest - high) if model.rows else 0.0
    return _Run(model.rows, reported, outside)


def evaluation_checks(name: str, sampler: Sampler) -> list[Check]:
    """Result.nfe is the count; `evaluations` is what one more step adds; no step leaves the grid.

    Counted to sigma > 0 and to the data, where a sampler may save an evaluation in its last step.
    """
    runs = {
        (steps, final): _run(sampler, steps, final)
        for steps in (FEW, MANY)
        for final in ("min", "clean")
    }
    wrong = max(abs(run.counted - run.reported) for run in runs.values())
    counts = [
        f"{runs[n, 'min'].counted / ROWS:g} or {runs[n, 'clean'].counted / ROWS:g} for {n} steps"
        for n in (FEW, MANY)
    ]
    detail = ", ".join(counts) + " to sigma > 0 or the data"
    checks = [judge(name, "nfe", "vp-linear", wrong, 0, 0, detail)]
    if sampler.evaluations is not None:
        added = runs[MANY, "min"].counted - runs[FEW, "min"].counted
        measured = added / ((MANY - FEW) * ROWS)
        checks.append(
            judge(name, "evaluations", "vp-linear", measured, sampler.evaluations, 0, "a step")
        )
    if not sampler.stochastic:
        outside = max(run.outside for run in runs.values())
        detail = "distance in phi beyond the grid's ends"
        checks.append(judge(name, "domain", "vp-linear", outside, 0.0, DOMAIN_BOUND, detail))
    return checks
