"""The folder of a run: one process at a time, files put in place whole, refusals by name."""

import errno
import json
import math
import os
from pathlib import Path

import pytest
import tiny_run
import torch

from scoresde.checkpointed import CHECKPOINT
from scoresde.errors import CheckpointError, DataError, UsageError
from scoresde.io import checkpoint, placement
from scoresde.runs import (
    LOG,
    PREVIOUS,
    alone_in,
    begin_folder,
    prepare,
    reconstruct,
    resume_folder,
    threads_of,
    train_in_folder,
)

KEEPING = {"lengths": [0.05, 0.1], "snapshot_steps": 2, "checkpoint_seconds": 1e-9}


def _run(folder, steps: int = 4, **options):
    chosen = tiny_run.settings(training={"steps": steps, **KEEPING, **options})
    train_in_folder(chosen, begin_folder(folder, chosen))
    return chosen


def test_a_second_process_is_refused_while_one_trains_and_let_in_after(tmp_path):
    chosen, folder = _run(tmp_path / "run"), tmp_path / "run"
    told = []

    def second(step) -> None:
        child = os.fork()
        if child == 0:
            refused = 0
            for enter in (
                lambda: resume_folder(folder, chosen),
                lambda: begin_folder(folder, chosen, overwrite=True),
                lambda: train_in_folder(chosen, folder, resume=True),
            ):
                try:
                    enter()
                except UsageError as error:
                    refused += str(os.getppid()) in str(error) and "at work" in str(error)
            os._exit(refused)
        told.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    longer = tiny_run.settings(training={"steps": 5, **KEEPING})
    train_in_folder(longer, resume_folder(folder, longer), resume=True, on_step=second)
    assert told == [3]
    with alone_in(folder):
        pass


@pytest.mark.parametrize("name", ["config.toml", LOG])
def test_a_disk_that_is_full_at_resuming_leaves_configuration_and_log(tmp_path, monkeypatch, name):
    _run(tmp_path / "run")
    folder = tmp_path / "run"
    with (folder / LOG).open("a") as file:
        file.write('{"step": 99}\n')  # to be taken out, so the log is written anew
    before = (folder / name).read_bytes()

    def full(path, *, overwrite):
        if Path(path).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return placement.staged(path, overwrite=overwrite)

    monkeypatch.setattr("scoresde.runs.folder.staged", full)
    longer = tiny_run.settings(training={"steps": 6, **KEEPING})
    with pytest.raises(CheckpointError, match=rf"cannot write .*{name}.* is full"):
        train_in_folder(longer, resume_folder(folder, longer), resume=True)
    assert (folder / name).read_bytes() == before
    monkeypatch.undo()
    train_in_folder(longer, resume_folder(folder, longer), resume=True)
    assert checkpoint.metadata(folder / CHECKPOINT)["step"] == 6


def test_a_log_of_any_bytes_is_mended_and_is_strict_json(tmp_path):
    _run(tmp_path / "run")
    folder = tmp_path / "run"
    odd = b'\xff\xfe\n[1]\nnull\n{"step": 1e999}\n{"step": 99}\n' + b"[" * 100_000 + b'\n{"step":'
    with (folder / LOG).open("ab") as file:
        file.write(odd)
    longer = tiny_run.settings(training={"steps": 6, **KEEPING})
    train_in_folder(longer, resume_folder(folder, longer), resume=True)
    steps = [json.loads(line)["step"] for line in (folder / LOG).read_text().splitlines()]
    assert steps == sorted(set(steps))
    assert steps[-1] == 6


def test_numbers_that_json_lacks_go_into_the_log_as_text(tmp_path):
    _run(tmp_path / "run", validation_steps=4, validation_rows=1)  # one row has no standard error

    def refuse(constant):
        raise AssertionError(constant)

    lines = (tmp_path / "run" / LOG).read_text().splitlines()
    last = [json.loads(line, parse_constant=refuse) for line in lines][-1]
    assert last["validation"]["error"] == "nan"
    assert math.isfinite(last["validation"]["loss"])


def test_what_fails_beside_the_log_is_not_called_the_log(tmp_path):
    chosen = tiny_run.settings(training={"steps": 4, **KEEPING})
    folder = begin_folder(tmp_path / "run", chosen)
    (folder / "snapshots").write_text("")
    with pytest.raises(CheckpointError, match=r"cannot make the folder .*snapshots"):
        train_in_folder(chosen, folder)

    def fails(step) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        train_in_folder(chosen, begin_folder(tmp_path / "other", chosen), on_step=fails)


@pytest.mark.parametrize("config", [None, [1], {}, {"training": 3}])
def test_a_checkpoint_without_a_runs_configuration_is_named(tmp_path, config):
    chosen, folder = _run(tmp_path / "run"), tmp_path / "run"
    tensors, metadata = checkpoint.load(folder / CHECKPOINT)
    checkpoint.save(folder / CHECKPOINT, tensors, {**metadata, "config": config})
    with pytest.raises(CheckpointError, match=f"{CHECKPOINT} .*configuration"):
        resume_folder(folder, chosen)


def test_a_checkpoint_that_cannot_be_read_just_now_is_not_put_aside(tmp_path, monkeypatch):
    chosen, folder = _run(tmp_path / "run"), tmp_path / "run"
    real = checkpoint.load

    def load(path):
        if Path(path).name == CHECKPOINT:
            error = CheckpointError("cannot read")
            raise error from PermissionError(errno.EACCES, "no")
        return real(path)

    monkeypatch.setattr(checkpoint, "load", load)
    with pytest.raises(CheckpointError, match="cannot read"):
        resume_folder(folder, chosen)
    assert checkpoint.metadata(folder / CHECKPOINT)["step"] == 4
    assert checkpoint.metadata(folder / PREVIOUS)["step"] == 3


@pytest.mark.parametrize("what", ["average", "snapshot"])
def test_averages_alone_are_no_training_state(tmp_path, what):
    chosen, folder = _run(tmp_path / "run"), tmp_path / "run"
    made = folder / "snapshots" / "step-000000004.safetensors"
    if what == "average":
        made = reconstruct(folder, 0.08).path
    made.replace(folder / CHECKPOINT)
    with pytest.raises(CheckpointError, match="does not hold a training state to go on from"):
        train_in_folder(chosen, resume_folder(folder, chosen), resume=True)


def test_an_average_never_takes_the_place_of_another_file(tmp_path):
    _run(tmp_path / "run")
    place = tmp_path / "run" / CHECKPOINT
    before = place.read_bytes()
    with pytest.raises(UsageError, match=r"there is a file .*--out"):
        reconstruct(tmp_path / "run", 0.08, out=place)
    assert place.read_bytes() == before
    assert reconstruct(tmp_path / "run", 0.08).path == reconstruct(tmp_path / "run", 0.08).path


def test_an_average_that_the_snapshots_cannot_give_is_refused(tmp_path):
    _run(tmp_path / "run", steps=8, snapshot_steps=8)
    assert reconstruct(tmp_path / "run", 0.08).distance < 0.05
    assert reconstruct(tmp_path / "run", 0.1).distance == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(UsageError, match=r"at step 2 .*steps: 8"):
        reconstruct(tmp_path / "run", 0.08, step=2)


def test_a_checkpoint_behind_a_link_keeps_the_one_before_it(tmp_path):
    _run(tmp_path / "run")
    folder, store = tmp_path / "run", tmp_path / "store"
    (folder / CHECKPOINT).rename(store)
    (folder / CHECKPOINT).symlink_to(store)
    longer = tiny_run.settings(training={"steps": 6, **KEEPING})
    train_in_folder(longer, resume_folder(folder, longer), resume=True)
    found = [checkpoint.metadata(folder / name)["step"] for name in (CHECKPOINT, PREVIOUS)]
    assert found == [6, 5]


def test_data_that_fail_on_the_way_name_the_last_good_checkpoint(tmp_path):
    chosen = tiny_run.settings(training={"steps": 6, "checkpoint_seconds": 1e-9})
    data = chosen.build("data").load()

    class Vanishing:
        shape, reads = data.train.shape, 0
        fingerprint = "rows"

        def __len__(self):
            return len(data.train)

        def __getitem__(self, index):
            if not isinstance(index, slice):
                Vanishing.reads += 1
                if Vanishing.reads > 3:
                    raise DataError("rows.h5 is gone")
            return data.train[index]

    rows = tiny_run.dataset(data.train)
    object.__setattr__(rows, "train", Vanishing())
    folder = begin_folder(tmp_path / "run", chosen)
    with pytest.raises(DataError, match=rf"rows.h5 is gone; the last good .*{CHECKPOINT}"):
        train_in_folder(chosen, folder, data=rows)
    assert checkpoint.metadata(folder / CHECKPOINT)["step"] == 3


def test_validation_without_held_out_rows_or_labels_is_refused(tmp_path):
    chosen = tiny_run.settings(training={"validation_steps": 1})
    data = tiny_run.dataset(chosen.build("data").load().train)
    object.__setattr__(data, "test", data.test[:0])
    with pytest.raises(DataError, match=r"test split .* has no rows.*validation_steps"):
        prepare(chosen, data, "cpu")
    chosen = tiny_run.settings(net={"classes": 2}, training={"validation_steps": 1})
    data = tiny_run.dataset(chosen.build("data").load().train)
    object.__setattr__(data, "train_labels", torch.zeros(len(data.train), dtype=torch.int64))
    with pytest.raises(DataError, match=r"test split .* has no labels"):
        prepare(chosen, data, "cpu")


def test_the_threads_of_a_run_stand_in_its_checkpoint(tmp_path):
    assert threads_of(tmp_path) is None
    _run(tmp_path / "run")
    assert threads_of(tmp_path / "run") == torch.get_num_threads()
