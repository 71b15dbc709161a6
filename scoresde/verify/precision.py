"""A solver keeps to the precision it was asked in."""

from __future__ import annotations

import torch
from torch import Tensor

from scoresde.processes import NoiseLevel, VPLinear
from scoresde.samplers import Sampler, sample
from scoresde.score import ScoreModel
from scoresde.verify.mixture import MixtureScore
from scoresde.verify.settings import Setting, starts
from scoresde.verify.verdict import Check, judge

STEPS = 6
SINGLE_BOUND = 1e-3  # float32 through six steps and an adaptive solver's looser tolerance


class Watched(ScoreModel):
    """The mixture's score, counting states that come in another dtype than the start's."""

    kind, event_shape = "v", (2,)
    conservative = True

    def __init__(self, dtype: torch.dtype):
        self.inner, self.dtype, self.strayed = MixtureScore(), dtype, 0

    def forward(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return self.predict(x, level, self.kind)

    def predict(self, x: Tensor, level: NoiseLevel, kind: str) -> Tensor:
        self.strayed += x.dtype != self.dtype
        return self.inner.predict(x, level, kind)


def precision_checks(name: str, sampler: Sampler) -> list[Check]:
    """Every state the model sees, and the result, in the dtype of the start; both agree."""
    levels = Setting("vp-linear", VPLinear(), -3.0, 3.0).levels(STEPS)
    x, results, strayed = starts(levels[0]), {}, 0
    for dtype in (torch.float64, torch.float32):
        model = Watched(dtype)
        results[dtype] = sample(model, sampler, levels, x.to(dtype)).x
        strayed += model.strayed + (results[dtype].dtype != dtype)
    double, single = results.values()
    apart = float((double - single).norm() / double.norm())
    detail = "states in another dtype than the start's"
    return [
        judge(name, "dtype", "vp-linear", strayed, 0, 0, detail),
        judge(name, "float32", "vp-linear", apart, 0.0, SINGLE_BOUND, "apart from float64"),
    ]
