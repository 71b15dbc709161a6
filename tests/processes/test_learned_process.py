"""Laws of the learned schedule: exact ends, its inverse, its dtype, and who may change it."""

import copy
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from scoresde.errors import NonFiniteError, OptionError
from scoresde.processes import LearnedVP

EMPTY = torch.empty(1, 1, dtype=torch.float64)


def shaped(seed: int, scale: float = 1.0, **options) -> LearnedVP:
    """A schedule with every parameter moved at random; `scale` 3 makes near-jumps and plateaus."""
    process = LearnedVP(**options)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in (process.log_height, process.log_rise):
            parameter += scale * torch.randn_like(parameter)
        process.place += 0.3 * torch.randn_like(process.place)
        process.gamma_0 -= torch.rand(()).item()
        process.gamma_1 += torch.rand(()).item()
    return process


def averaged(first: LearnedVP, second: LearnedVP, weight: float) -> LearnedVP:
    mixed = copy.deepcopy(first)
    with torch.no_grad():
        torch._foreach_lerp_(list(mixed.parameters()), list(second.parameters()), weight)
    return mixed


SCHEDULES = {
    "untrained": LearnedVP(),
    "one": shaped(4, width=1),
    "smooth": shaped(1, scale=0.5),
    "steep": shaped(2, scale=3.0, width=50),
    "averaged": averaged(shaped(5, scale=3.0), shaped(6, scale=3.0), 0.37),
    "fixed": shaped(3, learn_ends=False, gamma_min=-20.0, gamma_max=9.0),
}
EVERY = pytest.mark.parametrize("process", SCHEDULES.values(), ids=SCHEDULES)


def plainly(process: LearnedVP, t: np.ndarray) -> np.ndarray:
    """gamma as the formula has it, differences and all."""
    values = [p.detach().numpy() for p in (process.log_height, process.log_rise, process.place)]
    height, rise, place = np.exp(values[0]), np.exp(values[1]), values[2]

    def m(t):
        return t + (height / (1.0 + np.exp(-rise * (np.asarray(t)[..., None] - place)))).sum(-1)

    w = (m(t) - m(0.0)) / (m(1.0) - m(0.0))
    low, high = process.gamma_0.item(), process.gamma_1.item()
    return low + (high - low) * w


@EVERY
@pytest.mark.filterwarnings("ignore:overflow encountered in exp")
def test_gamma_is_the_formula(process) -> None:
    t = np.linspace(0.0, 1.0, 301)
    found = process.gamma(torch.from_numpy(t)).numpy()
    np.testing.assert_allclose(found, plainly(process, t), rtol=0.0, atol=1e-11)


@EVERY
@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_the_ends_are_exact_whatever_the_parameters(process, count) -> None:
    for end, value in ((0.0, process.gamma_0), (1.0, process.gamma_1)):
        t = torch.full((count,), end, dtype=torch.float64)
        assert bool((process.gamma(t) == value.detach()).all())
        assert bool((process.time(-value.detach().expand(count)) == end).all())
        level, _ = process.training_level(t, EMPTY)
        assert torch.equal(level.alpha[:, 0], process.alpha(t))


@EVERY
def test_a_level_does_not_depend_on_the_times_beside_it(process) -> None:
    t = torch.linspace(-0.1, 1.1, 39, dtype=torch.float64)
    for function in (process.gamma, process.alpha, process.sigma, process.sigma_rate):
        assert torch.equal(function(t), torch.cat([function(one) for one in t.split(1)]))


@EVERY
def test_gamma_rises_strictly_at_its_rate(process) -> None:
    t = torch.linspace(-0.5, 1.5, 4001, dtype=torch.float64).requires_grad_()
    gamma, rate = process.gamma(t), process.gamma_rate(t)
    assert bool((gamma[1:] > gamma[:-1]).all())
    (slope,) = torch.autograd.grad(gamma.sum(), t)
    torch.testing.assert_close(rate, slope, rtol=1e-9, atol=1e-9)


@EVERY
def test_time_inverts_log_snr_inside_and_beyond(process) -> None:
    low, high = process.gamma_0.item(), process.gamma_1.item()
    gamma = torch.linspace(low - 3.0, high + 3.0, 997, dtype=torch.float64).requires_grad_()
    t = process.time(-gamma)
    found = process.gamma(t)
    # a time is known to its own rounding, which the slope turns into one of gamma
    allowed = 16 * 2.2e-16 * (1.0 + gamma.abs() + t.abs() * process.gamma_rate(t))
    assert bool(((found - gamma).abs() <= allowed).all())
    (slope,) = torch.autograd.grad(t.sum(), gamma)
    torch.testing.assert_close(slope, 1.0 / process.gamma_rate(t).detach())
    limits = process.time(torch.tensor([math.inf, -math.inf]))
    assert limits.tolist() == [-math.inf, math.inf]
    assert process.time(torch.zeros(0, 3)).shape == (0, 3)


@EVERY
def test_variance_is_preserved(process) -> None:
    t = torch.linspace(0.0, 1.0, 101, dtype=torch.float64)
    for level, log_snr in zip(process.levels(t), process.log_snr(t).tolist(), strict=True):
        assert level.alpha**2 + level.sigma**2 == pytest.approx(1.0, abs=4 * 2.3e-16)
        assert level.log_snr == pytest.approx(log_snr, abs=1e-14)


MOVES = {
    "to float32": lambda module: module.to(torch.float32),
    "to a device and dtype": lambda module: module.to("cpu", torch.bfloat16),
    "half": lambda module: module.half(),
    "float": lambda module: module.float(),
    "inside another": lambda module: torch.nn.ModuleDict({"process": module}).half()["process"],
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
@pytest.mark.parametrize("learn_ends", [True, False])
def test_no_move_of_dtype_loses_a_digit(move, learn_ends) -> None:
    process = shaped(7, learn_ends=learn_ends)
    before = {k: v.clone() for k, v in process.state_dict().items()}
    moved = move(process)
    assert moved is process
    for name, value in moved.state_dict().items():
        assert value.dtype == torch.float64
        assert torch.equal(value, before[name])
    assert moved.to("meta").log_rise.device.type == "meta"  # a device is still obeyed


def test_autocast_and_float32_times_do_not_reach_the_schedule() -> None:
    process, t = shaped(8), torch.rand(50)
    expected = process.gamma(t)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(process.gamma(t), expected)
        level, _ = process.training_level(t, torch.empty(1, 1))
    assert expected.dtype == torch.float64
    assert torch.equal(level.sigma, process.level(t, torch.empty(1, 1)).sigma)


@pytest.mark.parametrize("learn_ends", [True, False])
def test_a_checkpoint_keeps_every_bit(tmp_path, learn_ends) -> None:
    process = averaged(shaped(9), shaped(10), 1e-3)
    if not learn_ends:
        process = shaped(9, learn_ends=False)
    save_file(process.state_dict(), tmp_path / "schedule.safetensors")
    other = LearnedVP(learn_ends=learn_ends).to(torch.float32)
    other.load_state_dict(load_file(tmp_path / "schedule.safetensors"))
    t = torch.linspace(0.0, 1.0, 77, dtype=torch.float64)
    assert torch.equal(other.gamma(t), process.gamma(t))
    assert other.gamma(t)[[0, -1]].tolist() == [process.gamma_0.item(), process.gamma_1.item()]


def test_copies_are_equal_and_apart() -> None:
    process = shaped(11)
    other = copy.deepcopy(process)
    assert other != process
    assert len({process, other, process}) == 2
    t = torch.linspace(0.0, 1.0, 9, dtype=torch.float64)
    assert torch.equal(other.gamma(t), process.gamma(t))
    with torch.no_grad():
        other.place += 0.1
    assert not torch.equal(other.gamma(t), process.gamma(t))
    assert process.level(t, EMPTY).process is process


def test_only_a_training_level_carries_gradients_to_the_parameters() -> None:
    process = shaped(12)
    t = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)
    level = process.level(t, EMPTY)
    for value in (level.alpha, level.sigma_rate, process.time(process.log_snr(t))):
        assert not value.requires_grad
    live, _ = process.training_level(t, EMPTY)
    for field in ("t", "alpha", "sigma", "alpha_rate", "sigma_rate"):
        assert torch.equal(getattr(live, field), getattr(level, field))
    live.sigma.sum().backward()
    assert all(bool((p.grad != 0.0).any()) for p in process.parameters())
    process.requires_grad_(False)
    frozen, steer = process.training_level(t, EMPTY)
    steer(torch.ones(5))
    assert not frozen.sigma.requires_grad


def test_at_the_ends_the_shape_receives_exactly_nothing() -> None:
    process = shaped(13)
    level, _ = process.training_level(torch.tensor([0.0, 1.0]), EMPTY)
    (level.log_snr + level.sigma).sum().backward()
    for parameter in (process.log_height, process.log_rise, process.place):
        assert bool((parameter.grad == 0.0).all())
    assert process.gamma_0.grad.item() != 0.0
    assert process.gamma_1.grad.item() != 0.0


def test_ends_that_cross_are_refused_by_name() -> None:
    process = LearnedVP()
    for value in (11.0, math.nan):
        process.gamma_0.data.fill_(value)
        with pytest.raises(NonFiniteError, match=r"gamma_0 = (11|nan).*learning rate"):
            process.training_level(torch.tensor([0.5]), EMPTY)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"width": 0}, "width .* 0"),
        ({"width": True}, "width .* True"),
        ({"gamma_min": 10.0}, "gamma_min .* 10"),
        ({"gamma_max": math.inf}, "gamma_max .* inf"),
        ({"gamma_min": math.nan}, "gamma_min .* nan"),
    ],
)
def test_bad_options_of_the_schedule_are_named(options, named) -> None:
    with pytest.raises(OptionError, match=named):
        LearnedVP(**options)
