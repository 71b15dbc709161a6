"""Shared by the samplers' tests: an exact score that records, noise from a list, small targets."""

import numpy as np
import torch

from scoresde.densities import GaussianMixture
from scoresde.processes import PROCESSES
from scoresde.samplers import SAMPLERS
from scoresde.samplers.grids import UniformLogSNR
from scoresde.score import ExactScore
from scoresde.verify import named
from scoresde.verify.court import variants_of

DENSITY = GaussianMixture(
    means=[[-1.0, 0.5], [1.0, 1.0], [0.2, -1.3]], covariances=[0.1, 0.05, 0.2]
)

# a flow of loose tolerance is as independent of its batch, and quick
QUICK = {
    "probability-flow": {"rtol": 1e-4, "atol": 1e-4},
    "scipy-flow": {"rtol": 1e-4, "atol": 1e-4},
    "adaptive-sde": {"rtol": 0.2, "atol": 0.1},
}
VARIANTS = {name: SAMPLERS[name](**QUICK.get(name, {})) for name in SAMPLERS.members} | {
    variant: named(variant) for name in SAMPLERS.members for variant in variants_of(name)
}


def grid(final: str = "clean", steps: int = 6):
    """Levels of VP linear, from log SNR = -8."""
    return UniformLogSNR(steps=steps, final=final, log_snr_min=-8.0).levels(
        PROCESSES["vp-linear"]()
    )


class Recorded(ExactScore):
    """The exact score; keeps the level and the batch size of every evaluation."""

    def __init__(self, density=DENSITY):
        super().__init__(density)
        self.levels, self.batches = [], []

    def predict(self, x, level, kind):
        self.levels.append(level)
        self.batches.append(len(x))
        return super().predict(x, level, kind)


class Written:
    """A noise source that reads from the test's own numbers and keeps its calls."""

    def __init__(self, seed: int = 0):
        self.seed, self.calls = seed, []

    def __call__(self, step, purpose, ids, shape):
        self.calls.append((step, int(purpose)))
        rng = np.random.default_rng([self.seed, step, int(purpose)])
        return torch.from_numpy(rng.standard_normal((int(ids.max()) + 1, *shape)))[ids]

    def number(self, step: int, purpose: int, rows: int, d: int = 2) -> np.ndarray:
        rng = np.random.default_rng([self.seed, step, int(purpose)])
        return rng.standard_normal((rows, d))


def denoiser(z: np.ndarray, alpha: float, sigma: float) -> np.ndarray:
    """E[x|z] of DENSITY, written out by itself in numpy."""
    means, variances = DENSITY.means.numpy(), DENSITY.variances.numpy()
    total = alpha**2 * variances + sigma**2
    offset = z[:, None] - alpha * means
    log_r = -0.5 * (offset**2).sum(-1) / total - np.log(total)
    r = np.exp(log_r - log_r.max(1, keepdims=True))
    r /= r.sum(1, keepdims=True)
    return (r[..., None] * (means + (alpha * variances / total)[:, None] * offset)).sum(1)
