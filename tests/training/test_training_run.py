"""A run in its folder: checkpoints that go on to the bit, and failures that lose nothing."""

import json
import os
import signal

import pytest
import tiny_run
import torch

from scoresde.checkpointed import CHECKPOINT, open_source
from scoresde.errors import CheckpointError, DataError, NonFiniteError, ScoresdeError, UsageError
from scoresde.io import checkpoint
from scoresde.runs import begin_folder, prepare, resume_folder, train_in_folder
from scoresde.runs import training as training_run
from scoresde.training import load_weights, restore, save_state
from scoresde.training.order import batch_indices


def test_a_run_restored_half_way_ends_in_the_same_bits(tmp_path):
    chosen = tiny_run.settings(net={"dropout": 0.2})
    whole, losses = tiny_run.run(chosen)
    state, steps = tiny_run.steps_of(chosen)
    for _ in range(10):
        next(steps)
    save_state(tmp_path / "c.safetensors", state, {})
    resumed, rest = tiny_run.steps_of(
        chosen, state=lambda fresh: restore(tmp_path / "c.safetensors", fresh)
    )
    rest = list(rest)
    assert [s.step for s in rest] == list(range(11, 21))
    assert [s.loss for s in rest] == [s.loss for s in losses[10:]]
    assert torch.equal(tiny_run.weights(resumed), tiny_run.weights(whole))
    assert torch.equal(tiny_run.averaged(resumed), tiny_run.averaged(whole))


def test_an_interrupt_waits_for_the_step_and_the_run_goes_on_to_the_same_bits(tmp_path):
    chosen = tiny_run.settings()
    for name in ("whole", "parts"):
        begin_folder(tmp_path / name, chosen)
    train_in_folder(chosen, tmp_path / "whole")

    def stop(step) -> None:
        if step.step == 7:
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train_in_folder(chosen, tmp_path / "parts", on_step=stop)
    assert signal.getsignal(signal.SIGINT) is handler
    assert checkpoint.metadata(tmp_path / "parts" / CHECKPOINT)["step"] == 7
    resume_folder(tmp_path / "parts", chosen)
    train_in_folder(chosen, tmp_path / "parts", resume=True)
    whole, parts = ((tmp_path / name / CHECKPOINT).read_bytes() for name in ("whole", "parts"))
    assert whole == parts


def test_a_run_bounded_by_the_clock_spends_its_time_once(tmp_path):
    chosen = tiny_run.settings(training={"steps": 10**6, "seconds": 0.4})
    folder, seen = begin_folder(tmp_path / "run", chosen), []

    def stop(step) -> None:
        seen.append(step.seconds)
        if step.seconds > 0.2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_in_folder(chosen, folder, on_step=stop)
    later = []
    train_in_folder(chosen, folder, resume=True, on_step=lambda s: later.append(s))
    assert later[0].seconds > seen[-1]
    assert later[-1].progress == 1.0


@pytest.mark.parametrize("kept", [True, False])
def test_a_loss_that_is_no_number_keeps_the_last_good_checkpoint(tmp_path, monkeypatch, kept):
    monkeypatch.setattr(training_run, "sigma_data_of", lambda x: 1.0)  # else it refuses the data
    chosen = tiny_run.settings(training={"checkpoint_seconds": 1e-9 if kept else 1e9})
    data = tiny_run.with_a_hole(chosen.build("data").load(), 17)
    first = next(k for k in range(20) if 17 in batch_indices(3, k, 16, 50))
    folder = begin_folder(tmp_path / "run", chosen)
    told = f"at step {first + 1} .*" + ("last good checkpoint is" if kept else "none of it")
    assert first > 0
    with pytest.raises(NonFiniteError, match=told):
        train_in_folder(chosen, folder, data=data)
    if kept:
        assert checkpoint.metadata(folder / CHECKPOINT)["step"] == first
        model = open_source(folder).model
        assert bool(torch.isfinite(model.net(torch.ones(1, 2), torch.zeros(1))).all())
    else:
        assert not (folder / CHECKPOINT).exists()


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    state, _ = tiny_run.steps_of(tiny_run.settings())
    path = tmp_path / "c.safetensors"
    save_state(path, state, {})
    good = path.read_bytes()
    next(state.net.parameters()).data[0] = torch.inf
    with pytest.raises(NonFiniteError, match="not finite after step 0"):
        save_state(path, state, {})
    assert path.read_bytes() == good


def _trained(tmp_path, **sections):
    chosen = tiny_run.settings(training={"steps": 2}, **sections)
    folder = begin_folder(tmp_path / "run", chosen)
    train_in_folder(chosen, folder)
    return chosen, folder


def test_the_folder_holds_configuration_log_and_a_checkpoint_that_opens(tmp_path):
    chosen, folder = _trained(tmp_path)
    from scoresde import config

    assert config.load(folder / "config.toml").resolved() == chosen.resolved()
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    source = open_source(folder)
    data = chosen.build("data").load()
    assert source.scaling == data.scaling
    assert source.model.sigma_data == pytest.approx(
        float(data.train.double().std(correction=0)), rel=1e-12
    )
    assert source.description == "mlp trained 2 steps on moons"
    again = tmp_path / "again"
    train_in_folder(chosen, begin_folder(again, chosen))
    assert open_source(again).identity == source.identity


def _tampered(path, change):
    tensors, metadata = checkpoint.load(path)
    change(metadata)
    checkpoint.save(path, tensors, metadata)


BROKEN = {
    "a member unknown": lambda m: m["config"]["net"].update(name="resnet"),
    "an option unknown": lambda m: m["config"]["process"].update(sigma=1.0),
    "an option out of range": lambda m: m["config"]["process"].update(sigma_min=-1.0),
    "another width": lambda m: m["config"]["net"].update(width=16),
    "no net": lambda m: m["config"].pop("net"),
    "no data": lambda m: m["config"].pop("data"),
    "no shape": lambda m: m.pop("event_shape"),
    "odd shape": lambda m: m.update(event_shape=3),
    "no step": lambda m: m.pop("step"),
    "odd sigma": lambda m: m.update(sigma_data="x"),
    "odd scaling": lambda m: m.update(scaling={"scale": 0.0, "shift": 0.0}),
    "foreign": lambda m: m.clear(),
    "odd config": lambda m: m.update(config=[1]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_checkpoint_whose_configuration_is_broken_is_a_checkpoint_error(tmp_path, case):
    _, folder = _trained(tmp_path)
    _tampered(folder / CHECKPOINT, BROKEN[case])
    with pytest.raises(CheckpointError, match="checkpoint"):
        open_source(folder)


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, 0.99])
def test_a_checkpoint_cut_off_is_a_checkpoint_error(tmp_path, keep):
    chosen, folder = _trained(tmp_path)
    path = folder / CHECKPOINT
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if keep < 1 else keep])
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        open_source(folder)
    with pytest.raises(CheckpointError):
        resume_folder(folder, chosen)


def test_a_checkpoint_without_moments_is_nothing_to_go_on_from(tmp_path):
    chosen, folder = _trained(tmp_path)
    tensors, metadata = checkpoint.load(folder / CHECKPOINT)
    bare = {k: v for k, v in tensors.items() if not k.startswith("optimizer.")}
    checkpoint.save(folder / CHECKPOINT, bare, metadata)
    data = chosen.build("data").load()
    state = prepare(chosen, data, "cpu").state
    with pytest.raises(CheckpointError, match="training state to go on from"):
        restore(folder / CHECKPOINT, state)


def test_weights_of_another_net_are_named(tmp_path):
    _, folder = _trained(tmp_path)
    other = tiny_run.settings(net={"width": 4}).build("net", (2,))
    with pytest.raises(CheckpointError, match=r"8\) there, .*4\) here"):
        load_weights(folder / CHECKPOINT, {"net": other})


def test_a_folder_in_use_is_kept_and_one_that_cannot_be_made_is_named(tmp_path):
    chosen, folder = _trained(tmp_path)
    with pytest.raises(UsageError, match="--force"):
        begin_folder(folder, chosen)
    (tmp_path / "file").write_text("")
    with pytest.raises(ScoresdeError, match="cannot write the run folder"):
        begin_folder(tmp_path / "file" / "run", chosen)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 4}, "seed is 3 there and 4"),
        ({"net": {"width": 9}}, "net.width is 8 there and 9"),
        ({"training": {"batch": 17}}, "training.batch is 16 there and 17"),
        ({"process": {"sigma_max": 70.0}}, "process.sigma_max is 80.0 there and 70.0"),
    ],
)
def test_going_on_with_another_run_is_refused_by_name(tmp_path, change, named):
    _, folder = _trained(tmp_path)
    with pytest.raises(UsageError, match=named):
        resume_folder(folder, tiny_run.settings(**change))


def test_going_on_from_nothing_is_refused_and_for_longer_is_not(tmp_path):
    with pytest.raises(UsageError, match="to go on from"):
        resume_folder(tmp_path, tiny_run.settings())
    _, folder = _trained(tmp_path)
    longer = tiny_run.settings(training={"steps": 5})
    train_in_folder(longer, resume_folder(folder, longer), resume=True)
    assert checkpoint.metadata(folder / CHECKPOINT)["step"] == 5


@pytest.mark.parametrize("value", [0.0, torch.nan, torch.inf])
def test_data_without_spread_or_not_finite_are_refused(value):
    data = tiny_run.dataset(torch.full((4, 2), value))
    with pytest.raises(DataError, match="the training data have the deviation"):
        prepare(tiny_run.settings(), data, "cpu")
