"""Errors of every sampler at 5, 10, 20 and 50 evaluations on three exact densities.

`python tools/solver_errors.py [errors.json [NAME ...]]` writes them as JSON, of which
`tools/solvers_page.py` makes the tables of docs/solvers.md. Deterministic solvers: root mean
square distance of 200 final states from those of the exact flow, in units of the density's own
spread. Stochastic solvers that follow a Brownian path: the same on one path a sample, against the
path's own limit. The rest: the largest deviation of 2,000 samples' means, variances and
covariances from the truth, in standard deviations (its own noise is about 0.05 in the plane, 0.1
in 64 dimensions).
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor

from scoresde.data.digits import Digits
from scoresde.densities import GaussianMixture
from scoresde.errors import ScoresdeError
from scoresde.kernels import BrownianNoise, Noise, Purpose
from scoresde.processes import VPLinear
from scoresde.samplers import DDIM, SAMPLERS, GridSampler, Sampler, sample
from scoresde.samplers.grids import Karras, UniformLogSNR
from scoresde.score import ExactScore
from scoresde.verify import named
from scoresde.verify.court import variants_of
from scoresde.verify.strong import ONE_LIMIT

BUDGETS = (5, 10, 20, 50)
PAIRS, CROWD = 200, 2000
FINE = 400
ROUNDS = 8
STARTS_AND_ENDS = (
    "dpmpp-2m(end=lower)",
    "dpmpp-3m(end=lower)",
    "dpmpp-3m(start=single-step)",
    "deis(end=lower)",
    "deis(start=single-step)",
    "unipc(end=lower)",
    "unipc(solver_order=3, end=lower)",
    "unipc(solver_order=3, start=single-step)",
    "unipc(corrector=False)",
    "lms(end=lower)",
    "ipndm(end=lower)",
    "dpmpp-2m-sde(end=lower)",
)
PROCESS = VPLinear()


def plane() -> GaussianMixture:
    """Three wide components in the plane."""
    return GaussianMixture(
        means=[[-1.2, 0.3], [0.9, 1.0], [0.4, -1.1]],
        covariances=[0.25, 0.16, 0.36],
        weights=[0.5, 0.2, 0.3],
    )


def ring() -> GaussianMixture:
    """Eight narrow components on a circle."""
    angles = np.arange(8) * math.pi / 4
    return GaussianMixture(
        means=np.stack([np.cos(angles), np.sin(angles)], 1).tolist(), covariances=[0.005] * 8
    )


def digits() -> GaussianMixture:
    """Ten Gaussians in 64 dimensions, fitted to the ten digits."""
    data = Digits().load()
    images = data.train.flatten(1).to(torch.float64)
    labels = data.train_labels
    groups = [images[labels == c] for c in range(10)]
    ridge = 0.02 * torch.eye(images.shape[1], dtype=torch.float64)
    return GaussianMixture(
        means=torch.stack([g.mean(0) for g in groups]).tolist(),
        covariances=torch.stack([torch.cov(g.T) + ridge for g in groups]).tolist(),
    )


DENSITIES: dict[str, Callable[[], GaussianMixture]] = {
    "plane": plane,
    "ring": ring,
    "digits": digits,
}


@cache
def density(name: str) -> GaussianMixture:
    return DENSITIES[name]()


@cache
def spread(name: str) -> float:
    draws = density(name).sample(torch.arange(2000), seed=1)
    return float((draws - draws.mean(0)).square().sum(1).mean().sqrt())


def begin(name: str, count: int) -> tuple[Tensor, Tensor]:
    """(ids, exact states at the first level): no error is the start's."""
    ids, first = torch.arange(count), PROCESS.at(1.0)
    data = density(name).sample(ids, seed=2)
    noise = Noise(3)(0, Purpose.START, ids, data.shape[1:])
    return ids, first.alpha * data + first.sigma * noise


def carry(name: str, sampler: Sampler, levels, count: int, noise) -> tuple[Tensor, float]:
    ids, x = begin(name, count)
    result = sample(ExactScore(density(name)), sampler, levels, x, noise, ids=ids)
    return result.x, float(result.nfe.double().mean())


@cache
def truth(name: str) -> Tensor:
    """Final states of the exact flow, by a fine grid of a fourth-order method, (pairs, *event)."""
    levels = Karras(steps=FINE).levels(PROCESS)
    return carry(name, named("rk4"), levels, PAIRS, Noise(0))[0]


@cache
def path_truth(name: str) -> Tensor:
    """Final states of the reverse SDE on the paths of seed 4: exponential steps, extrapolated."""
    coarse, fine = (
        carry(name, DDIM(eta=1.0), Karras(steps=n).levels(PROCESS), PAIRS, BrownianNoise(4))[0]
        for n in (2 * FINE, 4 * FINE)
    )
    return 2.0 * fine - coarse


def steps_within(sampler: GridSampler, budget: int) -> int:
    """The most steps of Karras's grid that cost no more evaluations than the budget; 0 if none."""
    best = 0
    for steps in range(1, budget + 1):
        try:
            nfe = sampler.plan(Karras(steps=steps).levels(PROCESS)).nfe
        except ScoresdeError:  # some need two steps or more
            continue
        if nfe > budget:
            break
        best = steps
    return best


def law_error(name: str, x: Tensor) -> float:
    """Largest deviation of a mean, variance or covariance, in units of the density's spread."""
    mean, covariance = moments(name)
    x, scale = x.flatten(1), covariance.diag().sqrt()
    off = ((x.mean(0) - mean) / scale).abs().max()
    apart = (torch.cov(x.T) - covariance) / (scale[:, None] * scale)
    return float(torch.maximum(off, apart.abs().max()))


@cache
def moments(name: str) -> tuple[Tensor, Tensor]:
    """Mean and covariance of a mixture: those of its components, and of their means."""
    law = density(name)
    w, means = law.weights, law.means
    mean = w @ means
    inside = law.variances
    if law.structure == "full":  # variances along the components' own axes
        inside = torch.einsum("kde,ke,kfe->kdf", law.axes, law.variances, law.axes)
    else:
        inside = inside[:, None, None] * torch.eye(law.dim, dtype=torch.float64)
    offsets = means - mean
    return mean, torch.einsum("k,kde->de", w, inside) + (w[:, None] * offsets).T @ offsets


def error(name: str, sampler: Sampler, path: bool, levels) -> tuple[float, float]:
    """(error, evaluations a sample)."""
    if not sampler.stochastic:
        x, nfe = carry(name, sampler, levels, PAIRS, Noise(0))
        return float((x - truth(name)).square().sum(1).mean().sqrt()) / spread(name), nfe
    if path:
        x, nfe = carry(name, sampler, levels, PAIRS, BrownianNoise(4))
        return float((x - path_truth(name)).square().sum(1).mean().sqrt()) / spread(name), nfe
    x, nfe = carry(name, sampler, levels, CROWD, Noise(5))
    return law_error(name, x), nfe


def microseconds(sampler: GridSampler) -> float:
    """CPU time a step beside the evaluations, (64, 2) states and a model that returns them."""

    class Idle(ExactScore):
        def predict(self, x, level, kind):
            return x

    levels = UniformLogSNR(steps=50, final="min", log_snr_min=-7.0).levels(PROCESS)
    model, x = Idle(plane()), torch.zeros(64, 2)
    noise = torch.zeros(64, 2)
    times = []
    for _ in range(7):
        began = time.process_time()
        for _ in range(4):
            sample(model, sampler, levels, x, lambda *key: noise)
        times.append((time.process_time() - began) / 200)
    return 1e6 * min(times)


def on_paths(text: str, sampler: Sampler) -> bool:
    """Whether it follows the reverse SDE with eta = 1 along a Brownian path."""
    known = {name.split("(")[0] for name in (*ONE_LIMIT, "predictor-corrector")}
    follows = text.split("(")[0] in known and sampler.strong_order is not None
    return follows and getattr(sampler, "eta", 1.0) == 1.0


def steps_of(sampler: Sampler, budget: int) -> int:
    if isinstance(sampler, GridSampler):
        return steps_within(sampler, budget)
    return budget // sampler.evaluations


def row(text: str) -> dict:
    sampler = named(text)
    grid = sampler.evaluations is not None or isinstance(sampler, GridSampler)
    cost = microseconds(sampler) if isinstance(sampler, GridSampler) else None
    out: dict = {"errors": {}, "microseconds": cost}
    path = on_paths(text, sampler)
    out["kind"] = "path" if path else "law" if sampler.stochastic else "flow"
    for place in DENSITIES if sampler.batched else ():  # row by row is for references
        cells = []
        for budget in BUDGETS if grid else (None,):
            steps = steps_of(sampler, budget) if grid else 1
            cell = None
            if steps:
                try:
                    cell = error(place, sampler, path, Karras(steps=steps).levels(PROCESS))
                except ScoresdeError as failure:
                    print(f"{text} on {place}, {steps} steps: {failure}", file=sys.stderr)
            cells.append(cell)
        out["errors"][place] = cells
    return out


def main() -> None:
    torch.set_num_threads(1)
    path = sys.argv[1] if len(sys.argv) > 1 else "errors.json"
    everyone = [text for name in SAMPLERS.members for text in (name, *variants_of(name))]
    rows = {}
    for text in sys.argv[2:] or [*everyone, *STARTS_AND_ENDS]:
        began = time.perf_counter()
        with torch.no_grad():
            rows[text] = row(text)
        print(f"{text}: {time.perf_counter() - began:.1f} s", file=sys.stderr)
    for _ in range(ROUNDS):  # in turn, so that a busy moment of the machine is nobody's alone
        for text, found in rows.items():
            sampler = named(text)
            if isinstance(sampler, GridSampler):
                found["microseconds"] = min(found["microseconds"], microseconds(sampler))
    with open(path, "w") as file:
        json.dump({"budgets": BUDGETS, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
