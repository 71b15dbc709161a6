"""The probability flow: per sample, exact to tolerance, inside its range; and by libraries."""

import math

import numpy as np
import pytest
import torch
from sampling_tools import DENSITY, Recorded, denoiser
from scipy.integrate import solve_ivp

from scoresde.errors import CapabilityError, NonFiniteError, OptionError
from scoresde.kernels import Noise
from scoresde.processes import PROCESSES
from scoresde.samplers import ProbabilityFlow, ScipyFlow, TorchdiffeqFlow, sample, start
from scoresde.samplers.adaptive import torchdiffeq_flow
from scoresde.samplers.adaptive.embedded_pairs import PAIRS
from scoresde.samplers.adaptive.march import Controller, Stepper, march
from scoresde.samplers.adaptive.torchdiffeq_flow import ADAPTIVE, FIXED
from scoresde.score import ExactScore, ScoreModel

EXACT = ExactScore(DENSITY)
FLOW = PROCESSES["rectified-flow"]()
MEMBERS = {
    "dopri5": ProbabilityFlow(rtol=1e-6, atol=1e-6),
    "bosh3": ProbabilityFlow(method="bosh3", rtol=1e-4, atol=1e-4),
}


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


@pytest.mark.parametrize(
    "name",
    [
        "rectified-flow",
        "ve",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("vp-cosine", "vp-linear")),
    ],
)
def test_within_1e_6_of_dop853_from_pure_noise_to_sigma_min(name: str) -> None:
    process = PROCESSES[name]()
    levels = process.levels([1.0, process.t_min])
    if name in ("rectified-flow", "vp-cosine"):
        assert levels[0].alpha == 0.0
    x = start(levels[0], Noise(3), torch.arange(8), (2,))
    got = sample(EXACT, ProbabilityFlow(), levels, x)
    expected = in_own_time(process, x.numpy(), (1.0, process.t_min))
    assert np.abs(got.x.numpy() - expected).max() < 1e-6
    assert float((sample(EXACT, ScipyFlow(), levels, x[:2]).x - got.x[:2]).abs().max()) < 1e-6


@pytest.mark.parametrize("method", PAIRS)
def test_a_pair_has_the_orders_it_states(method: str) -> None:
    """On y' = -2 t y^2 with steps h and h/2: the step's order, and that of its error estimate."""
    pair = PAIRS[method]

    def step(h: float) -> tuple[float, float]:
        t, y, k = 0.3, 1.0 / (1.0 + 0.3**2), []
        for node, row in zip(pair.nodes, pair.rows, strict=True):
            inner = y + h * sum(a * old for a, old in zip(row, k, strict=True))
            k.append(-2.0 * (t + node * h) * inner**2)
        estimate = h * sum(e * old for e, old in zip(pair.error, k, strict=True))
        return inner - 1.0 / (1.0 + (t + h) ** 2), estimate

    (error, estimate), (finer, smaller) = step(0.1), step(0.05)
    assert math.log2(abs(error / finer)) == pytest.approx(pair.order + 1, abs=0.35)
    assert math.log2(abs(estimate / smaller)) == pytest.approx(pair.error_order, abs=0.35)


@pytest.mark.parametrize("member", MEMBERS)
def test_a_row_is_the_same_in_any_batch(member: str) -> None:
    levels = FLOW.levels([1.0, 0.01])
    x = start(levels[0], Noise(3), torch.arange(10), (2,))
    whole = sample(EXACT, MEMBERS[member], levels, x)
    for size in (1, 7):
        parts = [sample(EXACT, MEMBERS[member], levels, part) for part in x.split(size)]
        torch.testing.assert_close(torch.cat([p.x for p in parts]), whole.x, rtol=0.0, atol=1e-10)
        assert torch.equal(torch.cat([p.nfe for p in parts]), whole.nfe)


def test_rows_that_arrive_leave_and_every_evaluation_is_counted() -> None:
    """Also those of rejected steps: of 1 + 1 to begin and then six an attempt."""
    levels, model = FLOW.levels([1.0, 0.01]), Recorded()
    x = start(levels[0], Noise(3), torch.arange(32), (2,))
    result = sample(model, ProbabilityFlow(rtol=1e-6, atol=1e-6), levels, x)
    assert int(result.nfe.sum()) == sum(model.batches)
    assert bool(((result.nfe - 2) % 6 == 0).all())
    assert len(result.nfe.unique()) > 2
    assert model.batches == sorted(model.batches, reverse=True)
    assert int(result.facts["rejected"].sum()) > 0
    assert len(model.batches) == int(result.nfe.max())
    phis = torch.cat(
        [torch.as_tensor(level.phi, dtype=torch.float64).ravel() for level in model.levels]
    )
    assert levels[-1].phi <= float(phis.min()) <= float(phis.max()) <= math.pi / 2


def test_tolerance_is_heeded_and_the_estimate_goes_with_the_error() -> None:
    levels = FLOW.levels([1.0, 0.01])
    x = start(levels[0], Noise(3), torch.arange(24), (2,))
    exact = torch.from_numpy(in_own_time(FLOW, x.numpy(), (1.0, 0.01)))
    errors, counts, estimates = [], [], []
    for tolerance in (1e-4, 1e-6, 1e-8):
        result = sample(EXACT, ProbabilityFlow(rtol=tolerance, atol=tolerance), levels, x)
        errors.append(float((result.x - exact).norm(dim=1).median()))
        counts.append(int(result.nfe.sum()))
        estimates.append(float(result.facts["error_estimate"].median()))
        assert 0.03 * tolerance < errors[-1] < 3.0 * tolerance
    assert counts[0] < counts[1] < counts[2]
    # five orders in h of an estimate of order 4: the sum falls by 100^(4/5) each time
    assert estimates[0] / estimates[2] == pytest.approx(1e4**0.8, rel=0.7)


def test_a_trajectory_passes_through_every_level() -> None:
    times = [1.0, 0.6, 0.3, 0.05]
    levels = FLOW.levels(times)
    x = start(levels[0], Noise(1), torch.arange(2), (2,))
    for sampler in (ProbabilityFlow(), ScipyFlow(rtol=1e-8, atol=1e-8)):
        result = sample(EXACT, sampler, levels, x, trajectory=True)
        assert result.trajectory.shape == (2, 4, 2)
        assert torch.equal(result.trajectory[:, -1], result.x)
        for i, t in enumerate(times[1:], start=1):
            expected = in_own_time(FLOW, x.numpy(), (1.0, t))
            assert np.abs(result.trajectory[:, i].numpy() - expected).max() < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_up_and_down_again_between_both_singular_ends(dtype) -> None:
    """From the data to alpha = 0 and back, and events of other shapes."""
    levels = (*FLOW.levels([1.0]), *FLOW.levels([0.0]))
    x = DENSITY.sample(torch.arange(6)).to(dtype)
    flow = ProbabilityFlow()
    up = flow.rise(EXACT, levels, x, torch.arange(6))
    down = sample(EXACT, flow, levels, up.x)
    assert down.x.dtype == dtype
    assert float((down.x - x).abs().max()) < (1e-6 if dtype == torch.float64 else 1e-3)


class Cubes(ScoreModel):
    """v of N(0, I) over events of any shape: 0, so nothing moves."""

    kind = "v"

    def __init__(self, *shape: int):
        self.event_shape = shape

    def forward(self, x, level):
        return 0.0 * x * level.alpha


@pytest.mark.parametrize("shape", [(), (3,), (1, 2, 3)])
def test_events_of_any_shape_at_rest(shape: tuple[int, ...]) -> None:
    levels = PROCESSES["vp-linear"]().levels([1.0, 0.5, 0.0])
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0)).double()
    result = sample(Cubes(*shape), ProbabilityFlow(), levels, x, trajectory=True)
    torch.testing.assert_close(result.x, x, rtol=1e-4, atol=0.0)  # alpha^2 + sigma^2 = 1
    assert float(result.facts["error_estimate"].max()) == 0.0


class FloatsOnly(Cubes):
    def forward(self, x, level):
        return x * (1.0 if level.alpha > 0.5 else 0.5)


class Hole(Cubes):
    """Not finite for rows of positive x where phi < 0.8."""

    def forward(self, x, level):
        phi = torch.as_tensor(level.phi, dtype=x.dtype)
        return torch.where((x > 0) & (phi < 0.8), math.nan, 0.1 * x)


def test_models_of_one_level_and_lost_rows_are_named() -> None:
    levels = PROCESSES["vp-linear"]().levels([1.0, 0.01])
    x = torch.tensor([[-1.0, -0.5], [0.3, 1.0], [-0.1, -0.2]]).double()
    with pytest.raises(CapabilityError, match=r"FloatsOnly.*level of its own"):
        sample(FloatsOnly(2), ProbabilityFlow(), levels, x)
    with pytest.raises(NonFiniteError, match=r"vanished at 0\.8 .*\(ids 71\)"):
        sample(Hole(2), ProbabilityFlow(), levels, x, ids=torch.tensor([70, 71, 72]))


def test_tolerances_below_rounding_are_refused() -> None:
    levels = FLOW.levels([1.0, 0.1])
    with pytest.raises(OptionError, match="float64"):
        sample(EXACT, ProbabilityFlow(rtol=1e-8), levels, torch.zeros(1, 2))
    with pytest.raises(OptionError, match="1e-13"):
        ScipyFlow(rtol=1e-14)
    with pytest.raises(OptionError, match="RK45"):
        ScipyFlow(method="RK4")
    with pytest.raises(OptionError, match="torchdiffeq"):
        ProbabilityFlow(method="rk4")


class Line(Stepper):
    """x' = 1, whose attempts fail as told."""

    evaluations = 1

    def __init__(self, ratios):
        super().__init__(Cubes(1))
        self.ratios, self.sizes = list(ratios), []

    def begin(self, x):
        return (), torch.full((len(x),), 0.25, dtype=torch.float64), 0

    def attempt(self, x, memory, place, target):
        from scoresde.samplers.adaptive.march import Attempt

        self.sizes.append(float((target - place).abs()[0]))
        ratio = torch.full((len(x),), self.ratios.pop(0) if self.ratios else 1.0)
        return Attempt(x + (target - place)[:, None], (), ratio, ratio)


def test_the_march_lands_on_points_and_shrinks_after_rejections() -> None:
    line = Line([2.0**5, math.nan, 1.0])
    controller = Controller(order=5.0, safety=1.0)
    done = march(line, controller, torch.zeros(1, 1).double(), [1.0, 0.9, 0.0], torch.tensor([7]))
    assert line.sizes[:4] == pytest.approx([0.1, 0.05, 0.01, 0.01], rel=0.04)
    assert done.states[0, :, 0].tolist() == pytest.approx([0.0, -0.1, -1.0], abs=1e-12)
    assert int(done.nfe[0]) == len(line.sizes)
    assert done.rejected.tolist() == [2]


@pytest.mark.slow
@pytest.mark.parametrize("method", [*ADAPTIVE, "RK45", "RK23", "Radau", "BDF", "LSODA"])
def test_every_method_of_the_libraries_comes_to_the_same_end(method: str) -> None:
    levels = FLOW.levels([1.0, 0.01])
    x = start(levels[0], Noise(3), torch.arange(2), (2,))
    exact = in_own_time(FLOW, x.numpy(), (1.0, 0.01))
    low = method in ("adaptive_heun", "fehlberg2", "RK23", "BDF", "Radau", "LSODA")
    options = {"rtol": 1e-6, "atol": 1e-6} if low else {"rtol": 1e-7, "atol": 1e-7}
    kind = TorchdiffeqFlow if method in ADAPTIVE else ScipyFlow
    got = sample(EXACT, kind(method=method, **options), levels, x).x.numpy()
    assert np.abs(got - exact).max() < (1e-3 if low else 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("method", FIXED)
def test_fixed_methods_have_their_order(method: str) -> None:
    """The slope of the error on a grid uniform in phi, over two halvings."""
    order, evaluations = FIXED[method]
    x = start(FLOW.at(0.95), Noise(3), torch.arange(3), (2,))
    exact = torch.from_numpy(in_own_time(FLOW, x.numpy(), (0.95, 0.05)))
    errors = []
    for steps in (40, 80, 160):
        phis = np.linspace(FLOW.at(0.95).phi, FLOW.at(0.05).phi, steps + 1)
        times = np.sin(phis) / (np.sin(phis) + np.cos(phis))
        levels = FLOW.levels([0.95, *times[1:-1], 0.05])
        result = sample(EXACT, TorchdiffeqFlow(method=method), levels, x)
        assert result.nfe.tolist() == [steps * evaluations] * 3
        errors.append(float((result.x - exact).abs().max()))
    slopes = -np.diff(np.log2(errors))
    assert slopes == pytest.approx([order, order], abs=0.15)


@pytest.mark.parametrize("method", [*ADAPTIVE, *FIXED])
def test_torchdiffeq_asks_nothing_outside_the_range(method: str, monkeypatch) -> None:
    """Neither of the model nor, but for rounding, of the right side before it is clamped."""
    asked: list[float] = []
    integrate = torchdiffeq_flow.odeint

    def watched(function, *args, **options):
        def noted(phi, u):
            asked.append(float(phi))
            return function(phi, u)

        return integrate(noted, *args, **options)

    monkeypatch.setattr(torchdiffeq_flow, "odeint", watched)
    levels = FLOW.levels([1.0, 0.7, 0.4, 0.02])
    model, high, low = Recorded(), levels[0].phi, levels[-1].phi
    x = start(levels[0], Noise(1), torch.arange(2), (2,))
    options = {} if method in FIXED else {"rtol": 1e-3, "atol": 1e-3}
    sample(model, TorchdiffeqFlow(method=method, **options), levels, x, trajectory=True)
    assert len(asked) == len(model.levels) > 0
    assert all(low <= level.phi <= high for level in model.levels)
    assert high == math.pi / 2
    assert min(asked) > low - 1e-9
    assert max(asked) < high + 1e-9
