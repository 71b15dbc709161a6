"""`scoresde fit` with an estimator of another package: data, figures, files, slips."""

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from cli_tools import call, one_object
from scipy.stats import multivariate_normal

from scoresde import config
from scoresde.data import DATASETS
from scoresde.densities import Density, Gaussian
from scoresde.estimators import ESTIMATORS, Estimator, Fitted, load
from scoresde.estimators.base import checked, flat
from scoresde.io import checkpoint


@dataclass(frozen=True, kw_only=True, eq=False)
class NormalModel(Fitted):
    density: Density
    rows_seen: int = 0

    def facts(self) -> dict:
        return {"rows_seen": self.rows_seen}


@dataclass(frozen=True, kw_only=True)
class Normal(Estimator):
    """N(m, C + floor I) by maximum likelihood; a start hands its mean on."""

    model: ClassVar[type[Fitted]] = NormalModel
    floor: float = 0.0
    max_iterations: int = 2

    def fit(
        self, x, *, seed=0, on_iteration=None, start: NormalModel | None = None
    ) -> NormalModel:
        x = checked(x, least=2)
        rows = flat(x[:])
        mean = rows.mean(0) if start is None else start.density.mean
        covariance = (rows - mean).T @ (rows - mean) / len(rows)
        covariance.diagonal().add_(self.floor)
        for i in range(self.max_iterations):
            if on_iteration is not None:
                on_iteration(i + 1, float(i))
        event = tuple(x.shape[1:])
        density = Gaussian(mean=mean, covariance=covariance, event_shape=event)
        return NormalModel(
            event_shape=event, density=density, trace=(0.0, 1.0), iterations=2, rows_seen=len(x)
        )


@dataclass(frozen=True, kw_only=True)
class Doubtful(Normal):
    """As `Normal`, with a warning."""

    def fit(self, x, **given) -> NormalModel:
        warnings.warn("few data\nbeyond", UserWarning, stacklevel=2)
        return super().fit(x, **given)


@pytest.fixture
def there(here, monkeypatch):
    """The working folder, with an estimator of ours in the family and data in files."""
    monkeypatch.setitem(ESTIMATORS.members, "normal", Normal)
    monkeypatch.setitem(ESTIMATORS.members, "doubtful", Doubtful)
    x = np.random.default_rng(0).normal(size=(200, 3)) * [1.0, 10.0, 0.01] + [5.0, -3.0, 0.0]
    np.savetxt("data.csv", x, delimiter=",")
    np.savez("data.npz", x)
    np.save("data.npy", x)
    (here / "fit.toml").write_text(
        'seed = 3\nnet = "mlp"\nprocess = "vp-cosine"\n'
        'data = {name = "moons", n_train = 300, n_test = 100}\n'
        'fit = {name = "normal", floor = 0.5}\n'
    )
    return here


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


def test_a_dry_run_prints_what_can_be_run(there, capsys):
    before = sorted(there.rglob("*"))
    arguments = ["fit", "normal", "moons", "--set", "fit.floor=0.25", "--set", "data.n_train=70"]
    code, out, _ = call(capsys, *arguments, "--dry-run")
    assert code == 0
    assert sorted(there.rglob("*")) == before
    (there / "again.toml").write_text(out)
    assert call(capsys, "fit", "normal", "again.toml", "--dry-run")[1] == out
    assert fitted(capsys, "again.toml")["rows"] == 70


SLIPS = {
    "estimator": (["nrmal", "moons"], "Did you mean 'normal'?"),
    "data": (["normal", "mons"], "Did you mean 'moons'?"),
    "npy": (["normal", "data.npy"], ".npz"),
    "no data section": (["normal", "gaussian.toml"], "[data]"),
    "no configuration": (["normal", "none.toml"], "none.toml"),
    "option": (["normal", "moons", "--set", "fit.flor=1"], "Did you mean 'floor'?"),
    "type": (["normal", "moons", "--set", "fit.floor=much"], "floor"),
    "section": (["normal", "moons", "--set", "net.width=1"], "data, fit and process"),
    "shortcut": (["normal", "moons", "--k", "3"], "normal has no option k"),
    "sizes": (["normal", "moons", "--k", "8..2"], "--k"),
    "choice": (["normal", "moons", "--k", "2..4"], "no option k"),
    "criterion": (["normal", "moons", "--criterion", "bic"], "--criterion"),
    "n": (["normal", "moons", "--n", "0"], "n is at least 1"),
    "many": (["normal", "moons", "--n", "99999"], "at most the 20000 rows"),
    "seed": (["normal", "moons", "--seed", "-1"], "seed"),
    "dtype": (["normal", "moons", "--dtype", "float8"], "float8"),
    "device": (["normal", "moons", "--device", "gpu"], "--device cpu"),
    "suffix": (["normal", "moons", "-o", "model.h5"], ".safetensors"),
    "folder": (["normal", "moons", "-o", "no/m.safetensors"], "no folder no"),
    "picture": (["normal", "moons", "--report", "picture.jpg"], ".png"),
    "picture's folder": (["normal", "moons", "--report", "no/p.png"], "no folder no"),
    "picture that is a folder": (["normal", "moons", "--report", "pictures.png"], "is a folder"),
    "model": (["normal", "taken.safetensors"], "is a model or a folder"),
    "sizes twice": (["gmm", "moons", "--k", "2..3", "--set", "fit.k=9"], "exclude each other"),
    "sizes without end": (["gmm", "moons", "--k", "1..99999999999"], "at most 1000"),
    "value": (["gmm", "moons", "--k", "2", "--structure", "ful"], "Did you mean 'full'?"),
    "start": (["normal", "moons", "--start", "fit.toml"], "fit.toml"),
    "taken": (["normal", "moons", "-o", "taken.safetensors"], "--force"),
    "foreign": (["normal", "moons", "-o", "taken.safetensors", "--force"], "taken.safetensors"),
    "one datum": (["normal", "moons", "--n", "1"], "at least 2"),
    "no file": (["normal", "none.csv"], "none.csv"),
    "no dump": (["normal", "none.h5"], "none.h5"),
    "foreign dump": (["normal", "taken.h5"], "taken.h5"),
}


@pytest.mark.parametrize("case", SLIPS)
def test_a_slip_has_one_clear_line_and_writes_nothing(there, capsys, case):
    arguments, hint = SLIPS[case]
    for name in ("taken.safetensors", "taken.h5"):
        (there / name).write_text("mine")
    (there / "pictures.png").mkdir()
    before = {path: path.read_bytes() for path in there.rglob("*") if path.is_file()}
    code, out, error = call(capsys, "fit", *arguments)
    assert code in (1, 2), error
    assert hint in error
    assert "Traceback" not in error
    assert out == ""
    assert {p: p.read_bytes() for p in there.rglob("*") if p.is_file()} == before


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


def test_missing_values_are_refused_by_every_reader(there, capsys):
    x = np.ones((20, 2))
    x[3, 1] = np.nan
    np.savez("nan.npz", x)
    np.savetxt("nan.csv", x, delimiter=",")
    for path in ("nan.npz", "nan.csv"):
        code, _, error = call(capsys, "fit", "normal", path)
        assert code == 1
        assert "finite" in error
