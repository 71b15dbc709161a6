"""Laws of the weights: the papers' forms, the bounds in closed form, learned uncertainty."""

import inspect
import math

import pytest
import torch
from toy_models import ExactKind, Formula

from scoresde.densities import Gaussian
from scoresde.errors import OptionError
from scoresde.kernels import Noise, Purpose
from scoresde.objectives import (
    OBJECTIVES,
    TIMES,
    WEIGHTINGS,
    Denoising,
    Draws,
    FlowMatching,
    LossAwareTimes,
    UncertaintyWeighting,
    UniformTimes,
)
from scoresde.processes import EDM, PROCESSES, VarianceExploding, VPLinear

D = 0.7  # sigma_data
VARIANCES = (2.0, 0.3)
DENSITY = Gaussian(mean=[1.0, -1.0], covariance=[[2.0, 0.0], [0.0, 0.3]])
VP = VPLinear(t_min=0.05)
DENOISING = [
    name for name, m in OBJECTIVES.members.items() if "kind" in inspect.signature(m).parameters
]


def _levels(process, count=60):
    low = process.t_min
    t = low + (1.0 - low) * torch.linspace(0.0, 0.99, count, dtype=torch.float64)
    return process.level(t, torch.empty(1, 1, dtype=torch.float64))


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


# the weight of a kind's own squared error as its paper writes it, in (SNR, r = sigma/alpha)
PUBLISHED = {
    "simple": ("eps", {}, lambda snr, r: 1.0),
    "edm": ("F", {}, lambda snr, r: 1.0),
    "min-snr": ("eps", {"gamma": 3.0}, lambda snr, r: min(snr, 3.0) / snr),
    "p2": ("eps", {"k": 2.0, "gamma": 0.5}, lambda snr, r: 1.0 / (2.0 + snr) ** 0.5),
}


@pytest.mark.parametrize("weighting", PUBLISHED)
@pytest.mark.parametrize("name", PROCESSES.members)
def test_weights_are_the_papers_in_the_papers_kind(name, weighting):
    kind, options, published = PUBLISHED[weighting]
    level = _levels(PROCESSES[name]())
    found = WEIGHTINGS[weighting](**options).weight(level, D)
    for w, alpha, sigma in zip(
        found.ravel(), level.alpha.ravel(), level.sigma.ravel(), strict=True
    ):
        r = float(sigma / alpha)
        # d eps_hat = -d x0_hat/r; x0_hat = c_skip z + r d/sqrt(r^2 + d^2) F (EDM)
        slope = {"eps": r, "F": r * D / math.hypot(r, D)}[kind]
        assert float(w) * slope**2 == pytest.approx(published(r**-2, r), rel=1e-9)


@pytest.mark.parametrize("name", PROCESSES.members)
def test_the_sigmoid_weight_multiplies_the_rate_of_the_bound_in_eps(name):
    process = PROCESSES[name]()
    level = _levels(process)
    found = WEIGHTINGS["sigmoid"](bias=-1.5).weight(level, D)
    h = 1e-6
    for w, t in zip(found.ravel().tolist(), level.t.ravel().tolist(), strict=True):
        if name == "ddpm" or t < process.t_min + h:  # one-sided at the chain's knots
            continue
        before, at, after = (process.at(t + k).log_snr for k in (-h, 0.0, h))
        rate = (before - after) / (2.0 * h)  # -dlambda/dt
        expected = 0.5 * sigmoid(-1.5 - at) * rate * math.exp(at)
        assert w == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("steps", [1, 7, 10_000])
@pytest.mark.parametrize("name", PROCESSES.members)
def test_the_weights_of_the_discrete_bound_add_up_to_the_fall_of_snr(name, steps):
    process, weighting = PROCESSES[name](), WEIGHTINGS["vlb"](steps=steps)
    width = (1.0 - process.t_min) / steps
    middle = process.t_min + width * (torch.arange(steps, dtype=torch.float64) + 0.5)
    t = weighting.instant(middle, process)
    torch.testing.assert_close(t, middle + 0.5 * width, rtol=0.0, atol=1e-12)
    assert torch.equal(weighting.instant(t, process), t)
    weight = weighting.weight(process.level(t, torch.empty(1, 1, dtype=torch.float64)), 1.0)
    ends = [math.exp(process.at(end).log_snr) for end in (process.t_min, 1.0)]
    assert bool((weight > 0.0).all())
    assert float(weight.sum()) * width == pytest.approx(0.5 * (ends[0] - ends[1]), rel=1e-12)


@pytest.mark.parametrize("name", [name for name in PROCESSES.members if name != "ddpm"])
def test_the_discrete_weight_tends_to_the_rate_without_cancelling(name):
    process = PROCESSES[name]()
    t = process.t_min + (1.0 - process.t_min) * torch.tensor([0.1, 0.5, 0.9]).double()
    error = []
    for steps in (1000, 10_000, 1_000_000):
        weighting = WEIGHTINGS["vlb"](steps=steps)
        level = process.level(
            weighting.instant(t, process), torch.empty(1, 1, dtype=torch.float64)
        )
        ratio = weighting.weight(level, 1.0) / (-0.5 * level.snr_rate)
        error.append(float((ratio - 1.0).abs().max()))
    assert error[1] == pytest.approx(error[0] / 10.0, rel=0.2)
    assert error[2] == pytest.approx(error[1] / 100.0, rel=0.1)


def _discrete_bound(process, steps):
    """L_T of the exact denoiser of DENSITY: E|x0_hat - x|^2 = sum v/(1 + SNR v), in nats."""
    low = process.t_min
    snr = [math.exp(process.at(low + (1.0 - low) * i / steps).log_snr) for i in range(steps + 1)]
    return sum(
        0.5 * (snr[i - 1] - snr[i]) * sum(v / (1.0 + snr[i] * v) for v in VARIANCES)
        for i in range(1, steps + 1)
    )


@pytest.mark.parametrize("law", TIMES.members)
@pytest.mark.parametrize("steps", [3, 50])
def test_the_discrete_bound_is_estimated_without_bias_under_every_law_of_times(steps, law):
    options = {"log-normal": {"mean": -1.0, "std": 3.0}}
    ids = torch.arange(30_000)
    objective = Denoising(
        kind="v",
        weighting=WEIGHTINGS["vlb"](steps=steps),
        times=TIMES[law](**options.get(law, {})),
        stratified=False,
    )
    draws = Draws.whole(Noise(2), 0, len(ids))
    losses = objective.losses(ExactKind(DENSITY, "v"), VP, DENSITY.sample(ids, 3), draws)
    error = float(losses.std()) / math.sqrt(len(losses))
    exact = _discrete_bound(VP, steps)
    assert error < 0.03 * exact
    assert abs(float(losses.mean()) - exact) < 4.0 * error
    assert abs(_discrete_bound(VP, 2 * steps) - exact) > 4.0 * error or steps > 3


def test_more_steps_tighten_the_bound_towards_the_continuous_one():
    found = [_discrete_bound(VP, steps) for steps in (1, 2, 4, 8, 1024)]
    ends = [math.exp(VP.at(t).log_snr) for t in (VP.t_min, 1.0)]
    limit = sum(0.5 * (math.log1p(ends[0] * v) - math.log1p(ends[1] * v)) for v in VARIANCES)
    assert found == sorted(found, reverse=True)
    assert limit < found[-1] < 1.02 * limit


@pytest.mark.parametrize("name", ["denoising", "implicit"])
def test_a_bound_that_is_infinite_is_refused(name):
    process = PROCESSES["rectified-flow"]()
    objective = OBJECTIVES[name](kind="eps", weighting=WEIGHTINGS["vlb"](), times=UniformTimes())
    x = torch.zeros(3, 2)
    with pytest.raises(OptionError, match="the bound is infinite; train the kind v"):
        objective.losses(Formula("eps", torch.sin), process, x, Draws.whole(Noise(0), 0, 3))


@pytest.mark.parametrize("kind", ["velocity", "eps", "F"])
@pytest.mark.parametrize("name", ["rectified-flow", "vp-linear", "edm"])
def test_flow_matching_is_the_square_of_the_velocity_s_residual(name, kind):
    process, ids = PROCESSES[name](), torch.arange(40)
    x, draws = DENSITY.sample(ids, 3), Draws.whole(Noise(5), 2, 40)
    found = FlowMatching(kind=kind, stratified=False).losses(
        Formula(kind, torch.sin, D), process, x, draws
    )
    t = process.t_min + (1.0 - process.t_min) * draws.uniform(Purpose.TIME)
    level = process.level(t, x)
    eps = draws.normal(Purpose.TRAIN, (2,))
    out = Formula(kind, torch.sin, D).predict(
        level.alpha * x + level.sigma * eps, level, "velocity"
    )
    target = level.alpha_rate * x + level.sigma_rate * eps
    torch.testing.assert_close(found, (out - target).square().mean(1), rtol=1e-7, atol=1e-9)
    if name == "rectified-flow":
        torch.testing.assert_close(target, eps - x, rtol=0.0, atol=0.0)


def test_uncertainty_learns_the_log_of_the_error_at_every_level():
    """F = 0 on N(0, v), sigma_data = 1: E w|x0_hat - x|^2 = E F_target^2, F_target = (r x - eps)/s
    with s^2 = r^2 + 1, so it is (r^2 v + 1)/(r^2 + 1) at r = sigma/alpha."""
    variance, ids = 9.0, torch.arange(2048)
    weighting = UncertaintyWeighting(frequencies=4)
    times = TIMES["log-snr-uniform"](low=-5.0, high=5.0)
    objective = Denoising(weighting=weighting, times=times)
    model = Formula("F", torch.zeros_like)
    x = DENSITY.sample(ids, 1)
    x = ((x - DENSITY.mean) / torch.tensor(VARIANCES).double().sqrt()) * math.sqrt(variance)
    process, parameters = VarianceExploding(), list(objective.modules()["weighting"].parameters())
    plain = Denoising(weighting=weighting.base, times=times)
    draws = Draws.whole(Noise(4), 0, len(ids))
    torch.testing.assert_close(
        objective.losses(model, process, x, draws), plain.losses(model, process, x, draws)
    )  # u is 0 at first
    optimizer = torch.optim.LBFGS(parameters, max_iter=25, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = objective.losses(model, process, x, draws).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    log_snr = torch.linspace(-4.5, 4.5, 19, dtype=torch.float64)
    square = torch.exp(-log_snr)
    expected = torch.log((square * variance + 1.0) / (square + 1.0))
    found = weighting.uncertainty(log_snr).detach().double()
    # 2048 errors of relative spread 1 over nine coefficients: so 3/sqrt(2048) at a point
    assert float((found - expected).abs().max()) < 4.0 * 3.0 / math.sqrt(len(ids))
    assert float(expected.max() - expected.min()) > 1.9


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: WEIGHTINGS["min-snr"](gamma=0.0), "gamma of the min-SNR"),
        (lambda: WEIGHTINGS["min-snr"](gamma=math.nan), "gamma of the min-SNR"),
        (lambda: WEIGHTINGS["p2"](k=-1.0), "k of the P2"),
        (lambda: WEIGHTINGS["p2"](gamma=math.inf), "gamma of the P2"),
        (lambda: WEIGHTINGS["sigmoid"](bias=math.inf), "bias of the sigmoid"),
        (lambda: WEIGHTINGS["vlb"](steps=0), "steps of the bound"),
        (lambda: UncertaintyWeighting(frequencies=0), "frequencies of the weighting"),
        (lambda: UncertaintyWeighting(base=UncertaintyWeighting()), "take a fixed weighting"),
        (lambda: OBJECTIVES["sliced"](weighting=UncertaintyWeighting()), "a constant alone"),
        (lambda: OBJECTIVES["sliced"](projections=0), "projections"),
        (lambda: OBJECTIVES["sliced-vr"](projection="gausian"), "Did you mean 'gaussian'"),
        (lambda: OBJECTIVES["finite-difference"](epsilon=0.0), "epsilon"),
        (lambda: OBJECTIVES["ncsn"](levels=1), "levels of NCSN"),
        (lambda: OBJECTIVES["ncsn"](sigma_min=2.0, sigma_max=1.0), "sigma_min < sigma_max"),
        (lambda: OBJECTIVES["ncsn"](sigma_min=1e-3).ends(EDM()), "range of EDM"),
        (lambda: OBJECTIVES["ncsn"]().ends(PROCESSES["vp-cosine"]()), "set sigma_min and"),
        (lambda: TIMES["log-snr-uniform"](low=1.0, high=1.0), "low < high"),
        (lambda: TIMES["log-snr-cosine"](shift=math.nan), "shift"),
        (lambda: LossAwareTimes(bins=0), "bins"),
        (lambda: LossAwareTimes(floor=0.0), "floor"),
        (lambda: LossAwareTimes(decay=1.0), "decay"),
        (lambda: LossAwareTimes(base=LossAwareTimes()), "take a fixed law"),
        *((lambda o=o: OBJECTIVES[o](kind="epss"), "mean 'eps'") for o in DENOISING),
    ],
)
def test_an_option_out_of_range_is_named(make, named):
    with pytest.raises(OptionError, match=named):
        make()
