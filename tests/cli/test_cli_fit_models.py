"""Every command that takes a model takes a fitted file."""

import shutil

import numpy as np
import pytest
from cli_tools import call, one_object

from scoresde.cli import run
from scoresde.io import dump

MOONS = ["moons", "--set", "data.n_train=400", "--set", "data.n_test=80"]
FITS = {
    "kmeans": [*MOONS, "--k", "5"],
    "kmedoids": [*MOONS, "--k", "5"],
    "pca": [*MOONS, "--components", "1"],
    "ppca": [*MOONS, "--components", "1"],
    "gmm": [*MOONS, "--k", "3", "--structure", "diagonal"],
    "kde": [*MOONS],
}
NO_DENSITY = ("pca",)


def told(capsys, *arguments) -> dict:
    code, out, error = call(capsys, *arguments, "--json")
    assert (code, error) == (0, ""), error
    return one_object(out)


@pytest.mark.parametrize("name", FITS)
def test_every_estimator_fits_and_its_file_is_sampled(here, capsys, name):
    found = told(capsys, "fit", name, *FITS[name], "--report", "p.png", "-o", "m.safetensors")
    assert (found["rows"], found["held_out"]["rows"]) == (400, 80)
    assert (found["held_out"]["nats"] is None) == (name in NO_DENSITY)
    assert (here / "p.png").read_bytes()[:4] == b"\x89PNG"
    made = told(capsys, "sample", "m.safetensors", "--n", 8, "--steps", 6, "--out", "s.h5")
    assert made["model"] == found["identity"]
    assert np.isfinite(dump.read("s.h5").samples).all()
    described = told(capsys, "inspect", "m.safetensors")
    assert described["config"]["fit"]["name"] == name
    assert described["figures"]["held_out"] == found["held_out"]


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    """A mixture's file, fitted once."""
    path = tmp_path_factory.mktemp("fitted") / "gmm.safetensors"
    assert run(["fit", "gmm", *MOONS, "--k", "3", "-o", str(path), "-q"]) == 0
    return path


@pytest.fixture
def fitted(here, mixture):
    """The working folder with a mixture's file."""
    shutil.copy(mixture, "gmm.safetensors")
    return here


def test_every_command_takes_a_fitted_file(fitted, capsys):
    model = "gmm.safetensors"
    few = ["--n", 6, "--steps", 8]
    sampled = told(capsys, "sample", model, *few, "--log-prob", "--process", "vp-linear")
    assert sampled["rows"] == 6
    chains = ["--sampler", "mala", "--set", "kernel.step_size=0.1", "--set", "chain.draws=9"]
    told(capsys, "sample", model, "--n", 4, *chains, "--set", "chain.warm_up=5", "--out", "c.h5")
    assert dump.read("c.h5").chain.shape == (4, 9, 2)
    encoded = told(capsys, "encode", model, *few)
    assert encoded["roundtrip_rms_max"] < 1e-2
    told(capsys, "decode", model, "latents.h5", "--out", "back.h5")
    told(capsys, "encode", model, *few, "--data", "samples.h5", "--out", "again.h5")
    told(capsys, "interpolate", model, "--pair", 0, 1, "--steps", 8, "--out", "way.h5")
    told(capsys, "perturb", model, *few)
    told(capsys, "sample", model, "--n", 40, "--steps", 8, "--seed", 1, "--out", "b.h5")
    told(capsys, "sample", model, "--n", 40, "--steps", 8, "--out", "a.h5")
    compared = told(capsys, "compare", "a.h5", "b.h5", "--resamples", 40)
    assert compared["rows"][0]["name"] == "b"


def test_a_fit_to_a_models_draws(fitted, capsys):
    """The way from one law to another leads over a dump."""
    told(capsys, "sample", "gmm.safetensors", "--n", 60, "--steps", 8, "--out", "s.h5")
    found = told(capsys, "fit", "ppca", "s.h5", "--components", 1)
    assert (found["data"], found["rows"]) == ("s", 48)
    assert found["out"] == "ppca-s.safetensors"


def test_the_number_of_components_is_chosen(here, capsys):
    """Eight Gaussians on a circle: BIC finds all, and no more."""
    data = ["8gaussians", "--set", "data.n_train=400", "--set", "data.n_test=50"]
    given = ["--k", "2,8,10", "--structure", "spherical", "--set", "fit.method.tolerance=1e-4"]
    found = told(capsys, "fit", "gmm", *data, *given, "--criterion", "bic")
    assert found["options"]["k"] == 8
    assert [row["k"] for row in found["choice"]["candidates"]] == [2, 8, 10]
    _, out, _ = call(capsys, "fit", "gmm", *data, "--k", "1..2", "-o", "w.safetensors")
    assert "chosen by bic" in out
    assert "best  chosen" in out


def test_a_mixture_goes_on_from_a_mixture(fitted, capsys):
    """From where it converged, a climb ends at once."""
    again = told(
        capsys,
        "fit",
        "gmm",
        *MOONS,
        "--k",
        3,
        "--start",
        "gmm.safetensors",
        "-o",
        "on.safetensors",
    )
    assert again["iterations"] <= 3
    assert again["converged"]


REFUSED = {
    "average": (["average", "gmm.safetensors", "--length", "0.1"], "gmm.safetensors"),
    "weights": (["sample", "gmm.safetensors", "--weights", "raw"], "no averages"),
    "label": (["sample", "gmm.safetensors", "--label", "1"], "label"),
    "guidance": (["sample", "gmm.safetensors", "--guidance", "2"], "condition"),
    "train": (["train", "gmm.safetensors"], "gmm.safetensors"),
    "other start": (
        ["fit", "gmm", "digits", "--k", "3", "--start", "gmm.safetensors"],
        "gmm.safetensors",
    ),
    "start of pca": (
        ["fit", "pca", *MOONS, "--components", "1", "--start", "gmm.safetensors"],
        "takes no start",
    ),
    "other k": (
        ["fit", "kmeans", *MOONS, "--k", "2", "--start", "gmm.safetensors"],
        "has 3 components, and k is 2",
    ),
    "too many": (["fit", "gmm", *MOONS, "--k", "401"], "401"),
    "components": (["fit", "ppca", *MOONS, "--components", "3"], "components"),
    "structure": (["fit", "gmm", *MOONS, "--k", "3", "--structure", "round"], "structure"),
    "method": (["fit", "gmm", *MOONS, "--k", "3", "--method", "emm"], "Did you mean 'em'?"),
    "no k": (["fit", "gmm", *MOONS], "give it by --k"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_fitted_file_is_not(fitted, capsys, case):
    arguments, hint = REFUSED[case]
    before = sorted(fitted.rglob("*"))
    code, out, error = call(capsys, *arguments)
    assert code in (1, 2), error
    assert hint in error
    assert "Traceback" not in error
    assert out == ""
    assert sorted(fitted.rglob("*")) == before


def test_data_that_have_changed_since_the_fit_are_told(here, capsys):
    for seed, changed in ((0, False), (1, True)):
        np.savez("data.npz", data=np.random.default_rng(seed).normal(size=(60, 2)))
        if not changed:
            told(capsys, "fit", "gmm", "data.npz", "--k", "1", "-o", "m.safetensors")
        for command in ("encode", "perturb"):
            arguments = ("m.safetensors", "--n", 3, "--out", f"{command}-{seed}.h5")
            code, _, error = call(capsys, command, *arguments)
            assert code == 0
            assert ("the data set has changed since the model was made" in error) == changed
