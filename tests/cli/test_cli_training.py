"""Training on the command line: averages, vectors, signals, runs that have ended."""

import json
import signal
from types import SimpleNamespace

import cli_tools
import numpy as np
import pytest
import torch

from scoresde.cli.pace import Pace
from scoresde.io import checkpoint, dump

RUN = """
seed = 1
data = {name = "moons", n_train = 100, n_test = 20}
process = "edm"
net = {name = "mlp", width = 8, blocks = 1}
objective = "denoising"
training = {steps = 12, batch = 16, lengths = [0.05, 0.1], snapshot_steps = 4}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.toml").write_text(RUN)
    return tmp_path


def call(capsys, *arguments):
    """(exit code, standard output, standard error) of a command in this process."""
    from scoresde.cli import run

    capsys.readouterr()
    code = run([*map(str, arguments)])
    return code, *capsys.readouterr()


def train(capsys, *arguments):
    return call(capsys, "train", "run.toml", "--out", "run", "--threads", "1", *arguments)


def test_every_average_can_be_sampled_and_another_made(here, capsys):
    assert train(capsys)[0] == 0
    code, out, _ = call(capsys, "average", "run", "--length", "0.08", "--json")
    assert code == 0
    made = json.loads(out)
    assert made["step"] == 12
    assert sum(made["weights"].values()) == pytest.approx(1.0, abs=1e-9)
    drawn = {}
    for model, weights in (
        ("run", ""), ("run", "raw"), ("run", "length-0.05"), (made["path"], ""),
    ):  # fmt: skip
        asked = ["--weights", weights] if weights else []
        code, _, error = call(
            capsys, "sample", model, *asked, "--n", 4, "--force", "--threads", "1"
        )
        assert code == 0, error
        drawn[model, weights] = dump.read("samples.h5").samples
    values = [x.tobytes() for x in drawn.values()]
    assert len(set(values)) == 4
    code, _, error = call(capsys, "sample", "run", "--weights", "length-0.2", "--force")
    assert (code, "unknown average of the weights 'length-0.2'" in error) == (2, True)
    code, _, error = call(capsys, "average", "run", "--length", "0.5")
    assert (code, "lie in (0, 0.2887)" in error) == (2, True)


def test_a_finished_run_is_told_to_be_one(here, capsys):
    assert train(capsys)[0] == 0
    before = checkpoint.digest("run/checkpoint.safetensors")
    code, out, error = train(capsys, "--resume")
    assert (code, "nothing to do: the run in run has ended" in out) == (0, True), error
    assert checkpoint.digest("run/checkpoint.safetensors") == before
    code, out, _ = train(capsys, "--resume", "--set", "training.steps=15", "--json")
    assert (code, json.loads(out)["step"]) == (0, 15)
    code, _, error = train(capsys)
    assert (code, "--resume" in error, "--force" in error) == (2, True, True)


def test_a_run_goes_on_with_the_threads_that_it_was_begun_with(here, capsys):
    once, more = (["--set", f"training.steps={steps}"] for steps in (4, 5))
    begin, resume = ["train", "run.toml", "--out", "run"], ["--resume", *more]
    before = torch.get_num_threads()
    try:
        assert call(capsys, *begin, *once, "--threads", "2")[0] == 0
        torch.set_num_threads(1)
        code, out, error = call(capsys, *begin, *resume)
        assert (code, torch.get_num_threads(), error, "rows/s" in out) == (0, 2, "", False)
        code, _, error = call(capsys, *begin, *resume, "--threads", "1")
        assert (code, "trained on 2 CPU threads until here" in error) == (0, True)
    finally:
        torch.set_num_threads(before)


def test_a_run_that_patience_stopped_is_told_to_be_one(here, capsys):
    stopped = ["--set", "training.validation_steps=1", "--set", "training.patience=1"]
    stopped += ["--set", "training.learning_rate=1.0", "--set", "training.steps=200"]
    assert train(capsys, *stopped)[0] == 0
    step = checkpoint.metadata("run/checkpoint.safetensors")["step"]
    code, out, _ = train(capsys, *stopped, "--resume")
    assert (code, step < 200, "training.patience = 1 stopped it" in out) == (0, True, True)


def test_an_average_far_from_the_one_asked_for_is_told_and_holds_no_raw_weights(here, capsys):
    assert train(capsys)[0] == 0
    code, _, error = call(
        capsys, "average", "run", "--length", "0.08", "--out", "made.safetensors"
    )
    assert (code, error) == (0, "")
    code, _, error = call(capsys, "average", "run", "--length", "0.2")
    assert (code, "% off the one asked for" in error) == (0, True)
    code, _, error = call(capsys, "sample", "made.safetensors", "--weights", "raw", "--force")
    assert (code, "known: length-0.08." in error) == (2, True), error


@pytest.mark.parametrize("name", ["SIGTERM", pytest.param("SIGUSR1", marks=pytest.mark.slow)])
def test_a_pre_empted_run_exits_with_75_and_goes_on(here, name):
    asked = ["train", "run.toml", "--out", "run", "--threads", "1"]
    endless = [*asked, "--set", "training.steps=100000000"]
    child = cli_tools.start(endless, here)

    def ready() -> bool:
        log = here / "run" / "log.jsonl"
        return log.exists() and bool(log.read_text())

    code, error = cli_tools.stopped_when(child, ready, getattr(signal, name))
    assert code == 75, error
    assert f"stopped by {name}" in error
    assert "--resume" in error
    step = checkpoint.metadata(here / "run" / "checkpoint.safetensors")["step"]
    assert step > 0


def _table(here) -> None:
    """y = 2 g + noise of deviation 0.1, beside its g."""
    rng = np.random.default_rng(0)
    g = rng.uniform(10.0, 20.0, size=2000)
    y = 2.0 * g + 0.1 * rng.standard_normal(2000)
    rows = "\n".join(f"{a:.6f},{b:.6f}" for a, b in zip(y, g, strict=True))
    (here / "table.csv").write_text(f"y,g\n{rows}\n")
    (here / "vectors.toml").write_text("""
        data = {name = "table", path = "table.csv", given = ["g"]}
        process = {name = "edm", sigma_min = 0.01, sigma_max = 20.0}
        net = {name = "mlp", width = 32, blocks = 2, features = 1}
        objective = "denoising"
        training = {steps = 500, batch = 128, learning_rate = 5e-3, half_lives = [30]}
        """)


@pytest.mark.slow
def test_samples_follow_the_vector_they_are_given(here, capsys):
    _table(here)
    run = ["train", "vectors.toml", "--out", "run", "--threads", "1"]
    assert call(capsys, *run)[0] == 0
    means = {}
    for g in (12.0, 18.0):
        code, _, error = call(
            capsys, "sample", "run", "--given", g, "--n", 200, "--force", "--threads", "1"
        )
        assert code == 0, error
        x = dump.read("samples.h5").samples[:, 0]
        assert x.std() < 1.5  # the data's own deviation is 5.8
        means[g] = x.mean()
    assert means[12.0] == pytest.approx(24.0, abs=1.0)
    assert means[18.0] == pytest.approx(36.0, abs=1.0)
    for text, told in (("1,2", "vectors of 1 finite numbers"), ("a", "numbers with commas")):
        code, _, error = call(capsys, "sample", "run", "--given", text, "--force")
        assert (code, told in error) == (2, True), error


def test_vectors_are_refused_by_a_model_that_takes_none(here, capsys):
    assert train(capsys)[0] == 0
    code, _, error = call(capsys, "sample", "run", "--given", "1.0", "--force")
    assert (code, "takes no vectors" in error) == (2, True)
    code, _, error = call(capsys, "sample", "run", "--guide-weights", "raw", "--force")
    assert (code, "--guide" in error) == (2, True)


def test_the_pace_is_rows_a_second_of_late_and_over_all():
    pace = Pace(batch=10)
    made = [
        SimpleNamespace(step=k, seconds=t) for k, t in ((1, 1.0), (2, 1.5), (6, 3.5), (7, 9.5))
    ]
    assert [pace.told(step) for step in made] == ["", "20 rows/s", "20 rows/s", "1.667 rows/s"]
    assert pace.overall(made[-1]) == ", 7.059 rows/s"
    assert Pace(batch=10, first=(3, 2.0)).overall(SimpleNamespace(step=3, seconds=2.0)) == ""
