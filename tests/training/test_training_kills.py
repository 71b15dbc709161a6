"""Runs killed at any instant: what goes on ends in the same state, to the bit."""

import os
import random
import select
import signal
import time

import pytest
import tiny_run

from scoresde.checkpointed import CHECKPOINT
from scoresde.errors import CheckpointError, Preempted, UsageError
from scoresde.io import checkpoint, placement
from scoresde.runs import (
    BEST,
    DAMAGED,
    LOG,
    PREVIOUS,
    begin_folder,
    resume_folder,
    train_in_folder,
)


def _chosen(steps: int):
    """A run with every part of its state in use."""
    training = {
        "steps": steps,
        "checkpoint_seconds": 1e-9,  # a checkpoint after every step: most kills meet one
        "half_lives": [5.0, 50.0],
        "lengths": [0.1],
        "snapshot_steps": max(5, steps // 4),
        "validation_steps": max(5, steps // 12),
        "validation_rows": 10,
    }
    return tiny_run.settings(net={"dropout": 0.1}, training=training)


def _whole(folder, chosen):
    """The same run, never interrupted."""
    train_in_folder(chosen, begin_folder(folder, chosen))
    return folder


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return _whole(tmp_path_factory.mktemp("whole") / "run", _chosen(12))


def _child(folder, chosen, told: int, crash=None) -> None:
    """Begin or go on with the run; a byte on the pipe at the first step."""
    try:
        resume = (folder / CHECKPOINT).exists() or (folder / PREVIOUS).exists()
        if resume:
            resume_folder(folder, chosen)
        else:
            begin_folder(folder, chosen, overwrite=True)
        if crash is not None:
            crash()
        said = False

        def on_step(step) -> None:
            nonlocal said
            if not said:
                os.write(told, b"x")
            said = True

        train_in_folder(chosen, folder, resume=resume, on_step=on_step)
        os._exit(0)
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(3)


def _killed_after(folder, chosen, delay: float | None, crash=None) -> bool:
    """Whether a child that trains in the folder was killed, `delay` seconds into its steps."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(folder, chosen, writer, crash)
    os.close(writer)
    try:
        if delay is not None:
            assert select.select([reader], [], [], 60.0)[0]
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    finally:
        os.close(reader)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


@pytest.mark.slow
def test_a_run_killed_at_twenty_instants_ends_in_the_same_state(tmp_path):
    chosen, folder, rng = _chosen(300), tmp_path / "run", random.Random(11)
    whole = _whole(tmp_path / "whole", chosen)
    for _ in range(20):
        assert _killed_after(folder, chosen, rng.uniform(0.0, 0.06)), "it ended before the kill"
    assert 0 < checkpoint.metadata(folder / CHECKPOINT)["step"] < 300
    assert not _killed_after(folder, chosen, None)
    for name in (CHECKPOINT, PREVIOUS, BEST):
        assert checkpoint.digest(folder / name) == checkpoint.digest(whole / name), name
    snapshots = sorted(p.name for p in (folder / "snapshots").iterdir())
    assert snapshots == sorted(p.name for p in (whole / "snapshots").iterdir())
    for name in snapshots:
        paths = (root / "snapshots" / name for root in (folder, whole))
        assert len({checkpoint.digest(path) for path in paths}) == 1
    steps = [line.split(",")[0] for line in (folder / LOG).read_text().splitlines()]
    assert len(set(steps)) == len(steps)
    assert not list(folder.glob(".*.tmp"))


CRASHES = ["link", "replace", "fsync", "pwrite"]


@pytest.mark.parametrize("call", CRASHES)
@pytest.mark.parametrize("number", [3, pytest.param(8, marks=pytest.mark.slow)])
def test_a_run_killed_inside_the_writing_of_a_checkpoint_goes_on(tmp_path, short, call, number):
    """The n-th call of a system call in the writing is the last thing that the process does."""
    folder, chosen = tmp_path / "run", _chosen(12)

    def crash() -> None:
        real, left = getattr(os, call), number

        def dies(*arguments, **options):
            nonlocal left
            left -= 1
            if left == 0:
                if call == "pwrite":
                    real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2], arguments[2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        setattr(placement.os, call, dies)

    assert _killed_after(folder, chosen, None, crash)
    assert not _killed_after(folder, chosen, None)
    assert checkpoint.digest(folder / CHECKPOINT) == checkpoint.digest(short / CHECKPOINT)


def _part(folder, steps: int):
    """A run of so many steps, its last checkpoint and the one before it in place."""
    chosen = tiny_run.settings(training={"steps": steps, "checkpoint_seconds": 1e-9})
    train_in_folder(chosen, begin_folder(folder, chosen))
    return chosen


@pytest.mark.parametrize("damage", ["cut", "bit", "missing", "empty"])
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(tmp_path, damage):
    chosen = _part(tmp_path / "whole", 12)
    _part(tmp_path / "run", 12)
    place = tmp_path / "run" / CHECKPOINT
    data = bytearray(place.read_bytes())
    if damage == "bit":
        data[-100] ^= 16
    whole = {"cut": data[: len(data) // 2], "bit": data, "empty": b""}
    place.unlink() if damage == "missing" else place.write_bytes(whole[damage])
    said = []
    resume_folder(tmp_path / "run", chosen, said.append)
    assert len(said) == 1
    assert "step 11" in said[0]
    assert (tmp_path / "run" / DAMAGED).exists() == (damage != "missing")
    train_in_folder(chosen, tmp_path / "run", resume=True)
    for name in (CHECKPOINT, PREVIOUS):
        found, wanted = (checkpoint.digest(tmp_path / run / name) for run in ("run", "whole"))
        assert found == wanted


def test_two_damaged_checkpoints_are_an_error_that_names_both(tmp_path):
    chosen = _part(tmp_path / "run", 4)
    for name in (CHECKPOINT, PREVIOUS):
        (tmp_path / "run" / name).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=rf"{CHECKPOINT}.*nor .*{PREVIOUS}"):
        resume_folder(tmp_path / "run", chosen)


def test_a_finished_run_is_left_alone_and_more_steps_are_those_of_one_long_run(tmp_path):
    chosen = _part(tmp_path / "run", 6)
    place = tmp_path / "run" / CHECKPOINT
    before, made = place.read_bytes(), place.stat().st_mtime_ns
    seen = []
    resume_folder(tmp_path / "run", chosen)
    train_in_folder(chosen, tmp_path / "run", resume=True, on_step=seen.append)
    assert (seen, place.read_bytes(), place.stat().st_mtime_ns) == ([], before, made)
    longer = tiny_run.settings(training={"steps": 9, "checkpoint_seconds": 1e-9})
    resume_folder(tmp_path / "run", longer)
    train_in_folder(longer, tmp_path / "run", resume=True, on_step=seen.append)
    assert [step.step for step in seen] == [7, 8, 9]
    rates = [longer.build("training").rate(k, k / 9) for k in (6, 7, 8)]
    assert [step.learning_rate for step in seen] == rates


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_stop_leaves_a_checkpoint_within_a_step(tmp_path, number):
    chosen = tiny_run.settings()
    handler, seen = signal.getsignal(number), []

    def stop(step) -> None:
        seen.append(step.step)
        if step.step == 7:
            os.kill(os.getpid(), number)

    begin_folder(tmp_path / "run", chosen)
    with pytest.raises(Preempted, match=f"{number.name}: step 7 is safe .*--resume") as caught:
        train_in_folder(chosen, tmp_path / "run", on_step=stop)
    assert caught.value.exit_code == 75
    assert seen[-1] == checkpoint.metadata(tmp_path / "run" / CHECKPOINT)["step"] == 7
    assert signal.getsignal(number) == handler
    train_in_folder(chosen, resume_folder(tmp_path / "run", chosen), resume=True)
    whole = begin_folder(tmp_path / "whole", chosen)
    train_in_folder(chosen, whole)
    found, wanted = (checkpoint.digest(tmp_path / run / CHECKPOINT) for run in ("run", "whole"))
    assert found == wanted


def test_data_that_changed_since_the_checkpoint_are_refused(tmp_path):
    chosen = _part(tmp_path / "run", 4)
    data = chosen.build("data").load()
    data.train[3, 0] += 1e-3
    with pytest.raises(UsageError, match="has changed since the checkpoint"):
        train_in_folder(chosen, tmp_path / "run", data=data, resume=True)
