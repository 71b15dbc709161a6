"""What a step is given: parts of a batch, mirrored images, dropped labels, precision, scales."""

import math
from dataclasses import replace

import pytest
import tiny_run
import torch

from scoresde.data import Dataset, Scaling
from scoresde.errors import DataError, NonFiniteError, OptionError
from scoresde.kernels import Noise, Purpose
from scoresde.runs import prepare
from scoresde.training import Batches
from scoresde.training.order import batch_indices


def _labelled(count=40, shape=(1, 4, 4), classes=3, flip=False):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, *shape, generator=generator)
    return Dataset(
        name="made",
        train=x,
        test=x[:10],
        scaling=Scaling(),
        attribution="",
        train_labels=torch.arange(count) % classes,
        test_labels=torch.arange(10) % classes,
        flip=flip,
    )


@pytest.mark.parametrize("accumulate", [2, 3, 16])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(accumulate):
    """The averages after several steps agree to rounding, with stratified times."""
    found = []
    for parts in (1, accumulate):
        chosen = tiny_run.settings(training={"steps": 6, "accumulate": parts})
        state, steps = tiny_run.run(chosen)
        found.append((tiny_run.weights(state), torch.tensor([s.loss for s in steps])))
    (whole, losses), (summed, again) = found
    torch.testing.assert_close(again, losses, rtol=1e-5, atol=0.0)
    torch.testing.assert_close(summed, whole, rtol=1e-3, atol=1e-6)
    assert float((whole - tiny_run.weights(tiny_run.steps_of(chosen)[0])).norm()) > 0.01


def test_the_parts_of_a_batch_are_its_rows_and_draws_in_turn():
    data, device = _labelled(), torch.device("cpu")
    whole, split = (
        Batches(data, 16, 5, device, split=n, conditional=True, label_dropout=0.5) for n in (1, 3)
    )
    (draws, x, labels), parts = next(whole.parts(7)), list(split.parts(7))
    assert [len(part[1]) for part in parts] == [6, 6, 4]
    assert torch.equal(torch.cat([p[1] for p in parts]), x)
    assert torch.equal(torch.cat([p[2] for p in parts]), labels)
    for draw in ("uniform", "stratified"):
        pieces = [getattr(p[0], draw)(Purpose.TIME) for p in parts]
        assert torch.equal(torch.cat(pieces), getattr(draws, draw)(Purpose.TIME))
    assert torch.equal(x, data.train[batch_indices(5, 7, 16, 40)])


def test_labels_are_dropped_at_their_rate_by_seed_step_and_place():
    data, device = _labelled(), torch.device("cpu")
    batches = Batches(data, 40, 5, device, conditional=True, label_dropout=0.2)
    dropped = []
    for step in range(200):
        _, _, labels = next(batches.parts(step))
        kept = data.train_labels[batch_indices(5, step, 40, 40)]
        u = Noise(5).uniform(step, Purpose.LABEL, torch.arange(40), (1,))[:, 0]
        assert torch.equal(labels, torch.where(u < 0.2, -1, kept))
        dropped.append(float((labels < 0).double().mean()))
    share = sum(dropped) / 200
    assert abs(share - 0.2) < 4.0 * math.sqrt(0.2 * 0.8 / (200 * 40))
    assert bool((data.train_labels >= 0).all())  # the data set's own are untouched


def test_dropped_vectors_are_nan():
    data = replace(_labelled(), train_labels=torch.ones(40, 2), test_labels=torch.ones(10, 2))
    batches = Batches(data, 40, 5, torch.device("cpu"), conditional=True, label_dropout=0.5)
    _, _, vectors = next(batches.parts(0))
    gone = vectors.isnan().all(1)
    assert 5 < int(gone.sum()) < 35
    assert torch.equal(vectors[~gone], torch.ones_like(vectors[~gone]))


def test_images_are_mirrored_half_the_time_and_only_where_the_data_say_so():
    device = torch.device("cpu")
    for flip in (False, True):
        data, mirrored = _labelled(flip=flip), []
        for step in range(100):
            _, x, _ = next(Batches(data, 40, 5, device).parts(step))
            rows = data.train[batch_indices(5, step, 40, 40)]
            same = (x == rows).flatten(1).all(1)
            assert bool((same | (x == rows.flip(-1)).flatten(1).all(1)).all())
            mirrored.append(float((~same).double().mean()))
        share = sum(mirrored) / 100
        assert abs(share - 0.5 * flip) <= 4.0 * math.sqrt(0.25 / 4000) * flip


def test_held_out_batches_are_the_first_rows_as_they_are():
    data = _labelled(flip=True)
    held = Batches(data, 10, 5, torch.device("cpu"), split=2, conditional=True, held_out=True)
    parts = list(held.parts(3))
    assert torch.equal(torch.cat([p[1] for p in parts]), data.test)
    assert torch.equal(torch.cat([p[2] for p in parts]), data.test_labels)


def test_float16_scales_the_loss_and_trains_near_float32():
    found = {}
    for precision in ("float32", "float16"):
        training = {"precision": precision, "steps": 40, "batch": 64, "learning_rate": 0.01}
        state, steps = tiny_run.run(tiny_run.settings(training=training))
        found[precision] = torch.tensor([step.loss for step in steps])
        assert tiny_run.weights(state).dtype == torch.float32
    assert state.scaler.get_scale() > 1.0
    assert not torch.equal(found["float32"], found["float16"])
    torch.testing.assert_close(found["float16"], found["float32"], rtol=0.05, atol=0.01)


def test_an_overflow_under_float16_is_skipped_and_halves_the_scale():
    chosen = tiny_run.settings(training={"precision": "float16", "steps": 3})
    state, steps = tiny_run.steps_of(chosen)
    before, scale = tiny_run.weights(state), 2.0**120
    state.scaler.load_state_dict({**state.scaler.state_dict(), "scale": scale})
    first = next(steps)
    assert not math.isfinite(first.gradient_norm)
    assert torch.equal(tiny_run.weights(state), before)
    assert state.scaler.get_scale() == scale / 2


def test_a_loss_that_never_becomes_finite_ends_the_run_under_float16_too():
    chosen = tiny_run.settings(training={"precision": "float16", "steps": 200})
    data = tiny_run.dataset(torch.full((50, 2), torch.nan))
    state, steps = tiny_run.steps_of(chosen, data=data)
    with pytest.raises(NonFiniteError, match="loss is nan"):
        list(steps)
    assert bool(torch.isfinite(tiny_run.weights(state)).all())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
def test_a_compiled_network_trains_as_the_plain_one():
    found = []
    for compiled in (False, True):
        state, steps = tiny_run.run(tiny_run.settings(training={"steps": 4, "compile": compiled}))
        found.append((tiny_run.weights(state), [s.loss for s in steps]))
    assert found[1][1] == pytest.approx(found[0][1], rel=1e-5)
    torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("net", "labels", "error", "told"),
    [
        ({"classes": 3}, None, DataError, "has no labels"),
        ({"classes": 2}, torch.arange(40) % 3, DataError, "set net.classes = 3"),
        ({"features": 2}, torch.ones(40, 3), OptionError, "vectors of 3 numbers"),
        ({"features": 2}, None, OptionError, "has no labels; set net.features = 0"),
    ],
    ids=["missing", "out of range", "another length", "no vectors"],
)
def test_a_net_and_data_that_do_not_fit_are_refused_before_a_step(net, labels, error, told):
    data = _labelled(shape=(2,))
    test = None if labels is None else labels[:10]
    data = replace(data, train_labels=labels, test_labels=test)
    with pytest.raises(error, match=told):
        prepare(tiny_run.settings(net=net), data, "cpu")
