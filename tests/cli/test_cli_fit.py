"""`scoresde fit` with an estimator of another package: data, figures, files, slips."""

import warnings

import numpy as np
import pytest
import torch
from cli_tools import call, one_object
from scipy.stats import multivariate_normal

from scoresde import config
from scoresde.data import DATASETS
from scoresde.estimators import load
from scoresde.io import checkpoint


def fitted(capsys, *arguments) -> dict:
    code, out, error = call(capsys, "fit", "normal", *arguments, "--json")
    assert (code, error) == (0, "")
    return one_object(out)


def test_likelihoods_are_those_of_the_data_as_given(there, capsys):
    """Against scipy on the raw rows, columns scaled by 1, 10 and 0.01 each."""
    found = fitted(capsys, "data.csv", "--dtype", "float64")
    data = DATASETS["table"](path="data.csv").load()
    raw = [data.scaling.undo(rows.double()).numpy() for rows in (data.train, data.test)]
    law = multivariate_normal(raw[0].mean(0), np.cov(raw[0].T, bias=True))
    for key, rows in zip(("train", "held_out"), raw, strict=True):
        values = law.logpdf(rows)
        told = found[key]
        assert told["rows"] == len(rows)
        assert told["nats"] == pytest.approx(values.mean(), abs=1e-6)
        error = values.std(ddof=1) / np.sqrt(len(rows))
        assert told["standard_error"] == pytest.approx(error, rel=1e-6)
        assert told["bits_per_dim"] == pytest.approx(-values.mean() / (3 * np.log(2)), abs=1e-6)


def test_data_of_every_kind(there, capsys):
    call(capsys, "sample", "gaussian.toml", "--n", 40, "--steps", 4, "--out", "dump.h5")
    expected = {
        "8gaussians": ("8gaussians", 20000),
        "data.csv": ("data", 160),
        "data.npz": ("data", 160),
        "dump.h5": ("dump", 32),
        "fit.toml": ("moons", 300),
    }
    for data, (name, rows) in expected.items():
        found = fitted(capsys, data, "--set", "fit.floor=0.1", "--out", "m.safetensors", "--force")
        assert (found["data"], found["rows"]) == (name, rows)
        assert found["facts"] == {"rows_seen": rows}
        assert found["options"]["floor"] == 0.1
    assert fitted(capsys, "fit.toml")["options"]["floor"] == 0.5
    metadata = checkpoint.metadata("normal-fit.safetensors")
    assert metadata["config"]["seed"] == 3
    assert metadata["config"]["process"]["name"] == "vp-cosine"
    assert "net" not in metadata["config"]


def test_the_file_holds_the_model_and_its_record(there, capsys):
    found = fitted(capsys, "fit.toml", "-o", "m.safetensors", "--n", 50, "--seed", 9)
    metadata = checkpoint.metadata("m.safetensors")
    assert found["identity"] == "sha256:" + checkpoint.sha256("m.safetensors")
    assert found["digest"] == checkpoint.digest("m.safetensors")
    assert metadata["figures"]["held_out"] == found["held_out"]
    assert metadata["config"]["seed"] == found["seed"] == 9
    assert load("m.safetensors").rows_seen == found["rows"] == 50
    data = config.load("fit.toml").build("data").load()
    assert metadata["data_fingerprint"] == data.fingerprint
    again = fitted(capsys, "fit.toml", "-o", "m2.safetensors", "--n", 50, "--seed", 9)
    assert again["identity"] == found["identity"]
    code, out, _ = call(capsys, "inspect", "m.safetensors", "--json")
    told = one_object(out)
    assert code == 0
    assert told["density"] == "gaussian"
    assert told["figures"]["train"] == found["train"]
    assert told["tensors"]["density.covariance"] == [2, 2]


def test_a_fit_starts_at_a_fitted_file(there, capsys):
    fitted(capsys, "fit.toml", "-o", "a.safetensors", "--n", 50)
    started = fitted(capsys, "fit.toml", "-o", "b.safetensors", "--start", "a.safetensors")
    assert load("b.safetensors").density.mean.equal(load("a.safetensors").density.mean)
    assert started["rows"] == 300
    code, _, error = call(capsys, "fit", "normal", "data.csv", "--start", "a.safetensors")
    assert code in (1, 2)
    assert "a.safetensors" in error


def test_words_warnings_and_quiet(there, capsys):
    code, out, error = call(capsys, "fit", "normal", "fit.toml", "-v")
    assert code == 0
    assert "iteration 2: 1" in error
    for part in ("normal fitted to 300 rows of moons", "held out", "scoresde sample"):
        assert part in out
    code, out, error = call(capsys, "fit", "normal", "fit.toml", "-q", "--force")
    assert (code, out, error) == (0, "", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warnings, "filters", [])
        code, _, error = call(capsys, "fit", "doubtful", "fit.toml", "-q")
    assert (code, error) == (0, "warning: few data beyond\n")


def test_a_dry_run_tells_what_would_run_and_can_be_run(there, capsys):
    before = sorted(there.rglob("*"))
    arguments = ["normal", "moons", "--set", "fit.floor=0.25", "--set", "data.n_train=70"]
    code, out, _ = call(capsys, "fit", *arguments, "-o", "m.safetensors", "--dry-run")
    assert code == 0
    assert sorted(there.rglob("*")) == before
    told = "# normal on 70 rows of moons (2), 4000 held out, into m.safetensors"
    assert out.splitlines()[-1] == told
    (there / "again.toml").write_text(out)
    again = call(capsys, "fit", "normal", "again.toml", "-o", "m.safetensors", "--dry-run")
    assert again[1] == out
    assert fitted(capsys, "again.toml")["rows"] == 70
    dry = fitted(capsys, "data.csv", "--n", 9, "--dry-run")
    assert (dry["rows"], dry["held_out_rows"], dry["event_shape"]) == (9, 40, [3])


def test_force_replaces_a_fitted_model_and_nothing_else(there, capsys):
    fitted(capsys, "fit.toml", "-o", "m.safetensors")
    first = checkpoint.sha256("m.safetensors")
    assert call(capsys, "fit", "normal", "fit.toml", "-o", "m.safetensors")[0] == 2
    assert checkpoint.sha256("m.safetensors") == first
    fitted(capsys, "fit.toml", "-o", "m.safetensors", "--force", "--set", "fit.floor=0.1")
    assert checkpoint.sha256("m.safetensors") != first
    trained = there / "trained.safetensors"
    checkpoint.save(trained, {"net.weight": torch.ones(2)}, {"step": 3})
    kept = trained.read_bytes()
    code, _, error = call(capsys, "fit", "normal", "fit.toml", "-o", trained, "--force")
    assert code == 1
    assert "no fitted model" in error
    assert trained.read_bytes() == kept


def test_force_replaces_a_picture(there, capsys):
    arguments = ("fit.toml", "-o", "m.safetensors", "--report", "p.png")
    fitted(capsys, *arguments)
    drawn = (there / "p.png").read_bytes()
    for out in ("m.safetensors", "n.safetensors"):
        code, _, error = call(capsys, "fit", "normal", *arguments, "-o", out)
        assert code == 2
        assert "--force" in error
    (there / "p.png").write_bytes(drawn[:500])  # a picture still, by its first bytes
    fitted(capsys, *arguments, "--force")
    assert (there / "p.png").read_bytes() == drawn
    assert not list(there.glob(".*"))


def test_a_model_without_a_density_says_so(there, capsys):
    """Some of the digits' pixels are constant, so their covariance is singular."""
    found = fitted(capsys, "digits", "--report", "p.png")
    assert found["held_out"]["nats"] is None
    assert "variance is 0" in found["held_out"]["reason"]
    assert (there / "p.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("data", ["fit.toml", "data.csv", "line.npz"])
def test_pictures_of_every_dimension(there, capsys, data):
    np.savez("line.npz", np.random.default_rng(1).normal(size=(50, 1)))
    fitted(capsys, data, "--report", "p.png")
    assert (there / "p.png").read_bytes()[:4] == b"\x89PNG"


def test_missing_values_are_refused_where_an_estimator_does_not_take_them(there, capsys):
    x = np.ones((20, 2))
    x[3, 1] = np.nan
    np.savez("nan.npz", x)
    np.savetxt("nan.csv", x, delimiter=",")
    for path in ("nan.npz", "nan.csv"):
        for name, *options in (["normal"], ["ppca", "--components", 1]):
            code, _, error = call(capsys, "fit", name, path, *options)
            assert code == 1
            assert "finite" in error
