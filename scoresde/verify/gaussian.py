"""Gaussian targets, several at once, and a sampler's exact moments on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.processes import NoiseLevel
from scoresde.samplers import Sampler, sample
from scoresde.score import ScoreModel
from scoresde.score.parametrization import row
from scoresde.verify.verdict import worst_of

_AFFINE = 1e-9  # relative; a sampler without thresholds keeps to rounding


@dataclass(frozen=True)
class Normals:
    """Laws N(mean_k, variance_k) of one number each, mean and variance (laws,) in float64."""

    mean: np.ndarray
    variance: np.ndarray

    def diffused(self, level: NoiseLevel) -> Normals:
        """N(alpha m, alpha^2 v + sigma^2)."""
        a, s = level.alpha, level.sigma
        return Normals(a * self.mean, a * a * self.variance + s * s)

    def distance(self, exact: Normals) -> float:
        """Largest of |mean - exact mean|/sd and |variance/exact variance - 1| over the laws."""
        mean = np.abs(self.mean - exact.mean) / np.sqrt(exact.variance)
        return worst_of([mean, np.abs(self.variance / exact.variance - 1.0)])


def targets() -> Normals:
    """A unit, a narrow and a wide Gaussian, none of them symmetric about 0.

    The narrow one is there for Euler-Maruyama under VE, whose first-order error all but vanishes
    for a variance far above the last sigma^2: 640 steps would show a slope of 1.2.
    """
    return Normals(np.array([0.5, -1.0, 2.0]), np.array([1.0, 0.0625, 4.0]))


class NormalScore(ScoreModel):
    r"""The exact score of independent N(m_k, v_k), one a coordinate: affine in the state.

    E[x0|z] = m + alpha v (z - alpha m)/(alpha^2 v + sigma^2),
    E[eps|z] = sigma (z - alpha m)/(alpha^2 v + sigma^2).
    """

    kind = "v"

    def __init__(self, law: Normals):
        self.mean, self.variance = torch.from_numpy(law.mean), torch.from_numpy(law.variance)
        self.event_shape = tuple(self.mean.shape)

    def forward(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return self.predict(x, level, self.kind)

    def predict(self, x: Tensor, level: NoiseLevel, kind: str) -> Tensor:
        a, s = level.alpha, level.sigma
        p, q = row(kind, level, self.sigma_data)
        total = a * a * self.variance + s * s
        gain = (p * a * self.variance + q * s) / total
        return gain * x + (p - a * gain) * self.mean


class _Impulses:
    """A noise source that is 1 in one row for each (step, purpose), and 0 elsewhere.

    Row 0 is at rest, row 1 is kept for the start, the last row mixes everything.
    """

    def __init__(self):
        self.rows: dict[tuple[int, int], int] = {}
        self.count = 0

    def __call__(self, step: int, purpose: int, ids: Tensor, shape: tuple[int, ...]) -> Tensor:
        key = (int(step), int(purpose))
        z = torch.zeros(len(ids), *shape, dtype=torch.float64)
        if self.count == 0:
            self.rows.setdefault(key, len(self.rows) + 2)
        elif key not in self.rows:
            raise OptionError(
                f"the sampler is not affine: it asks for noise {key} in one run and not in another"
            )
        else:
            z[ids == self.rows[key]] = 1.0
            z[ids == self.count - 1] = 0.1 + 0.01 * (self.rows[key] % 7)
        return z


def moments(
    sampler: Sampler, levels: Sequence[NoiseLevel], law: Normals, first: Normals
) -> Normals:
    """Exact mean and variance of a sampler's output on Gaussian targets, no draw made.

    With an affine score the output is an affine function of the start and of every normal, so the
    answers to unit impulses are its coefficients: mean = c_0 + c_1 E[start], variance = c_1^2
    Var[start] + sum_k c_k^2. The sampler itself runs, not its plan, so that one without a plan is
    judged alike; a normal used twice counts as one. `first` is the law of the start. Raises
    `OptionError` for a sampler that is not affine (clipping, adaptive steps, coupled rows).
    """
    model, impulses = NormalScore(law), _Impulses()
    event = model.event_shape
    sample(model, sampler, levels, torch.zeros(1, *event, dtype=torch.float64), impulses)
    impulses.count = count = len(impulses.rows) + 3
    x = torch.zeros(count, *event, dtype=torch.float64)
    x[1], x[-1] = 1.0, 0.7
    out = sample(model, sampler, levels, x, impulses).x.numpy()
    rest, answers = out[0], out[1:-1] - out[0]
    weights = [0.7, *(0.1 + 0.01 * (row_ % 7) for row_ in impulses.rows.values())]
    mixed = rest + np.asarray(weights) @ answers
    slack = max(_AFFINE, 10.0 * getattr(sampler, "rounding", 0.0))
    if not np.abs(mixed - out[-1]).max() <= slack * (1.0 + np.abs(out).max()):
        raise OptionError(
            "the sampler's output is not affine in its start and noise on an affine score: off by "
            f"{np.abs(mixed - out[-1]).max():.3g}"
        )
    variance = answers[0] ** 2 * first.variance + (answers[1:] ** 2).sum(0)
    return Normals(rest + answers[0] * first.mean, variance)
