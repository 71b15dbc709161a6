"""Laws of loss-aware times: no bias at any stage, less variance, the same whatever the split."""

import math

import numpy as np
import pytest
import torch
from toy_models import ExactKind, Formula

from scoresde.densities import Gaussian
from scoresde.kernels import Noise
from scoresde.objectives import TIMES, WEIGHTINGS, Denoising, Draws, LossAwareTimes, UniformTimes
from scoresde.processes import VPLinear

VARIANCE = 0.8
DENSITY = Gaussian(mean=[0.5], covariance=[[VARIANCE]])
VP = VPLinear(t_min=0.01)
MODEL = ExactKind(DENSITY, "v")
BOUND = 0.5 * sum(
    sign * math.log1p(math.exp(VP.at(t).log_snr) * VARIANCE)
    for sign, t in ((1.0, VP.t_min), (-1.0, 1.0))
)


def _objective(times, weighting="snr-rate", stratified=False):
    return Denoising(
        kind="v", weighting=WEIGHTINGS[weighting](), times=times, stratified=stratified
    )


def _losses(objective, step, count, parts=1, seed=0):
    """The losses of one step, told of in parts."""
    found = []
    for ids in torch.arange(count).chunk(parts):
        draws = Draws(Noise(seed), step, ids, count)
        found.append(objective.losses(MODEL, VP, DENSITY.sample(ids + count * step, 3), draws))
    return torch.cat(found)


def _simple_error() -> float:
    """E_t SNR v/(1 + SNR v), t uniform, by Gauss-Legendre quadrature in float64."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    t = torch.tensor(0.5 * (nodes + 1.0) * (1.0 - VP.t_min) + VP.t_min)
    snr = torch.exp(VP.log_snr(t)).numpy()
    return float((0.5 * weights * snr * VARIANCE / (1.0 + snr * VARIANCE)).sum())


@pytest.mark.parametrize(
    ("base", "weighting"),
    [("uniform", "snr-rate"), ("log-snr-uniform", "snr-rate"), ("uniform", "simple")],
)
def test_losses_are_unbiased_before_and_after_the_law_has_learned(base, weighting):
    times = LossAwareTimes(base=TIMES[base](), bins=16)
    objective = _objective(times, weighting)
    exact = BOUND if weighting == "snr-rate" else _simple_error()
    uneven = []
    for step in range(3):
        losses = _losses(objective, step, 40_000)
        error = float(losses.std()) / math.sqrt(len(losses))
        assert error < 0.05 * exact
        assert abs(float(losses.mean()) - exact) < 4.0 * error
        uneven.append(float(times.masses().max()) * 16)
    assert uneven[0] == 1.0  # the first step was drawn evenly
    assert uneven[2] > 1.3


def test_the_variance_of_the_bound_falls_below_that_of_uniform_times():
    times = LossAwareTimes()
    for step in range(4):
        aware = _losses(_objective(times), step, 20_000)
    even = _losses(_objective(UniformTimes()), 3, 20_000)
    assert float(aware.var()) < 0.2 * float(even.var())


def test_masses_are_the_root_mean_square_of_the_loss_and_the_floor():
    times = LossAwareTimes(bins=4, floor=0.2, warm_up=2, decay=0.5)
    u = torch.tensor([0.1, 0.3, 0.6, 0.9]).double().repeat(2)
    losses = torch.tensor([1.0, 2.0, 3.0, 0.0]).repeat(2)
    even = torch.full((4,), 0.25).double()
    times.told(u[:7], losses[:7], 0)
    times.tilted(u, 1)
    assert torch.equal(times.masses(), even)  # one part has a single term yet
    times.told(u[7:], losses[7:], 1)
    assert torch.equal(times.masses(), even)  # what a step tells counts from the next
    times.told(u, 2.0 * losses, 2)
    new, ratio = times.tilted(u, 3)
    # terms of weight 1/2 each: squares 1 (twice), then 4 (twice), over 1 - 2^-4
    rms = math.sqrt((0.25 * 0.75 + 4.0 * 0.75) / (1.0 - 0.5**4))
    share = torch.tensor([1.0, 2.0, 3.0, 0.0]).double() * rms
    expected = 0.8 * share / share.sum() + 0.05
    torch.testing.assert_close(times.masses(), expected, rtol=1e-12, atol=0.0)
    b = (new * 4).long()
    torch.testing.assert_close(ratio, 4.0 * expected[b], rtol=1e-12, atol=0.0)
    edge = expected.cumsum(0) - expected
    torch.testing.assert_close(edge[b] + (4 * new - b) * expected[b], u, rtol=1e-12, atol=0.0)


def test_what_is_learned_does_not_depend_on_the_split_and_survives_a_checkpoint():
    whole, split = LossAwareTimes(bins=8), LossAwareTimes(bins=8)
    for step in range(5):
        a = _losses(_objective(whole, stratified=True), step, 240)
        b = _losses(_objective(split, stratified=True), step, 240, parts=5)
        torch.testing.assert_close(b, a, rtol=1e-9, atol=1e-12)
    assert float(whole.masses().max()) > 1.3 / 8
    resumed = LossAwareTimes(bins=8)
    resumed.load_state_dict(whole.state_dict())
    again = _losses(_objective(resumed), 5, 100)
    assert torch.equal(again, _losses(_objective(whole), 5, 100))


def test_held_out_losses_are_drawn_by_the_base_law_and_teach_nothing():
    times = LossAwareTimes(bins=8, warm_up=1)
    for step in range(3):
        _losses(_objective(times), step, 500)
    before = {name: buffer.clone() for name, buffer in times.named_buffers()}
    times.eval()
    held_out = _losses(_objective(times), 0, 500)
    assert torch.equal(held_out, _losses(_objective(UniformTimes()), 0, 500))
    times.train()
    for name, buffer in times.named_buffers():
        assert torch.equal(buffer, before[name])


def test_losses_that_are_no_numbers_leave_the_memory_clean():
    times = LossAwareTimes(bins=2, warm_up=1)
    u, nan = torch.tensor([0.1, 0.2, 0.8]).double(), math.nan
    times.told(u, torch.tensor([1.0, nan, 1.0]), 0)
    times.told(u, torch.tensor([math.inf, 1.0, 1.0]), 1)
    times.tilted(u, 2)
    torch.testing.assert_close(times.masses(), torch.full((2,), 0.5).double())
    silent = LossAwareTimes(bins=2, warm_up=1)
    for step in range(3):  # a loss of zero everywhere
        silent.told(u, torch.zeros(3), step)
    assert torch.equal(silent.tilted(u, 3)[1], torch.ones(3).double())


@pytest.mark.parametrize("count", [1, 3])
def test_a_batch_smaller_than_the_bins_is_drawn_evenly_until_each_is_known(count):
    times = LossAwareTimes(bins=32, warm_up=1)
    for step in range(2):
        ids = torch.arange(count)
        draws = Draws.whole(Noise(0), step, count)
        aware = _objective(times).losses(Formula("v", torch.sin), VP, ids[:, None] + 1.0, draws)
        even = _objective(UniformTimes()).losses(
            Formula("v", torch.sin), VP, ids[:, None] + 1.0, draws
        )
        assert torch.equal(aware, even)
