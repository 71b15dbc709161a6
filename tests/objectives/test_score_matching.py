"""Implicit, sliced and finite-difference score matching against the explicit one."""

import inspect
from itertools import pairwise

import pytest
import torch
from toy_models import At, Formula, slopes, within

from scoresde.densities import GaussianMixture
from scoresde.errors import CapabilityError
from scoresde.kernels import Noise, Purpose
from scoresde.nets import MLP, UNet
from scoresde.objectives import OBJECTIVES, WEIGHTINGS, Denoising, Draws, UniformTimes
from scoresde.processes import EDM, VPLinear
from scoresde.score import NetworkScore

MIXTURE = GaussianMixture(
    means=[[1.0, -0.5], [-1.5, 0.3]], covariances=[0.2, 0.05], weights=[0.3, 0.7]
)
STEIN = ["implicit", "sliced", "sliced-vr", "finite-difference"]
VP = VPLinear(t_min=0.05)


def _batch(count, seed=3, step=0):
    return MIXTURE.sample(torch.arange(count), seed), Draws.whole(Noise(1), step, count)


def explicit(model, process, x, draws, t):
    """Explicit score matching in eps: |eps_hat + sigma grad log q(z)|^2, averaged, (batch,)."""
    level = process.level(torch.full((len(x),), t, dtype=torch.float64), x)
    z = level.alpha * x + level.sigma * draws.normal(Purpose.TRAIN, tuple(x.shape[1:]))
    target = -level.sigma * MIXTURE.score(z, level.alpha, level.sigma)
    return (model.predict(z, level, "eps") - target).square().mean(1)


def _objective(name, t, **options):
    weighting = WEIGHTINGS["simple"]()
    return OBJECTIVES[name](
        kind="eps", weighting=weighting, times=At(t=t), stratified=False, **options
    )


@pytest.mark.parametrize(("process", "t"), [(VP, 0.1), (EDM(), 0.45)], ids=str)
@pytest.mark.parametrize("name", ["denoising", *STEIN])
def test_gradients_are_those_of_explicit_score_matching(name, process, t):
    """eps_hat = a z + b tanh(2 z) + c: per-datum gradients, paired."""
    x, draws = _batch(10_000)
    options = {"epsilon": 0.01} if name == "finite-difference" else {}
    objective = _objective(name, t, **options)

    def model(theta):
        return Formula("eps", lambda z: theta[0] * z + theta[1] * torch.tanh(2.0 * z) + theta[2])

    theta = torch.tensor([0.4, 0.3, -0.2], dtype=torch.float64)
    found = slopes(lambda at: objective.losses(model(at), process, x, draws).detach(), theta)
    right = slopes(lambda at: explicit(model(at), process, x, draws, t), theta)
    assert within(found - right, 0.0)
    assert not within(1.25 * found - right, 0.0)


@pytest.mark.parametrize("name", ["denoising", *STEIN])
def test_a_network_s_gradient_is_that_of_explicit_score_matching(name):
    """The derivative along one direction of all the weights, by central differences."""
    x, draws = _batch(4000)
    torch.manual_seed(0)
    net = MLP((2,), width=8, blocks=1).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    direction = [torch.randn_like(p) for p in net.parameters()]
    options = {"epsilon": 0.01} if name == "finite-difference" else {}
    objective, t, h = _objective(name, 0.3, **options), 0.3, 1e-4
    model = NetworkScore(net, (2,), "eps")

    @torch.no_grad()
    def along(losses):
        values = []
        for step in (h, -2.0 * h):  # forth, then back beyond the start
            for p, d in zip(net.parameters(), direction, strict=True):
                p.add_(step * d)
            values.append(losses())
        for p, d in zip(net.parameters(), direction, strict=True):
            p.add_(h * d)
        return (values[0] - values[1]) / (2.0 * h)

    found = along(lambda: objective.losses(model, VP, x, draws))
    right = along(lambda: explicit(model, VP, x, draws, t))
    assert within(found - right, 0.0)
    assert not within(0.0 * found - right, 0.0)


@pytest.mark.parametrize("kind", ["eps", "F", "score", "velocity"])
def test_the_implicit_loss_is_its_formula(kind):
    x, draws = _batch(50)
    objective = OBJECTIVES["implicit"](
        kind=kind, weighting=WEIGHTINGS["edm"](), times=At(t=0.4), stratified=False
    )
    model = Formula(kind, lambda z: torch.sin(z) * z.flip(1), sigma_data=0.8)
    found = objective.losses(model, VP, x, draws)
    alpha, sigma = VP.at(0.4).alpha, VP.at(0.4).sigma
    z = alpha * x + sigma * draws.normal(Purpose.TRAIN, (2,))
    level = VP.level(torch.full((50,), 0.4, dtype=torch.float64), x)
    jacobian = torch.func.vmap(torch.func.jacrev(
        lambda row: model.predict(row[None], VP.at(0.4), "score")[0]))(z)  # fmt: skip
    trace = jacobian.diagonal(dim1=1, dim2=2).sum(1)
    score = model.predict(z, level, "score")
    weight = (alpha / sigma) ** 2 + 0.8**-2
    expected = weight * sigma**4 / alpha**2 * (score.square().sum(1) + 2.0 * trace) / 2.0
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("projection", ["rademacher", "gaussian"])
def test_sliced_losses_are_the_implicit_one_in_the_mean(projection):
    x, draws = _batch(10_000)
    model = Formula("eps", lambda z: 0.8 * z + 0.5 * torch.sin(2.0 * z.flip(1)))
    exact = _objective("implicit", 0.3).losses(model, VP, x, draws)
    for name in ("sliced", "sliced-vr", "finite-difference"):
        extra = {"epsilon": 0.002} if name == "finite-difference" else {}
        spread = []
        for count in (1, 4):
            objective = _objective(name, 0.3, projection=projection, projections=count, **extra)
            off = (objective.losses(model, VP, x, draws) - exact).detach()
            assert within(off, 0.0)
            spread.append(float(off.var()))
        assert spread[0] / spread[1] == pytest.approx(4.0, rel=0.2)  # as 1/projections


@pytest.mark.parametrize("projection", ["rademacher", "gaussian"])
def test_the_closed_square_lowers_the_variance_in_many_dimensions(projection):
    """Var (v . e)^2 grows as d^2, Var v . J v as d. (Song et al. 2019, section 3.2.)"""
    d, count = 16, 4000
    x = Noise(0)(0, Purpose.DATA, torch.arange(count), (d,))
    draws = Draws.whole(Noise(1), 0, count)
    model = Formula("eps", lambda z: VP.at(0.3).sigma * z + 0.1 * torch.sin(z.flip(1)))
    spread = {}
    for name in ("sliced", "sliced-vr"):
        objective = _objective(name, 0.3, projection=projection)
        off = objective.losses(model, VP, x, draws) - _objective("implicit", 0.3).losses(
            model, VP, x, draws
        )
        spread[name] = float(off.detach().var())
    assert spread["sliced-vr"] < 0.5 * spread["sliced"]


def test_the_bias_of_the_finite_difference_falls_as_the_square_of_its_step():
    x, draws = _batch(500)
    model = Formula("eps", lambda z: torch.sin(3.0 * z) + z.flip(1) ** 3)
    exact = _objective("sliced", 0.5).losses(model, VP, x, draws).mean().item()
    bias = [
        _objective("finite-difference", 0.5, epsilon=e).losses(model, VP, x, draws).mean().item()
        - exact
        for e in (0.08, 0.04, 0.02)
    ]
    assert abs(bias[0]) > 1e-4
    for coarse, fine in pairwise(bias):
        assert coarse / fine == pytest.approx(4.0, rel=0.03)


def test_the_finite_difference_of_a_linear_model_is_exact():
    x, draws = _batch(100)
    model = Formula("x0", lambda z: 0.3 * z + 0.2 * z.flip(1) + 1.0)
    found = _objective("finite-difference", 0.5, epsilon=1.0).losses(model, VP, x, draws)
    expected = _objective("sliced", 0.5).losses(model, VP, x, draws)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def _gradients(name, net, x, seed=4, bfloat16=False, **options):
    objective = OBJECTIVES[name](
        kind="F", weighting=WEIGHTINGS["simple"](), times=UniformTimes(), **options
    )
    model = NetworkScore(net, tuple(x.shape[1:]), "F")
    torch.manual_seed(seed)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        loss = objective.losses(model, VP, x, Draws.whole(Noise(0), 0, len(x))).mean()
    loss.backward()
    found = torch.cat([p.grad.flatten() for p in net.parameters()])
    net.zero_grad()
    return found


def _awake(net):
    """A net in training whose zeroed layers are random, so that every part has a gradient."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return net.train()


@pytest.mark.parametrize("net", ["mlp", "unet"])
def test_second_derivatives_pass_through_nets_with_attention_and_dropout(net):
    """Sliced score matching by automatic and by finite differences, under one dropout."""
    shape = (2,) if net == "mlp" else (1, 4, 4)
    made = (
        MLP(shape, width=8, blocks=1, dropout=0.3)
        if net == "mlp"
        else UNet(shape, channels=8, multipliers=(1, 2), blocks=1, attention=(1,), dropout=0.3)
    )
    made = _awake(made).double()
    x = Noise(2)(0, Purpose.DATA, torch.arange(6), shape)
    exact = _gradients("sliced", made, x)
    near = _gradients("finite-difference", made, x, epsilon=1e-3)
    assert float((near - exact).norm() / exact.norm()) < 1e-4
    other = _gradients("sliced", made, x, seed=5)
    assert float((other - exact).norm() / exact.norm()) > 0.05  # dropout was at work


@pytest.mark.parametrize("name", STEIN)
def test_autocast_leaves_the_gradients_near_those_of_float32(name):
    made = _awake(MLP((2,), width=16, blocks=1))
    x = MIXTURE.sample(torch.arange(256), 3).float()
    plain = _gradients(name, made, x)
    found = _gradients(name, made, x, bfloat16=True)
    bound = 1e-6 if name == "finite-difference" else 0.05  # bfloat16 has 8 bits
    assert float((found - plain).norm() / plain.norm()) < bound


@pytest.mark.parametrize("name", STEIN)
def test_losses_are_the_same_without_gradients_and_in_parts(name):
    x, draws = _batch(12)
    model = Formula("eps", lambda z: torch.sin(z) * z.flip(1))
    objective = _objective(name, 0.4)
    whole = objective.losses(model, VP, x, draws)
    with torch.no_grad():
        judged = objective.losses(model, VP, x, draws)
    assert not judged.requires_grad
    assert torch.equal(judged, whole.detach())
    for part in torch.arange(12).split(5):
        some = Draws(draws.noise, draws.step, part, 12)
        found = objective.losses(model, VP, x[part], some)
        torch.testing.assert_close(found, whole[part], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["implicit", "sliced", "sliced-vr"])
def test_a_model_without_a_gradient_in_the_state_is_refused(name):
    x, draws = _batch(3)
    for formula in (lambda z: z.detach(), torch.zeros_like):
        with pytest.raises(CapabilityError, match="has no gradient there; train by denoising"):
            _objective(name, 0.4).losses(Formula("eps", formula), VP, x, draws)


@pytest.mark.slow
def test_a_compiled_network_is_refused_where_it_has_no_second_derivative():
    net = MLP((2,), width=8, blocks=1)
    compiled = torch.compile(net, backend="eager")
    x, draws = _batch(3)
    for name in ("implicit", "sliced", "sliced-vr"):
        with pytest.raises(CapabilityError, match=r"set training\.compile = false"):
            _objective(name, 0.4).losses(NetworkScore(compiled, (2,), "eps"), VP, x, draws)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [n for n, m in OBJECTIVES.members.items() if "kind" in inspect.signature(m).parameters]
)
def test_every_objective_trains_a_network_towards_the_exact_denoiser(name):
    torch.manual_seed(0)
    net = MLP((2,), width=32, blocks=1)
    objective = OBJECTIVES[name](kind="F")
    model = NetworkScore(net, (2,), "F")
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    x, judge = MIXTURE.sample(torch.arange(100_000), 3).float(), torch.arange(4096)
    held_out = MIXTURE.sample(judge, 4).float()
    process = EDM(sigma_min=0.05, sigma_max=20.0)
    exact = Denoising(kind="eps", weighting=WEIGHTINGS["simple"]())

    def excess():
        """E |eps_hat - E[eps|z]|^2 over log-normal levels."""
        level = process.level(
            exact.times.draw(Draws.whole(Noise(9), 0, 4096).stratified(Purpose.TIME), process)[0],
            held_out,
        )
        z = held_out + level.sigma * Noise(9)(0, Purpose.TRAIN, judge, (2,)).float()
        target = -level.sigma * MIXTURE.score(z, level.alpha, level.sigma)
        return float((model.predict(z, level, "eps") - target).square().mean().detach())

    before = excess()
    for step in range(200):
        rows = (torch.arange(256) + 256 * step) % len(x)
        optimizer.zero_grad()
        loss = objective.losses(model, process, x[rows], Draws.whole(Noise(0), step, 256)).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    after = excess()
    assert after < 0.2 * before
