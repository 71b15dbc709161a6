"""The probability flow: against an integrator of its own variables, and inside its range."""

import math

import numpy as np
import pytest
import torch
from sampling_tools import DENSITY, Recorded, denoiser
from scipy.integrate import solve_ivp

from scoresde.kernels import Noise
from scoresde.processes import PROCESSES
from scoresde.samplers import ProbabilityFlow, sample, start
from scoresde.samplers.adaptive import probability_flow
from scoresde.samplers.adaptive.probability_flow import ADAPTIVE, FIXED
from scoresde.score import ExactScore

EXACT = ExactScore(DENSITY)


def in_own_time(process, x: np.ndarray, times: tuple[float, float]) -> np.ndarray:
    """dz/dt = alpha' x0 + sigma' eps, finite at alpha = 0 because E[x|z] is, by DOP853."""

    def velocity(t, y):
        level = process.at(float(t))
        z = y.reshape(-1, 2)
        x0 = denoiser(z, level.alpha, level.sigma)
        eps = (z - level.alpha * x0) / level.sigma
        return (level.alpha_rate * x0 + level.sigma_rate * eps).ravel()

    solution = solve_ivp(velocity, times, x.ravel(), method="DOP853", rtol=1e-13, atol=1e-14)
    return solution.y[:, -1].reshape(-1, 2)


@pytest.mark.parametrize("name", ["rectified-flow", "vp-cosine", "vp-linear", "ve"])
def test_within_1e_6_of_dop853_from_pure_noise_to_sigma_min(name: str) -> None:
    process = PROCESSES[name]()
    levels = process.levels([1.0, process.t_min])
    if name in ("rectified-flow", "vp-cosine"):
        assert levels[0].alpha == 0.0
    x = start(levels[0], Noise(3), torch.arange(3), (2,))
    got = sample(EXACT, ProbabilityFlow(), levels, x).x.numpy()
    expected = in_own_time(process, x.numpy(), (1.0, process.t_min))
    assert np.abs(got - expected).max() < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("method", ADAPTIVE)
def test_every_adaptive_method_comes_to_the_same_end(method: str) -> None:
    levels = PROCESSES["rectified-flow"]().levels([1.0, 0.01])
    x = start(levels[0], Noise(3), torch.arange(2), (2,))
    exact = in_own_time(PROCESSES["rectified-flow"](), x.numpy(), (1.0, 0.01))
    low = method in ("adaptive_heun", "fehlberg2")
    options = {"rtol": 1e-6, "atol": 1e-6} if low else {"rtol": 1e-7, "atol": 1e-7}
    got = sample(EXACT, ProbabilityFlow(method=method, **options), levels, x).x.numpy()
    assert np.abs(got - exact).max() < (1e-3 if low else 1e-5)


@pytest.mark.parametrize("method", FIXED)
def test_fixed_methods_have_their_order(method: str) -> None:
    """The slope of the error on a grid uniform in phi, over two halvings."""
    order, evaluations = FIXED[method]
    process = PROCESSES["rectified-flow"]()
    x = start(process.at(0.95), Noise(3), torch.arange(3), (2,))
    exact = torch.from_numpy(in_own_time(process, x.numpy(), (0.95, 0.05)))
    errors = []
    for steps in (40, 80, 160):
        phis = np.linspace(process.at(0.95).phi, process.at(0.05).phi, steps + 1)
        times = np.sin(phis) / (np.sin(phis) + np.cos(phis))
        levels = process.levels([0.95, *times[1:-1], 0.05])
        result = sample(EXACT, ProbabilityFlow(method=method), levels, x)
        assert result.nfe.tolist() == [steps * evaluations] * 3
        errors.append(float((result.x - exact).abs().max()))
    slopes = -np.diff(np.log2(errors))
    assert slopes == pytest.approx([order, order], abs=0.15)


@pytest.mark.parametrize("method", [*ADAPTIVE, *FIXED])
@pytest.mark.parametrize("trajectory", [False, True])
def test_nothing_is_asked_outside_the_range(method: str, trajectory: bool, monkeypatch) -> None:
    """Neither of the model nor, but for rounding, of the right side before it is clamped."""
    asked: list[float] = []
    integrate = probability_flow.odeint

    def watched(function, *args, **options):
        def noted(phi, u):
            asked.append(float(phi))
            return function(phi, u)

        return integrate(noted, *args, **options)

    monkeypatch.setattr(probability_flow, "odeint", watched)
    levels = PROCESSES["rectified-flow"]().levels([1.0, 0.7, 0.4, 0.02])
    model, high, low = Recorded(), levels[0].phi, levels[-1].phi
    x = start(levels[0], Noise(1), torch.arange(2), (2,))
    options = {} if method in FIXED else {"rtol": 1e-3, "atol": 1e-3}
    sample(model, ProbabilityFlow(method=method, **options), levels, x, trajectory=trajectory)
    assert len(asked) == len(model.levels) > 0
    assert all(low <= level.phi <= high for level in model.levels)
    assert high == math.pi / 2
    assert min(asked) > low - 1e-9
    assert max(asked) < high + 1e-9


def test_a_trajectory_passes_through_every_level() -> None:
    process = PROCESSES["rectified-flow"]()
    times = [1.0, 0.6, 0.3, 0.05]
    levels = process.levels(times)
    x = start(levels[0], Noise(1), torch.arange(3), (2,))
    result = sample(EXACT, ProbabilityFlow(), levels, x, trajectory=True)
    assert result.trajectory.shape == (3, 4, 2)
    for i, t in enumerate(times[1:], start=1):
        expected = in_own_time(process, x.numpy(), (1.0, t))
        assert np.abs(result.trajectory[:, i].numpy() - expected).max() < 1e-6


def test_tolerance_is_heeded() -> None:
    levels = PROCESSES["rectified-flow"]().levels([1.0, 0.01])
    x = start(levels[0], Noise(3), torch.arange(3), (2,))
    exact = in_own_time(PROCESSES["rectified-flow"](), x.numpy(), (1.0, 0.01))
    errors, counts = [], []
    for tolerance in (1e-3, 1e-6, 1e-9):
        result = sample(EXACT, ProbabilityFlow(rtol=tolerance, atol=tolerance), levels, x)
        errors.append(np.abs(result.x.numpy() - exact).max())
        counts.append(int(result.nfe.sum()))
    assert errors[0] > 5 * errors[1] > 25 * errors[2]
    assert counts[0] < counts[1] < counts[2]
