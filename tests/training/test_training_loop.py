"""Laws of the loop: order, repeatability, rates, clipping, the moving average, precision."""

import math
from itertools import pairwise

import pytest
import tiny_run
import torch

from scoresde.errors import NonFiniteError, OptionError
from scoresde.training import Training
from scoresde.training.order import batch_indices


@pytest.mark.parametrize("batch", [1, 7, 16, 50, 120])
def test_the_order_is_a_permutation_each_epoch_whatever_the_batch(batch):
    count, epochs = 50, 5
    total = count * epochs
    steps = -(-total // batch)
    order = torch.cat([batch_indices(2, k, batch, count) for k in range(steps)])[:total]
    plain = torch.cat([batch_indices(2, k, 10, count) for k in range(total // 10)])
    assert torch.equal(order, plain)
    rows = order.reshape(epochs, count)
    assert torch.equal(rows.sort(1).values, torch.arange(count).expand(epochs, count))
    assert len({tuple(row.tolist()) for row in rows}) == epochs
    assert not torch.equal(batch_indices(3, 0, 50, count), batch_indices(2, 0, 50, count))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_one_seed_gives_the_same_bits_and_another_other_ones(dropout):
    net = {"dropout": dropout}
    first, steps = tiny_run.run(tiny_run.settings(net=net))
    torch.rand(7)  # the state of torch's own generator is of no account
    before = torch.get_rng_state()
    second, again = tiny_run.run(tiny_run.settings(net=net))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(tiny_run.weights(first), tiny_run.weights(second))
    assert torch.equal(tiny_run.averaged(first), tiny_run.averaged(second))
    assert [s.loss for s in steps] == [s.loss for s in again]
    other, _ = tiny_run.run(tiny_run.settings(net=net, seed=4))
    assert not torch.equal(tiny_run.weights(first), tiny_run.weights(other))


def test_dropout_acts_in_training_and_differs_by_seed():
    with_dropout, _ = tiny_run.run(tiny_run.settings(net={"dropout": 0.3}))
    without, _ = tiny_run.run(tiny_run.settings())
    assert not torch.equal(tiny_run.weights(with_dropout), tiny_run.weights(without))


def test_the_moving_average_follows_its_formula():
    decay = 0.7
    half_life = math.log(0.5) / math.log(decay)
    chosen = tiny_run.settings(training={"half_lives": [half_life], "steps": 25})
    state, steps = tiny_run.steps_of(chosen)
    expected = tiny_run.averaged(state).double()
    for k, _ in enumerate(steps, start=1):
        d = min(decay, (1 + k) / (10 + k))
        expected = d * expected + (1 - d) * tiny_run.weights(state).double()
    torch.testing.assert_close(tiny_run.averaged(state).double(), expected, rtol=1e-5, atol=1e-7)
    assert (1 + 3) / (10 + 3) < decay < (1 + 25) / (10 + 25)  # both branches were taken


def test_the_learning_rate_warms_up_and_falls_as_half_a_cosine():
    training = {"steps": 30, "warm_up": 5, "learning_rate": 0.02}
    _, steps = tiny_run.run(tiny_run.settings(training=training))
    for k, step in enumerate(steps):
        warm = min(1.0, (k + 1) / 5)
        expected = 0.02 * warm * 0.5 * (1.0 + math.cos(math.pi * k / 30))
        assert step.learning_rate == pytest.approx(expected, rel=1e-12)
        assert step.step == k + 1
        assert step.progress == pytest.approx((k + 1) / 30)
    assert len(steps) == 30


def test_the_clock_ends_a_run_and_the_rate_follows_the_clock():
    training = {"steps": 10**6, "seconds": 0.3, "warm_up": 0, "learning_rate": 0.01}
    _, steps = tiny_run.run(tiny_run.settings(training=training))
    assert len(steps) < 10**5
    assert steps[-1].progress == 1.0
    assert steps[-2].seconds < 0.3 <= steps[-1].seconds
    for before, step in pairwise(steps):
        expected = 0.005 * (1.0 + math.cos(math.pi * before.progress))
        assert step.learning_rate == pytest.approx(expected, rel=1e-9)


def test_the_gradient_s_norm_is_cut_to_the_bound_and_told_as_it_was():
    bound = 1e-3
    state, steps = tiny_run.steps_of(tiny_run.settings(training={"clip": bound}))
    for step in steps:
        norm = math.sqrt(sum(float(p.grad.square().sum()) for p in state.net.parameters()))
        assert step.gradient_norm > 10 * bound
        assert norm == pytest.approx(bound, rel=1e-2)


@pytest.mark.slow
def test_the_loss_of_two_points_falls_from_one_towards_its_floor():
    """F of an untrained net is 0, so its loss is 1; with two points F is nearly known."""
    training = {"steps": 120, "batch": 64, "learning_rate": 0.01}
    chosen = tiny_run.settings(net={"width": 32}, training=training)
    points = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    _, steps = tiny_run.steps_of(chosen, data=tiny_run.dataset(points))
    losses = torch.tensor([step.loss for step in steps])
    error = float(losses[:5].std()) / math.sqrt(5)
    assert abs(float(losses[:5].mean()) - 1.0) < 5.0 * error
    assert float(losses[-30:].mean()) < 0.5


@pytest.mark.parametrize("row", [0, 17])
def test_a_datum_that_is_no_number_stops_the_run_at_its_own_step(row):
    chosen = tiny_run.settings()
    data = tiny_run.with_a_hole(chosen.build("data").load(), row)
    first = next(k for k in range(20) if row in batch_indices(3, k, 16, 50))
    state, steps = tiny_run.steps_of(chosen, data=data)
    with pytest.raises(NonFiniteError, match=f"loss is nan at step {first + 1} "):
        list(steps)
    assert state.step == first
    assert bool(torch.isfinite(tiny_run.weights(state)).all())


def test_bfloat16_trains_near_float32():
    found = {}
    for precision in ("float32", "bfloat16"):
        training = {"precision": precision, "steps": 40, "batch": 64, "learning_rate": 0.01}
        state, steps = tiny_run.run(tiny_run.settings(training=training))
        found[precision] = torch.tensor([step.loss for step in steps])
        assert tiny_run.weights(state).dtype == torch.float32
    assert not torch.equal(found["float32"], found["bfloat16"])
    torch.testing.assert_close(found["bfloat16"], found["float32"], rtol=0.05, atol=0.01)


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"batch": -1},
        {"warm_up": -1},
        {"learning_rate": 0.0},
        {"learning_rate": math.inf},
        {"learning_rate": math.nan},
        {"clip": 0.0},
        {"clip": math.nan},
        {"seconds": 0.0},
        {"seconds": math.nan},
        {"weight_decay": -1.0},
        {"weight_decay": math.inf},
        {"half_lives": (0.0,)},
        {"half_lives": (math.nan,)},
        {"half_lives": ()},
        {"half_lives": (5.0, 5.0)},
        {"lengths": (0.3,)},
        {"lengths": (0.0,)},
        {"snapshot_steps": 5},
        {"patience": 2},
        {"accumulate": 0},
        {"accumulate": 300},
        {"label_dropout": 1.5},
        {"validation_steps": -1},
        {"precision": "float8"},
        {"checkpoint_seconds": 0.0},
    ],
    ids=str,
)
def test_options_out_of_range_are_refused_by_name(options):
    (name,) = options
    with pytest.raises(OptionError, match=name):
        Training(**options)
