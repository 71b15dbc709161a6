"""Forward paths: Gaussian marginals and covariances of every process, one path on every grid."""

import pytest
import torch

from scoresde.processes import CLEAN, PROCESSES
from scoresde.transport import paths

N = 4000
X = torch.tensor([[1.5, -0.5]]).double().expand(N, 2)
TIMES = (0.2, 0.5, 0.9, 1.0)


def alphas(levels) -> torch.Tensor:
    return torch.tensor([level.alpha for level in levels], dtype=torch.float64)[:, None]


def of(name: str):
    """CLEAN, four levels of the process."""
    return (CLEAN, *PROCESSES[name]().levels(TIMES))


@pytest.mark.parametrize("name", PROCESSES.members)
def test_states_have_the_mean_and_the_covariances_of_the_process(name):
    """Mean alpha x; Cov(z_t, z_s) = (alpha_t/alpha_s) sigma_s^2 for s < t; within 4.5 SE.

    SE of a mean: sigma/sqrt(N). Of a covariance of two Gaussians: sqrt((v_t v_s + c^2)/N).
    """
    levels = of(name)
    states = paths(X, levels, torch.arange(N), seed=0)
    assert states.shape == (N, 5, 2)
    assert torch.equal(states[:, 0], X)
    noise = states - alphas(levels) * X[:, None]
    for i, t in enumerate(levels[1:], 1):
        assert float(noise[:, i].mean(0).abs().max()) < 4.5 * t.sigma * N**-0.5
        for j, s in enumerate(levels[1 : i + 1], 1):
            exact = t.sigma**2 if i == j else t.alpha / s.alpha * s.sigma**2
            error = ((t.sigma**2 * s.sigma**2 + exact**2) / N) ** 0.5
            found = (noise[:, i] * noise[:, j]).mean(0)
            assert float((found - exact).abs().max()) < 4.5 * error, (t.t, s.t)


@pytest.mark.parametrize("name", ["edm", "vp-linear", "rectified-flow"])
def test_increments_in_the_clock_are_independent_of_the_past(name):
    """y_t - y_s of y = z/alpha has the variance tau_t - tau_s and does not go with y_s."""
    _, *levels = of(name)
    levels = [le for le in levels if le.alpha > 0.0]
    states = paths(X, levels, torch.arange(N), seed=1)
    y = states / alphas(levels) - X[:, None]
    for k in range(1, len(levels)):
        step, before = y[:, k] - y[:, k - 1], y[:, k - 1]
        variance = levels[k].noise_ratio ** 2 - levels[k - 1].noise_ratio ** 2
        assert float((step.square().mean(0) / variance - 1).abs().max()) < 4.5 * (2 / N) ** 0.5
        together = (step * before).mean(0) / (variance**0.5 * levels[k - 1].noise_ratio)
        assert float(together.abs().max()) < 4.5 * N**-0.5


def test_a_finer_grid_sees_the_same_path():
    process, ids = PROCESSES["vp-cosine"](), torch.arange(6)
    coarse = process.levels([0.25, 1.0])
    fine = process.levels([k / 8 for k in range(1, 9)])
    few, many = (paths(X[:6], levels, ids, seed=3) for levels in (coarse, fine))
    assert torch.equal(few, many[:, [1, 7]])


def test_a_path_depends_on_its_id_and_its_seed_alone():
    levels = [of("rectified-flow")[k] for k in (0, 2, 4)]
    whole = paths(X[:4], levels, torch.arange(4), seed=0)
    for i in range(4):
        assert torch.equal(paths(X[i : i + 1], levels, torch.tensor([i]), seed=0)[0], whole[i])
    other = paths(X[:4], levels, torch.arange(4), seed=1)
    assert (other[:, 1:] != whole[:, 1:]).all()


def test_the_datum_enters_by_alpha_alone():
    levels, ids = of("sub-vp"), torch.arange(3)
    shift = torch.tensor([3.0, -1.0]).double()
    here, there = (paths(x, levels, ids, seed=0) for x in (X[:3], X[:3] + shift))
    expected = alphas(levels) * shift
    assert torch.allclose(there - here, expected.expand(3, 5, 2), rtol=0, atol=1e-14)
