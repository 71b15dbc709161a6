"""Gradient ascent on a mixture's likelihood: its gradient, its climb, its goal."""

import math

import numpy as np
import pytest
import torch

from scoresde.densities import GaussianMixture
from scoresde.errors import OptionError
from scoresde.estimators.mixture import EM, GMM, GradientAscent, gather
from scoresde.estimators.mixture.coordinates import Coordinates
from scoresde.estimators.mixture.statistics import log_joint_of

STRUCTURES = ("spherical", "diagonal", "tied", "full", "low-rank")
FLOOR = 0.01
D = torch.float64


def data(seed: int = 0, n: int = 120) -> torch.Tensor:
    """Three clusters in the plane's diagonal directions, (n, 3)."""
    g = torch.Generator().manual_seed(seed)
    centres = torch.tensor([[3.0, 0.0, 0.0], [-2.0, 2.0, 1.0], [0.0, -3.0, -1.0]], dtype=D)
    shapes = 0.8 * torch.eye(3, dtype=D) + 0.4 * torch.randn(3, 3, 3, generator=g, dtype=D)
    z = torch.arange(n) % 3
    noise = torch.randn(n, 3, generator=g, dtype=D)
    return centres[z] + torch.einsum("nij,nj->ni", shapes[z], noise)


def start(structure: str, seed: int = 1) -> GaussianMixture:
    """Parameters of no particular beauty."""
    g = torch.Generator().manual_seed(seed)
    root = torch.randn(2, 3, 3, generator=g, dtype=D)
    matrices = root @ root.mT + 0.5 * torch.eye(3, dtype=D)
    diagonals = matrices.diagonal(dim1=1, dim2=2)
    options = {
        "spherical": {"covariances": diagonals[:, 0]},
        "diagonal": {"covariances": diagonals},
        "tied": {"covariances": matrices[0]},
        "full": {"covariances": matrices},
        "low-rank": {"factors": root[:, :, :1], "variances": torch.tensor([0.4, 0.9])},
    }[structure]
    means = torch.randn(2, 3, generator=g, dtype=D)
    return GaussianMixture(means=means, weights=[0.3, 0.7], structure=structure, **options)


def log_likelihood(structure: str, point: dict, frames, means, x) -> torch.Tensor:
    """Per datum, from the coordinates, by torch.distributions: written without the package."""
    if structure in ("spherical", "diagonal"):
        moved = means + frames * point["means"]
        variances = (FLOOR + point["logs"].exp()).reshape(2, -1).expand(2, 3)
        law = torch.distributions.Independent(
            torch.distributions.Normal(moved, variances.sqrt()), 1
        )
    else:
        moved = means + torch.einsum(
            "...ij,kj->ki" if frames.ndim == 2 else "kij,kj->ki", frames, point["means"]
        )
        if "roots" in point:
            logs = point["roots"].diagonal(dim1=-2, dim2=-1)
            root = frames @ (point["roots"].tril(-1) + torch.diag_embed(logs.exp()))
            covariances = root @ root.mT + FLOOR * torch.eye(3, dtype=D)
        else:
            factors = frames @ point["factors"]
            rest = (FLOOR + point["logs"].exp())[:, None, None]
            covariances = factors @ factors.mT + rest * torch.eye(3, dtype=D)
        law = torch.distributions.MultivariateNormal(moved, covariances)
    joint = point["logits"].log_softmax(0) + law.log_prob(x[:, None])
    return joint.logsumexp(-1).mean()


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_gradient_is_that_of_autograd(structure) -> None:
    x, g = data(), torch.Generator().manual_seed(2)
    around = Coordinates.around(start(structure), FLOOR)
    point = {
        name: value + 0.3 * torch.randn(value.shape, generator=g, dtype=D)
        for name, value in around.origin.items()
    }
    if "roots" in point:
        point["roots"] = point["roots"].tril()
    mixture = around.mixture(point)
    found = gather(x, log_joint_of(mixture), structure, mixture.means)
    gradient = around.gradient(mixture, point, found)
    leaves = {name: value.clone().requires_grad_() for name, value in point.items()}
    value = log_likelihood(structure, leaves, around.frames, around.start.means, x)
    assert found.log_normaliser / found.rows == pytest.approx(float(value.detach()), rel=1e-12)
    for name, wanted in zip(
        leaves, torch.autograd.grad(value, list(leaves.values())), strict=True
    ):
        torch.testing.assert_close(gradient[name], wanted, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_origin_is_the_start(structure) -> None:
    own = start(structure)
    around = Coordinates.around(own, 1e-9)
    x = data()
    torch.testing.assert_close(
        around.mixture(around.origin).log_joint(x), own.log_joint(x), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("structure", STRUCTURES)
def test_it_never_falls_and_reaches_the_optimum_of_em(structure) -> None:
    """From one start, on a small case whose nearest maximum both must find."""
    x, rank = data(), 1 if structure == "low-rank" else 0
    options = {"k": 3, "structure": structure, "rank": rank, "floor": 1e-9}
    slow = GMM(**options, method=EM(max_iterations=2000, tolerance=1e-12)).fit(x)
    quick = GMM(**options, method=GradientAscent(tolerance=1e-12)).fit(x)
    assert np.diff(quick.trace).min() >= 0.0
    assert quick.converged
    assert quick.trace[-1] == pytest.approx(slow.trace[-1], abs=1e-7)
    torch.testing.assert_close(quick.density.means, slow.density.means, rtol=0.0, atol=1e-3)


def test_plain_gradients_climb_without_a_memory() -> None:
    model = GMM(k=3, method=GradientAscent(memory=0, max_iterations=30)).fit(data())
    assert np.diff(model.trace).min() >= 0.0
    assert model.trace[-1] > model.trace[0]


def test_adam_comes_near_the_optimum() -> None:
    x = data()
    best = GMM(k=3, structure="diagonal", method=EM(max_iterations=500, tolerance=1e-9)).fit(x)
    whole = GradientAscent(rule="adam", max_iterations=150, rate=0.05)
    climbed = GMM(k=3, structure="diagonal", method=whole).fit(x)
    assert climbed.trace[-1] == pytest.approx(best.trace[-1], abs=2e-3)
    assert climbed.log_likelihood / 120 == pytest.approx(climbed.trace[-1], rel=1e-10)


def test_minibatches_come_near_the_optimum_and_depend_on_the_seed_alone() -> None:
    x = data(n=600)
    best = GMM(k=3, structure="diagonal", method=EM(max_iterations=500)).fit(x)
    batches = GradientAscent(rule="adam", batch=60, max_iterations=12, tolerance=0.0)
    recipe = GMM(k=3, structure="diagonal", method=batches)
    a, b = recipe.fit(x, seed=1), recipe.fit(x, seed=1)
    assert torch.equal(a.density.means, b.density.means)
    mean, error = a.log_likelihood / 600, best.log_likelihood_error
    assert best.log_likelihood / 600 - mean < 0.1 * error  # far within what the data can tell
    other = recipe.fit(x, seed=2)
    assert not torch.equal(other.density.means, a.density.means)


def test_a_start_at_the_floor_is_lifted_above_it() -> None:
    x = torch.cat([data(), torch.full((120, 1), 0.3, dtype=D)], dim=1)  # a constant column
    model = GMM(k=2, method=GradientAscent(max_iterations=20)).fit(x)
    least = torch.linalg.eigvalsh(model.density.covariances).min()
    assert model.floor <= float(least) <= 1.002 * model.floor
    assert math.isfinite(model.log_likelihood)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rule": "newton"}, "rule"),
        ({"rate": 0.0}, "rate"),
        ({"rate": math.inf}, "rate"),
        ({"memory": -1}, "memory"),
        ({"batch": 10}, "rule = 'adam'"),
        ({"batch": 1.5, "rule": "adam"}, "batch"),
    ],
)
def test_options_out_of_range_are_told(options, said) -> None:
    with pytest.raises(OptionError, match=said):
        GradientAscent(**options)
