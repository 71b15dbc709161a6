"""Shared by the tests of transport: targets, levels, a model of a kind that is singular."""

import torch

from scoresde.densities import Gaussian, GaussianMixture
from scoresde.processes import PROCESSES
from scoresde.samplers.grids import UniformTime
from scoresde.score import ExactScore, ScoreModel

MIXTURE = GaussianMixture(
    means=[[-1.0, 0.5], [1.0, 1.0], [0.2, -1.3]], covariances=[0.1, 0.05, 0.2]
)
EXACT = ExactScore(MIXTURE)
GAUSSIAN = Gaussian(
    mean=[1.0, -2.0, 0.5], covariance=[[2.0, 0.6, 0.0], [0.6, 0.5, 0.1], [0, 0.1, 1]]
)
# ends at alpha = 0 (flow), at a large noise ratio (EDM), at alpha > 0 (VP)
ENDS = ("rectified-flow", "edm", "vp-linear")


def grid(name: str, steps: int = 20, final: str = "clean", **options):
    return UniformTime(steps=steps, final=final, **options).levels(PROCESSES[name]())


class PosteriorMean(ScoreModel):
    """The exact score as a model whose own kind is x0: at sigma = 0 that tells nothing of v."""

    kind, event_shape = "x0", (2,)

    def forward(self, x, level):
        return EXACT.predict(x, level, "x0")


def moments_of_normals(w: torch.Tensor, power: int) -> tuple[torch.Tensor, float, float]:
    """(mean of w^power by coordinate, its value for standard normals, its standard error)."""
    exact = {1: 0.0, 2: 1.0, 3: 0.0, 4: 3.0}
    square = {1: 1.0, 2: 3.0, 3: 15.0, 4: 105.0}
    error = ((square[power] - exact[power] ** 2) / len(w)) ** 0.5
    return w.pow(power).mean(dim=0), exact[power], error
