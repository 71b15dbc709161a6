"""Guided sampling by the solvers that are there: the law of a class, and no batch-mates."""

import math

import pytest
import torch
from guidance_tools import BAD, CLASSES, DENSITY, MEANS, SPREADS, WEIGHTS

from scoresde.guidance import (
    Autoguidance,
    ClassifierFree,
    ClassifierGuidance,
    DynamicThreshold,
    Guided,
)
from scoresde.kernels import Noise
from scoresde.processes import PROCESSES
from scoresde.samplers import DDIM, AnnealedLangevin, DPMSolverPP2M, ProbabilityFlow, sample, start
from scoresde.samplers.grids import UniformLogSNR
from scoresde.score import ExactClassifier, ExactScore

EXACT = ExactScore(DENSITY)
MEMBERS = {
    "classifier-free": lambda w: ClassifierFree(EXACT, weight=w),
    "classifier": lambda w: ClassifierGuidance(EXACT, ExactClassifier(DENSITY), weight=w),
    "autoguidance": lambda w: Autoguidance(EXACT, ExactScore(BAD), weight=w),
}
EVERY = pytest.mark.parametrize("member", MEMBERS)


def levels(steps: int, final: str = "clean", last: float = 12.0):
    grid = UniformLogSNR(steps=steps, final=final, log_snr_min=-10.0, log_snr_max=last)
    return grid.levels(PROCESSES["vp-linear"]())


def moments(c: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (2,) and covariance (2, 2) of a class, from the mixture's own numbers."""
    own = [k for k, label in enumerate(CLASSES) if label == c]
    w = torch.tensor([WEIGHTS[k] for k in own], dtype=torch.float64)
    w = w / w.sum()
    mu = torch.tensor([MEANS[k] for k in own], dtype=torch.float64)
    mean = w @ mu
    off = mu - mean
    inner = float(w @ torch.tensor([SPREADS[k] for k in own], dtype=torch.float64))
    return mean, inner * torch.eye(2).double() + torch.einsum("k,ki,kj->ij", w, off, off)


def has_the_law_of_its_class(x: torch.Tensor, labels: torch.Tensor, bias: float) -> None:
    """Mean and covariance within 4.5 standard errors and a solver's bias, class by class."""
    for c in range(3):
        part = x[labels == c]
        mean, spread = moments(c)
        error = (spread.diag() / len(part)).sqrt()
        assert bool(((part.mean(0) - mean).abs() < 4.5 * error + bias).all())
        products = (part - mean)[:, :, None] * (part - mean)[:, None, :]
        error = products.std(0) / math.sqrt(len(part))
        assert bool(((products.mean(0) - spread).abs() < 4.5 * error + bias).all())


@EVERY
def test_at_weight_one_a_solver_draws_from_the_class(member) -> None:
    n, grid = 2400, levels(50)
    ids = torch.arange(n)
    model = MEMBERS[member](1.0).given(ids % 3)
    x = sample(model, DPMSolverPP2M(), grid, start(grid[0], Noise(3), ids, (2,)), Noise(3)).x
    has_the_law_of_its_class(x, ids % 3, bias=0.01)


@pytest.mark.slow
@EVERY
def test_at_weight_one_annealed_langevin_draws_from_the_class(member) -> None:
    n, grid = 1500, levels(60, "min")
    ids = torch.arange(n)
    model = MEMBERS[member](1.0).given(ids % 3)
    sampler = AnnealedLangevin(step_size=0.05, corrections=10)
    x = sample(model, sampler, grid, start(grid[0], Noise(3), ids, (2,)), Noise(3)).x
    # an unadjusted step of d = 0.05 sigma^2 widens a level's law by d/2 of its variance's share
    has_the_law_of_its_class(x, ids % 3, bias=0.03)


@EVERY
@pytest.mark.parametrize("sampler", [
    ProbabilityFlow(method="bosh3", rtol=0.03, atol=0.03), DDIM(eta=1.0),
    AnnealedLangevin(corrections=1),
], ids=["bosh3", "ddim", "annealed-langevin"])  # fmt: skip
def test_a_guided_sample_does_not_depend_on_its_batch(member, sampler) -> None:
    """The adaptive flow asks row by row, each with its own label."""
    grid, ids = levels(5, "min", 3.0), torch.arange(3) + 40
    labels = torch.tensor([2, -1, 0])
    guided: Guided = DynamicThreshold(MEMBERS[member](2.0), bound=2.0, quantile=0.9)
    x = start(grid[0], Noise(1), ids, (2,))
    whole = sample(guided.given(labels), sampler, grid, x, Noise(1), ids=ids).x
    for i in range(3):
        one = slice(i, i + 1)
        alone = sample(guided.given(labels[one]), sampler, grid, x[one], Noise(1), ids=ids[one]).x
        torch.testing.assert_close(alone, whole[one], rtol=0.0, atol=1e-11)
    labels[2] = 1
    other = sample(guided.given(labels), sampler, grid, x, Noise(1), ids=ids).x
    torch.testing.assert_close(other[:2], whole[:2], rtol=0.0, atol=1e-11)
    assert float((other[2] - whole[2]).abs().max()) > 0.1


def test_a_larger_weight_makes_a_class_more_certain() -> None:
    """Mean log p(c|x) of the samples rises with w; it is that of the class itself at w = 1."""
    ids, grid = torch.arange(600), levels(20)
    x = start(grid[0], Noise(2), ids, (2,))
    found = []
    for weight in (0.0, 1.0, 2.0, 4.0):
        model = ClassifierFree(EXACT, weight=weight).given(ids % 3)
        made = sample(model, DPMSolverPP2M(), grid, x).x
        own = DENSITY.class_log_prob(made).gather(1, (ids % 3)[:, None])[:, 0]
        found.append(own)
    drawn = DENSITY.given(torch.arange(20_000) % 3).sample(torch.arange(20_000), 9)
    wanted = DENSITY.class_log_prob(drawn).gather(1, (torch.arange(20_000) % 3)[:, None])
    error = float(found[1].std()) / math.sqrt(600) + float(wanted.std()) / math.sqrt(20_000)
    assert abs(float(found[1].mean() - wanted.mean())) < 4.5 * error + 0.01
    means = [float(own.mean()) for own in found]
    for low, high, a, b in zip(means, means[1:], found, found[1:], strict=False):
        paired = float((b - a).std()) / math.sqrt(600)
        assert high > low + 3 * paired
