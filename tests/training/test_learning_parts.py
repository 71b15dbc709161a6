"""All that learns beside the network is trained, saved, averaged and gone on with, to the bit."""

import os
import signal

import pytest
import tiny_run
import torch

from scoresde.checkpointed import CHECKPOINT, open_source
from scoresde.io import checkpoint
from scoresde.runs import begin_folder, prepare, resume_folder, train_in_folder

LABELLED = {"name": "digits"}
RUNS = {
    "plain": {},
    "learned schedule": {"process": {"name": "learned"}, "objective": {"name": "bound"}},
    "idle schedule": {"process": {"name": "learned"}, "objective": {"kind": "eps"}},
    "uncertainty": {"objective": {"name": "denoising", "weighting": "uncertainty"}},
    "loss-aware": {
        "process": {"name": "vp-linear"},
        "objective": {"name": "denoising", "kind": "eps", "weighting": "simple"}
        | {"times": {"name": "loss-aware"}, "stratified": False},
    },
    "float16": {"training": {"precision": "float16"}},
    "labels": {"data": LABELLED, "net": {"classes": 10, "dropout": 0.1}},
    "classifier": {
        "data": LABELLED,
        "classifier": {"name": "mlp", "classes": 10, "width": 8, "blocks": 1},
        "objective": {"name": "classification"},
    },
    "sliced": {"objective": {"name": "sliced"}},
}


def _settings(name: str):
    return tiny_run.settings(**RUNS[name])


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n == "idle schedule" else ()) for n in RUNS]
)
def test_a_run_stopped_half_way_ends_in_the_same_state(tmp_path, name):
    chosen = _settings(name)

    def stop(step) -> None:
        if step.step == 9:
            os.kill(os.getpid(), signal.SIGINT)

    train_in_folder(chosen, begin_folder(tmp_path / "whole", chosen))
    begin_folder(tmp_path / "parts", chosen)
    with pytest.raises(KeyboardInterrupt):
        train_in_folder(chosen, tmp_path / "parts", on_step=stop)
    resume_folder(tmp_path / "parts", chosen)
    train_in_folder(chosen, tmp_path / "parts", resume=True)
    whole, parts = (checkpoint.digest(tmp_path / run / CHECKPOINT) for run in ("whole", "parts"))
    assert whole == parts


@pytest.mark.parametrize("name", ["learned schedule", "uncertainty", "classifier"])
def test_every_part_that_learns_moves(name):
    run = prepare(_settings(name), _settings(name).build("data").load(), "cpu")
    before = {k: [p.clone() for p in m.parameters()] for k, m in run.state.modules.items()}
    list(run.steps())
    assert (
        set(before)
        == {"net"}
        | {
            "learned schedule": {"process"},
            "uncertainty": {"objective.weighting"},
            "classifier": set(),
        }[name]
    )
    for part, module in run.state.modules.items():
        pairs = zip(before[part], module.parameters(), strict=True)
        assert any(not torch.equal(a, b) for a, b in pairs), part


def test_a_learned_schedule_is_opened_with_its_averaged_ends(tmp_path):
    chosen = _settings("learned schedule")
    train_in_folder(chosen, begin_folder(tmp_path / "run", chosen))
    tensors, _ = checkpoint.load(tmp_path / "run" / CHECKPOINT)
    opened = {which: open_source(tmp_path / "run", weights=which).process for which in ("", "raw")}
    assert opened[""].at(0.0).log_snr != opened["raw"].at(0.0).log_snr
    for which, prefix in (("", "average.half-life-700.process."), ("raw", "process.")):
        state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        kept = opened[which].state_dict()
        assert state.keys() == kept.keys()
        for key, value in kept.items():
            assert value.dtype == torch.float64
            assert torch.equal(value, state[key])


def test_every_module_is_cut_to_the_bound_by_itself_and_decay_is_the_net_s_alone():
    training = {"clip": 1e-3, "weight_decay": 0.1}
    chosen = tiny_run.settings(**RUNS["learned schedule"], training=training)
    run = prepare(chosen, chosen.build("data").load(), "cpu")
    step = next(run.steps())
    for module in run.state.modules.values():
        norms = [p.grad.double().norm() for p in module.parameters() if p.grad is not None]
        assert float(torch.stack(norms).norm()) == pytest.approx(1e-3, rel=1e-3)
    assert step.gradient_norm > 0.1
    decays = [group["weight_decay"] for group in run.state.optimizer.param_groups]
    assert decays == [0.1, 0.0]
