"""Laws of the two gradients: ends by the bound, the shape by the estimator's variance."""

import copy
import math

import pytest
import torch
from toy_models import ExactKind

from scoresde.densities import Gaussian
from scoresde.kernels import Noise, Purpose
from scoresde.objectives import Bound, Draws
from scoresde.processes import LearnedVP
from scoresde.score import ScoreModel

SHAPE, ENDS = ("log_height", "log_rise", "place"), ("gamma_0", "gamma_1")
COUNT = 24


class Tanh(ScoreModel):
    """eps_hat = theta tanh(z + log SNR/5): a learning model that looks at state and level."""

    kind = "eps"

    def __init__(self):
        self.theta = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def forward(self, x, level):
        return self.theta.to(x.dtype) * torch.tanh(x + 0.2 * level.log_snr)


def schedule(seed: int = 0) -> LearnedVP:
    process = LearnedVP(width=5, gamma_min=-4.0, gamma_max=3.0)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in process.parameters():
            parameter += 0.4 * torch.randn_like(parameter)
    return process


def data(dtype=torch.float64) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(COUNT, 3, dtype=torch.float64).to(dtype)


def written(process: LearnedVP, model: Tanh, x: torch.Tensor, steps: int):
    """(diffusion, prior + reconstruction) of every datum, from the paper's formulas in gamma."""
    ids, noise = torch.arange(COUNT), Noise(9)
    eps = noise(2, Purpose.TRAIN, ids, (3,))
    u = (noise.uniform(2, Purpose.TIME, ids[:1], (1,))[0, 0] + ids.double() / COUNT) % 1.0
    height, rise = process.log_height.exp(), process.log_rise.exp()

    def m(t):
        return t + (height * torch.sigmoid(rise * (t[:, None] - process.place))).sum(1)

    def gamma(t):
        start, end = m(torch.zeros(1, dtype=torch.float64)), m(torch.ones(1, dtype=torch.float64))
        w = (m(t) - start) / (end - start)
        return process.gamma_0 + (process.gamma_1 - process.gamma_0) * w

    t = (torch.floor(u * steps) + 1.0) / steps if steps else u.clone().requires_grad_()
    g = gamma(t)
    if steps:
        factor = 0.5 * steps * torch.expm1(g - gamma(t - 1.0 / steps))
    else:
        (rate,) = torch.autograd.grad(g.sum(), t, create_graph=True)
        factor = 0.5 * rate
    alpha, sigma = torch.sigmoid(-g).sqrt(), torch.sigmoid(g).sqrt()
    z = alpha[:, None] * x + sigma[:, None] * eps
    eps_hat = model.theta * torch.tanh(z - 0.2 * g[:, None])
    diffusion = factor * (eps_hat - eps).square().mean(1)
    a, s = torch.sigmoid(-process.gamma_1), torch.sigmoid(process.gamma_1)
    prior = 0.5 * (s + a * x.square().mean(1) - 1.0 - s.log())
    return diffusion, prior + 0.5 * (1.0 + math.log(2.0 * math.pi) + process.gamma_0)


def gradients(process: LearnedVP, model: Tanh) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in process.named_parameters()} | {"theta": model.theta.grad}


def expected_gradients(process, model, x, steps: int) -> dict[str, torch.Tensor]:
    """Ends and network: of mean(l). The shape: of mean(l_diffusion^2), or of mean(l) if T > 0."""
    diffusion, rest = written(process, model, x, steps)
    mean = (diffusion + rest).mean()
    names = [*ENDS, "theta"] + (list(SHAPE) if steps else [])
    leaves = dict(process.named_parameters()) | {"theta": model.theta}
    found = torch.autograd.grad(mean, [leaves[n] for n in names], retain_graph=True)
    out = dict(zip(names, found, strict=True))
    if not steps:
        square = diffusion.square().mean()
        out |= zip(SHAPE, torch.autograd.grad(square, [leaves[n] for n in SHAPE]), strict=True)
    return out


def learn(process, model, x, steps: int, parts: tuple[int, ...]) -> None:
    """One backward pass a part, as a training loop makes them."""
    ids, begin = torch.arange(COUNT), 0
    for size in parts:
        rows = slice(begin, begin + size)
        draws = Draws(Noise(9), 2, ids[rows], COUNT)
        losses = Bound(steps=steps).losses(model, process, x[rows], draws)
        (losses.sum() / COUNT).backward()
        begin += size


@pytest.mark.parametrize("steps", [0, 6])
@pytest.mark.parametrize("parts", [(COUNT,), (1, 7, 16)], ids=str)
def test_one_backward_pass_gives_each_its_own_gradient(steps, parts) -> None:
    process, model, x = schedule(), Tanh(), data()
    expected = expected_gradients(process, model, x, steps)
    learn(process, model, x, steps, parts)
    for name, gradient in gradients(process, model).items():
        torch.testing.assert_close(
            gradient, expected[name], rtol=1e-9, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_the_shape_s_gradient_is_the_finite_difference_of_the_second_moment() -> None:
    process, model, x = schedule(3), Tanh(), data()
    learn(process, model, x, 0, (COUNT,))
    draws, step = Draws.whole(Noise(9), 2, COUNT), 1e-6
    for name in SHAPE:
        parameter = getattr(process, name)
        for index in range(len(parameter)):
            moments = []
            for sign in (1.0, -1.0):
                moved = copy.deepcopy(process)
                getattr(moved, name).data[index] += sign * step
                with torch.no_grad():
                    terms = Bound().terms(model, moved, x, draws)
                moments.append(float(terms["diffusion"].square().mean()))
            slope = (moments[0] - moments[1]) / (2.0 * step)
            assert parameter.grad[index].item() == pytest.approx(slope, rel=1e-6, abs=1e-7)


def test_a_scaled_loss_scales_every_gradient_and_float32_data_agree() -> None:
    process, model, x = schedule(), Tanh(), data()
    expected = expected_gradients(process, model, x, 0)
    losses = Bound().losses(model, process, x.float(), Draws.whole(Noise(9), 2, COUNT))
    assert losses.dtype == torch.float32
    (1024.0 * losses.mean()).backward()
    for name, gradient in gradients(process, model).items():
        assert gradient.dtype == torch.float64
        torch.testing.assert_close(gradient / 1024.0, expected[name], rtol=1e-4, atol=1e-5)


def test_fixed_ends_leave_only_the_shape_to_learn() -> None:
    process, model = LearnedVP(width=5, learn_ends=False), Tanh()
    learn(process, model, data(), 0, (COUNT,))
    assert {name for name, _ in process.named_parameters()} == set(SHAPE)
    assert all(bool((p.grad != 0.0).any()) for p in process.parameters())


VARIANCE = 0.02
NARROW = Gaussian(mean=[0.0, 0.0], covariance=[[VARIANCE, 0.0], [0.0, VARIANCE]])


def exact_bound(process: LearnedVP) -> torch.Tensor:
    """The bound of N(0, v) under its exact denoiser, in nats a dimension."""
    gamma_0, gamma_1 = process.gamma_0, process.gamma_1
    share = torch.sigmoid(-gamma_1)
    prior = 0.5 * (share * VARIANCE - share - torch.log1p(-share))
    start, end = (torch.log1p(VARIANCE * torch.exp(-g)) for g in (gamma_0, gamma_1))
    return prior + 0.5 * (1.0 + math.log(2.0 * math.pi) + gamma_0) + 0.5 * (start - end)


def test_the_ends_gradient_is_that_of_the_exact_bound() -> None:
    process = LearnedVP(gamma_min=-5.0, gamma_max=0.5)
    ends = [process.gamma_0, process.gamma_1]
    slopes = torch.stack(torch.autograd.grad(exact_bound(process), ends))
    model, found = ExactKind(NARROW, "eps"), []
    for k in range(40):
        x = NARROW.sample(torch.arange(250) + 250 * k, 2)
        losses = Bound().losses(model, process, x, Draws.whole(Noise(4), k, 250))
        found.append(torch.stack(torch.autograd.grad(losses.mean(), ends)))
    found = torch.stack(found)
    error = found.std(0) / math.sqrt(40)
    assert bool((error < 0.05 * slopes.abs()).all())  # else the test could not fail
    assert bool(((found.mean(0) - slopes).abs() < 4.0 * error).all())


def train(process: LearnedVP, steps: int, rate: float) -> None:
    model, optimizer = ExactKind(NARROW, "eps"), torch.optim.Adam(process.parameters(), lr=rate)
    for k in range(steps):
        x = NARROW.sample(torch.arange(128) + 128 * k, 1)
        optimizer.zero_grad()
        Bound().losses(model, process, x, Draws.whole(Noise(0), k, 128)).mean().backward()
        for group in optimizer.param_groups:
            group["lr"] = rate * (1.0 - k / steps)
        optimizer.step()


def time_moments(process: LearnedVP) -> tuple[float, float]:
    """(L, int l_t^2 dt), l_t = gamma'/2 v/(v + e^gamma): the exact mean loss at t."""
    t = torch.linspace(0.0, 1.0, 20_001, dtype=torch.float64)
    loss = 0.5 * process.gamma_rate(t) * torch.sigmoid(math.log(VARIANCE) - process.gamma(t))
    return float(torch.trapezoid(loss, t)), float(torch.trapezoid(loss.square(), t))


def batch_spread(process: LearnedVP) -> float:
    """Deviation of a datum's diffusion term over fresh data, times and noise."""
    x = NARROW.sample(torch.arange(4000), 77)
    with torch.no_grad():
        draws = Draws.whole(Noise(77), 0, 4000)
        return float(Bound().terms(ExactKind(NARROW, "eps"), process, x, draws)["diffusion"].std())


@pytest.mark.slow
def test_a_trained_shape_comes_near_the_least_variance_that_there_is() -> None:
    """E l^2 = (1 + 2/d) int l_t^2 dt, least, (1 + 2/d) L^2, where l_t is the same at every t."""
    process = LearnedVP(gamma_min=-8.0, gamma_max=4.0, learn_ends=False)
    (mean, before), spread = time_moments(process), batch_spread(process)
    assert spread == pytest.approx(math.sqrt(2.0 * before - mean**2), rel=0.1)
    train(process, 200, 0.02)
    same, after = time_moments(process)
    assert same == pytest.approx(mean, rel=1e-6)
    assert before / mean**2 > 2.0
    assert after / mean**2 - 1.0 < 0.15 * (before / mean**2 - 1.0)
    assert batch_spread(process) == pytest.approx(math.sqrt(2.0 * after - mean**2), rel=0.1)
    assert batch_spread(process) < 0.7 * spread


@pytest.mark.slow
def test_the_ends_move_to_lower_the_bound() -> None:
    """It falls towards the entropy, log(2 pi e v)/2, and never below."""
    process = LearnedVP(gamma_min=-5.0, gamma_max=0.5)
    before = exact_bound(process).item()
    train(process, 150, 0.05)
    after = exact_bound(process).item()
    entropy = 0.5 * math.log(2.0 * math.pi * math.e * VARIANCE)
    assert process.gamma_0.item() < -6.0
    assert process.gamma_1.item() > 1.5
    assert entropy < after < entropy + 0.3 * (before - entropy)
