"""scoresde modes: what it finds, in which units, for which models; composed densities sampled."""

import math
from pathlib import Path

import pytest
import torch
from cli_tools import call, one_object

from scoresde.data import Scaling
from scoresde.densities import GaussianMixture, save
from scoresde.io import dump

CONFIGS = Path(__file__).parents[2] / "configs"
ONE = ("--threads", "1")  # no trial of how many pay
WELLS = """
[density]
name = "gaussian-mixture"
means = [[-3.0, 0.0], [3.0, 1.0]]
covariances = [0.1, 0.2]
weights = [1, 3]
"""
NESTED = """
[density]
name = "product"
parts = [
    {name = "gaussian", mean = [1.0, 2.0], covariance = [[4.0, 0.0], [0.0, 1.0]]},
    {name = "affine", scale = 2.0, base = {name = "stored", path = "law.safetensors"}},
]
"""
CLASSIFIER = """
data = "digits"
process = "edm"
classifier = {name = "mlp", classes = 10, width = 8, blocks = 1}
objective = "classification"
training = {steps = 1, batch = 8}
"""


def found(capsys, *arguments) -> dict:
    code, out, error = call(capsys, "modes", *arguments, "--json", *ONE)
    assert (code, error) == (0, "")
    return one_object(out)


def test_modes_of_a_density_are_told_and_shown(here, capsys):
    (here / "wells.toml").write_text(WELLS)
    told = found(capsys, "wells.toml", "--n", "10")
    assert [len(told["modes"]), told["starts"], told["unconverged"]] == [2, 12, 0]
    top = told["modes"][0]
    assert top["x"] == pytest.approx([3.0, 1.0], abs=1e-6)
    assert top["log_density"] == pytest.approx(math.log(0.75 / (2 * math.pi * 0.2)), abs=1e-9)
    assert top["curvature"] == pytest.approx(-5.0, rel=1e-6)
    code, out, error = call(capsys, "modes", "wells.toml", "--n", "10", *ONE)
    assert (code, error) == (0, "")
    assert "2 modes of exact score of gaussian-mixture from 12 starts" in out
    assert "log p" in out


def test_a_level_melts_the_modes_into_one(here, capsys):
    (here / "wells.toml").write_text(WELLS)
    told = found(capsys, "wells.toml", "--level", "-4")
    assert len(told["modes"]) == 1
    assert told["log_snr"] == pytest.approx(-4.0)


def test_a_scaled_file_has_its_modes_in_the_units_of_the_data(here, capsys):
    law = GaussianMixture(means=[[0.0, 0.0]], covariances=[[1.0, 4.0]])
    scaling = Scaling(shift=(10.0, -1.0), scale=(2.0, 0.5))
    save(here / "law.safetensors", law, metadata={"scaling": scaling.to_dict()})
    (mode,) = found(capsys, "law.safetensors")["modes"]
    assert mode["x"] == pytest.approx([10.0, -1.0])
    # in the data's units the standard deviations are 2 and 1
    assert mode["log_density"] == pytest.approx(-math.log(2 * math.pi * 2.0 * 1.0))


def test_modes_of_a_network_have_no_heights(here, capsys):
    assert call(capsys, "train", "tiny.toml", "--out", "tiny", "-q", *ONE)[0] == 0
    told = found(capsys, "tiny", "--n", "4", "--iterations", "40")
    assert told["starts"] == 4
    assert all(mode["log_density"] is None for mode in told["modes"])
    out = call(capsys, "modes", "tiny", "--n", "4", "--iterations", "40", *ONE)[1]
    assert "no log-density" in out


def test_a_classifier_has_no_modes(here, capsys):
    (here / "classifier.toml").write_text(CLASSIFIER)
    assert call(capsys, "train", "classifier.toml", "--out", "run", "-q", *ONE)[0] == 0
    code, _, error = call(capsys, "modes", "run")
    assert code == 2
    assert "is a classifier" in error


def test_an_empirical_law_is_searched_at_a_level_without_draws(here, capsys):
    """At a log-SNR of -6 two points 1 apart are one mode, midway (by symmetry)."""
    (here / "points.toml").write_text(
        '[density]\nname = "kde"\npoints = [[0.0], [1.0]]\nbandwidth = 0.0\n'
    )
    code, _, error = call(capsys, "modes", "points.toml")
    assert code == 1
    assert "--level" in error
    (mode,) = found(capsys, "points.toml", "--level", "-6", "--n", "0")["modes"]
    assert mode["x"] == pytest.approx([0.5])
    assert mode["starts"] == 2


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["none.toml"], "no model at none.toml"),
        (["wells.toml", "--tolerance", "0"], "tolerance"),
        (["wells.toml", "--iterations", "0"], "max_iterations"),
        (["wells.toml", "--n", "-1"], "got -1"),
        (["wells.toml", "--dtype", "float8"], "float8"),
        (["wells.toml", "--level", "nan"], "--level nan: the log SNR"),
        (["wells.toml", "--level", "99"], "runs from -8.764"),
        (["wells.toml", "--n", "1000000000"], "take 16.0 GB"),
    ],
)
def test_a_slip_is_named(here, capsys, arguments, named):
    (here / "wells.toml").write_text(WELLS)
    code, _, error = call(capsys, "modes", *arguments)
    assert code == 2
    assert named in error


def test_a_composed_density_is_sampled_from_its_configuration(here, capsys):
    save(here / "law.safetensors", GaussianMixture(means=[[0.0], [3.0]], covariances=[1.0, 0.5]))
    (here / "nested.toml").write_text(NESTED)
    out = here / "nested.h5"
    code, _, error = call(
        capsys, "sample", "nested.toml", "--n", 8, "--steps", 5, "--log-prob", "--out", out, *ONE
    )
    assert (code, error) == (0, "")
    assert dump.read(out, columns=["log_prob"]).samples.shape == (8, 3)


def test_the_worked_posterior_runs_as_it_stands(here, capsys):
    told = found(capsys, CONFIGS / "conditioned_mixture.toml", "--n", "16")
    top = torch.tensor(told["modes"][0]["x"], dtype=torch.float64)
    assert abs(float(top.sum()) - 2.0) < 1.0
    code, _, error = call(
        capsys, "sample", CONFIGS / "conditioned_mixture.toml", "--n", 4, "--out", "p.h5", *ONE
    )
    assert (code, error) == (0, "")
