"""Held-out losses: against the loss written out, and what is done with them."""

import json
import math

import pytest
import tiny_run
import torch

from scoresde.checkpointed import CHECKPOINT, open_source
from scoresde.io import checkpoint
from scoresde.kernels import Noise, Purpose
from scoresde.runs import BEST, LOG, begin_folder, resume_folder, train_in_folder
from scoresde.training.loop import HELD_OUT

VALIDATED = {"steps": 12, "validation_steps": 4, "validation_rows": 60}


def _folder(path, sections=None, n_test=80, **training):
    chosen = tiny_run.settings(
        data={"n_test": n_test},
        training={**VALIDATED, "learning_rate": 0.01, **training},
        **(sections or {}),
    )
    seen = []
    train_in_folder(chosen, begin_folder(path, chosen), on_step=seen.append)
    return chosen, seen


LEARNED = {"process": {"name": "learned"}, "objective": {"name": "bound", "kind": "velocity"}}


@pytest.mark.parametrize("sections", [{}, LEARNED], ids=["edm", "learned"])
def test_the_held_out_error_of_a_level_is_that_of_its_formula(tmp_path, sections):
    chosen, seen = _folder(tmp_path / "run", sections)
    assert [s.step for s in seen if s.validation is not None] == [4, 8, 12]
    last = seen[-1].validation
    source, data = open_source(tmp_path / "run"), chosen.build("data").load()
    assert len(last.levels) == 8
    x, ids = data.test[:60], torch.arange(60)
    for index, found in enumerate(last.levels):
        level = source.process.at_log_snr(found.log_snr)
        eps = Noise(chosen.seed + HELD_OUT)(index, Purpose.VALIDATE, ids, (2,)).float()
        x0 = source.model.predict(level.alpha * x + level.sigma * eps, level, "x0")
        errors = (x0 - x).double().square().mean(1)
        assert found.mean == pytest.approx(float(errors.mean()), rel=1e-5)
        assert found.error == pytest.approx(float(errors.std()) / math.sqrt(60), rel=1e-5)
    snrs = [level.log_snr for level in last.levels]
    assert snrs == sorted(snrs)


@pytest.mark.slow
def test_the_held_out_loss_of_few_rows_lies_within_its_errors_of_that_of_many(tmp_path):
    """60 rows against 4,000: the loss within 4 standard errors, which fall as 1/sqrt(rows)."""
    found = {}
    for rows in (60, 4000):
        _, seen = _folder(tmp_path / str(rows), n_test=4000, validation_rows=rows)
        found[rows] = seen[-1].validation
    gap = abs(found[60].loss - found[4000].loss)
    assert 0.0 < gap < 4.0 * math.hypot(found[60].error, found[4000].error)
    fall = found[60].error / found[4000].error
    assert fall == pytest.approx(math.sqrt(4000 / 60), rel=0.5)


def test_validation_changes_nothing_of_the_training(tmp_path):
    digests = []
    for name, training in (("with", {}), ("without", {"validation_steps": 0})):
        _folder(tmp_path / name, **training)
        tensors, _ = checkpoint.load(tmp_path / name / CHECKPOINT)
        digests.append(torch.cat([t.double().flatten() for _, t in sorted(tensors.items())]))
    assert torch.equal(*digests)


def test_the_best_checkpoint_is_of_the_lowest_held_out_loss(tmp_path):
    _, seen = _folder(tmp_path / "run", steps=40, learning_rate=0.3, warm_up=0)
    judged = [s for s in seen if s.validation is not None]
    best = min(judged, key=lambda s: s.validation.loss)
    assert [s.step for s in judged if s.best][-1] == best.step
    assert checkpoint.metadata(tmp_path / "run" / BEST)["step"] == best.step
    assert best.step < judged[-1].step  # so rough a rate does not end at its best
    rows = [json.loads(line) for line in (tmp_path / "run" / LOG).read_text().splitlines()]
    logged = {r["step"]: r["validation"]["loss"] for r in rows if "validation" in r}
    assert logged == {s.step: s.validation.loss for s in judged}


def test_a_run_without_improvement_stops_after_its_patience_and_stays_stopped(tmp_path):
    chosen, seen = _folder(tmp_path / "run", steps=400, learning_rate=0.3, warm_up=0, patience=2)
    judged = [s for s in seen if s.validation is not None]
    best = [i for i, s in enumerate(judged) if s.best][-1]
    assert len(judged) == best + 3
    assert seen[-1].step < 400
    assert seen[-1].progress == 1.0
    again = []
    resume_folder(tmp_path / "run", chosen)
    train_in_folder(chosen, tmp_path / "run", resume=True, on_step=again.append)
    assert again == []


def test_tensorboard_holds_the_numbers_of_the_log(tmp_path):
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    chosen = tiny_run.settings(training=VALIDATED)
    seen = []
    folder = begin_folder(tmp_path / "run", chosen)
    train_in_folder(chosen, folder, board=True, on_step=seen.append)
    events = loader.EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    losses = {e.step: e.value for e in events.Scalars("training/loss")}
    assert losses == {s.step: pytest.approx(s.loss, rel=1e-6) for s in seen}
    held_out = {e.step: e.value for e in events.Scalars("held out/loss")}
    assert held_out == {
        s.step: pytest.approx(s.validation.loss, rel=1e-6) for s in seen if s.validation
    }
