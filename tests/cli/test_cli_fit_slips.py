"""Slips in a call of `scoresde fit`: one clear line each, and nothing written."""

import numpy as np
import pytest
from cli_tools import call

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
    "no k": (["kmeans", "moons"], "give it by --k"),
    "no components": (["ppca", "moons"], "give it by --components"),
    "more clusters than rows": (["kmedoids", "data.csv", "--k", "161"], "lower k"),
    "too many sizes": (["gmm", "data.csv", "--k", "2..161"], "need as many data"),
    "components": (["pca", "data.csv", "--components", "4"], "at most 3"),
    "criterion without parameters": (["kmeans", "moons", "--k", "2..3"], "held-out"),
    "unknown criterion": (["gmm", "moons", "--k", "2..3", "--criterion", "bicc"], "bic, aic"),
    "folds": (
        ["gmm", "moons", "--n", "4", "--k", "1..2", "--criterion", "held-out"],
        "at least 5 data",
    ),
    "nameless data": (["normal", ""], "no name"),
    "folder as the file": (["normal", "moons", "-o", "folder.safetensors"], "is a folder"),
    "one column": (["ppca", "line.csv", "--components", "1"], "no number of components"),
    "folder for a file": (["normal", "folder.csv"], "folder.csv is a folder"),
    "folder in a configuration": (["normal", "folder.toml"], "folder.csv is a folder"),
    "picture that is there": (["normal", "moons", "--report", "drawn.png"], "--force"),
    "picture that is none": (["normal", "moons", "--report", "drawn.png", "--force"], "no PNG"),
    "no dump": (["normal", "none.h5"], "none.h5"),
    "foreign dump": (["normal", "taken.h5"], "taken.h5"),
}

AT_THE_FIT = {"one datum"}  # an estimator without a `check` of its own refuses in `fit` alone


@pytest.mark.parametrize("case", SLIPS)
def test_a_slip_has_one_clear_line_and_writes_nothing(there, capsys, case):
    """Of a dry run as of the fit."""
    arguments, hint = SLIPS[case]
    for name in ("taken.safetensors", "taken.h5", "drawn.png"):
        (there / name).write_text("mine")
    for name in ("pictures.png", "folder.csv", "folder.safetensors"):
        (there / name).mkdir()
    np.savetxt("line.csv", np.random.default_rng(1).normal(size=(50, 1)))
    (there / "folder.toml").write_text('data = {name = "table", path = "folder.csv"}')
    before = {path: path.read_bytes() for path in there.rglob("*") if path.is_file()}
    for dry in ([], ["--dry-run"]) if case not in AT_THE_FIT else ([],):
        code, out, error = call(capsys, "fit", *arguments, *dry)
        assert code in (1, 2), error
        assert hint in error
        assert "Traceback" not in error
        assert out == ""
        assert {p: p.read_bytes() for p in there.rglob("*") if p.is_file()} == before
