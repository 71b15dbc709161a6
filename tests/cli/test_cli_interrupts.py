"""Killed and interrupted runs go on, and end in the bytes of a run that was not."""

import signal

import pytest
from cli_tools import call, start, stopped_when

from scoresde.errors import ScoresdeError
from scoresde.io import checkpoint, dump

SAMPLE = ["sample", "gaussian.toml", "--n", "150", "--batch", "3", "--steps", "6"]


def _rows(path) -> int:
    try:
        return dump.read(path).rows_done
    except ScoresdeError:
        return 0


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_stopped_sampling_goes_on_to_the_same_bytes(here, capsys, number):
    child = start([*SAMPLE, "--out", "part.h5"], here)
    code, error = stopped_when(child, lambda: _rows(here / "part.h5") >= 15, number)
    done = _rows(here / "part.h5")
    assert 15 <= done < 150
    if number == signal.SIGINT:
        assert code == 130
        assert "interrupted" in error
        assert "--resume" in error
        assert "Traceback" not in error
    assert call(capsys, *SAMPLE, "--out", "part.h5", "--resume")[0] == 0
    assert call(capsys, *SAMPLE, "--out", "whole.h5")[0] == 0
    assert (here / "part.h5").read_bytes() == (here / "whole.h5").read_bytes()


@pytest.mark.slow
def test_an_interrupted_training_says_how_to_go_on_and_does(here, capsys):
    train = ["train", "tiny.toml", "--out", "run"]
    child = start([*train, "--set", "training.steps=1000000"], here)
    log = here / "run" / "log.jsonl"
    code, error = stopped_when(
        child, lambda: log.exists() and log.stat().st_size > 0, signal.SIGINT
    )
    assert code == 130
    assert "Traceback" not in error
    step = checkpoint.metadata(here / "run" / "checkpoint.safetensors")["step"]
    assert f"step {step} is safe in run; the same call with --resume goes on" in error
    resumed = [*train, "--resume", "--set", f"training.steps={step + 5}"]
    code, _, error = call(capsys, *resumed)
    assert (code, error) == (0, "")
    assert checkpoint.metadata(here / "run" / "checkpoint.safetensors")["step"] == step + 5
    assert len(log.read_text().splitlines()) >= 2


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_stopped_fit_says_so_and_leaves_nothing(here, number):
    endless = ["--set", "fit.method.tolerance=0", "--set", "fit.method.max_iterations=10000000"]
    fit = ["fit", "gmm", "moons", "--k", "9", *endless, "-o", "m.safetensors", "--report", "p.png"]
    before = sorted(here.rglob("*"))
    child = start([*fit, "-v"], here)
    code, error = stopped_when(child, lambda: "iteration 3" in child.stderr.readline(), number)
    stopped = {
        signal.SIGTERM: (75, "error: stopped by SIGTERM"),
        signal.SIGINT: (130, "interrupted"),
    }
    assert code == stopped[number][0]
    told = "no model was written; the same call begins the fit anew"
    assert f"{stopped[number][1]}: {told}" == error.splitlines()[-1]
    assert "Traceback" not in error
    assert sorted(here.rglob("*")) == before
