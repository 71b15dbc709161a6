"""Laws of the modes that are found of Gaussians much longer than wide."""

import math

import numpy as np
import pytest
import torch

from scoresde.densities import Gaussian, GaussianMixture
from scoresde.langevin import modes

RNG = np.random.default_rng(3)
AXES = torch.linalg.qr(torch.tensor(RNG.standard_normal((5, 5))))[0]


def turned(condition: float, axes: torch.Tensor = AXES) -> torch.Tensor:
    return (axes * torch.logspace(0, math.log10(condition), 5, dtype=torch.float64)) @ axes.T


@pytest.mark.parametrize("condition", [1e6, 1e8, 1e12])
@pytest.mark.parametrize("n", [0, 16])
def test_two_long_parallel_gaussians_have_two_modes(condition: float, n: int) -> None:
    """Three standard deviations apart along the longest axis, both in that one direction."""
    longest = condition**0.5 * AXES[:, -1]
    law = GaussianMixture(
        means=torch.stack([torch.zeros_like(longest), 3.0 * longest]),
        covariances=turned(condition),
        weights=[0.7, 0.3],
        structure="tied",
    )
    along = modes(
        GaussianMixture(means=[[0.0], [3.0]], covariances=[1.0, 1.0], weights=[0.7, 0.3])
    )
    found = modes(law, n=n)
    assert (len(found.x), found.saddles, found.unconverged) == (2, 0, 0)
    expected = along.x * longest
    off = torch.linalg.solve_triangular(
        torch.linalg.cholesky(turned(condition)), (found.x - expected).T, upper=False
    )
    assert float(off.norm(dim=0).max()) < 1e-6
    torch.testing.assert_close(found.curvature * condition, along.curvature, rtol=1e-5, atol=0)


def test_the_mean_of_a_long_gaussian_is_its_mode_and_no_saddle() -> None:
    law = GaussianMixture(means=[[0.0, 1.0, 2.0, 3.0, 4.0]], covariances=turned(1e12)[None])
    found = modes(law, law.means)
    assert (len(found.x), found.saddles, found.unconverged) == (1, 0, 0)
    assert torch.equal(found.x, law.means)


def test_scales_of_columns_do_not_matter() -> None:
    """Variances of 1, 1e-4, 1e-8 and 1e-12: ends within 1e-6 deviations of the mean."""
    variances = torch.tensor([1.0, 1e-4, 1e-8, 1e-12], dtype=torch.float64)
    law = Gaussian(mean=torch.ones(4), covariance=variances.diag())
    found = modes(law, n=64)
    assert found.basin.tolist() == [64]
    assert float(((found.x - 1.0) / variances.sqrt()).abs().max()) < 1e-6


def test_long_gaussians_of_different_axes_have_a_mode_each() -> None:
    """No coordinates are white for all, so ascents go on in those of their own Hessian."""
    others = [torch.linalg.qr(torch.tensor(RNG.standard_normal((5, 5))))[0] for _ in range(3)]
    law = GaussianMixture(
        means=RNG.standard_normal((3, 5)) * 1e3,
        covariances=torch.stack([turned(1e8, axes) * 1e-4 for axes in others]),
    )
    found = modes(law, n=8)
    assert (len(found.x), found.unconverged) == (3, 0)
    heights = law.log_prob(law.means).sort(descending=True).values
    torch.testing.assert_close(found.log_density, heights, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.curvature * 1e4, -torch.ones(3).double(), rtol=1e-4, atol=0)
