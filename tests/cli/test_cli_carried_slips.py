"""Slips around models, guides and latents: one line, and no file that was there is lost."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from cli_tools import TINY, call

from scoresde.io import dump

VECTORS = """
seed = 0
data = {name = "npz", path = "rows.npz", key = "x", label_key = "y"}
process = {name = "learned", gamma_min = -10.0, gamma_max = 5.0}
net = {name = "mlp", width = 8, blocks = 1, features = 1}
objective = {name = "bound", kind = "eps"}
training = {steps = 3, batch = 16, learning_rate = 0.1}
"""
FOREIGN = """
[model]
name = "callable"
factory = "made.py:{}"
convention = "denoiser"
event_shape = [2]
"""
MADE = """
import sys
def one_argument(): return lambda y: y
def fails(): return lambda y, sigma: {}["key"]
def leaves(): sys.exit(0)
def two_lines(): raise ValueError("first\\nsecond")
def fine(): return lambda y, sigma: 0.5 * y
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with two runs: `run` of moons, `vectors` under a schedule that has learned."""
    from scoresde.cli import run

    folder = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        np.savez("rows.npz", x=rng.normal(size=(60, 2)), y=100.0 + rng.normal(size=(60, 1)))
        for name, text in (("run", TINY), ("vectors", VECTORS)):
            Path(f"{name}.toml").write_text(text)
            assert run(["train", f"{name}.toml", "--out", name, "--threads", "1", "-q"]) == 0
    return folder


@pytest.fixture
def there(trained, here) -> Path:
    for name in ("run", "vectors"):
        shutil.copytree(trained / name, here / name)
    shutil.copy(trained / "rows.npz", here)
    (here / "made.py").write_text(MADE)
    return here


def refused(capsys, *arguments, code: int = 2) -> str:
    """The one line with which a command ends."""
    found, _, error = call(capsys, *arguments, "--threads", 1)
    assert found == code, error
    line = error.strip().splitlines()[-1]
    assert line.lower().startswith("error: ")
    assert "Usage:" in error or len(error.strip().splitlines()) == 1
    return line


def done(capsys, *arguments) -> None:
    code, _, error = call(capsys, *arguments, "--threads", 1)
    assert (code, error) == (0, "")


OVER_INPUTS = {
    "latents": ["decode", "gaussian.toml", "latents.h5", "--out", "latents.h5"],
    "by another name": ["decode", "gaussian.toml", "latents.h5", "--out", "./latents.h5"],
    "way": ["interpolate", "gaussian.toml", "--latents", "latents.h5", "--pair", 0, 1,
            "--out", "latents.h5"],
    "data": ["perturb", "gaussian.toml", "--data", "data.h5", "--out", "data.h5"],
    "picture over data": ["encode", "gaussian.toml", "--data", "data.h5", "--report", "data.h5"],
    "picture over a model": ["encode", "gaussian.toml", "--report", "gaussian.toml"],
    "configuration": ["sample", "gaussian.toml", "--out", "gaussian.toml"],
    "checkpoint": ["sample", "run", "--out", "run/checkpoint.safetensors"],
}  # fmt: skip


def test_no_command_writes_over_what_it_reads(there, capsys):
    done(capsys, "sample", "gaussian.toml", "--n", 3, "--steps", 2, "--out", "data.h5")
    done(capsys, "encode", "gaussian.toml", "--n", 3, "--method", "euler", "--out", "latents.h5")
    kept = ("data.h5", "latents.h5", "gaussian.toml", "run/checkpoint.safetensors")
    before = [(there / name).read_bytes() for name in kept]
    for name, arguments in OVER_INPUTS.items():
        code, _, error = call(capsys, *arguments, "--force", "--threads", 1)
        assert code in (1, 2), name
        assert error.startswith("error: "), name
        assert str(arguments[-1]).removeprefix("./") in error, name
        assert [(there / name).read_bytes() for name in kept] == before, name
    assert not (there / "paths.h5").exists()


def test_a_dump_outlives_the_call_that_would_replace_it_and_fails(there, capsys):
    done(capsys, "sample", "gaussian.toml", "--n", 5, "--steps", 2)
    before = (there / "samples.h5").read_bytes()
    (there / "bad.toml").write_text(FOREIGN.format("fails"))
    refused(capsys, "sample", "bad.toml", "--force", code=1)
    assert (there / "samples.h5").read_bytes() == before
    done(capsys, "sample", "gaussian.toml", "--n", 5, "--steps", 2, "--force", "--batch", 2,
         "--first-id", 3)  # fmt: skip
    made = dump.read("samples.h5")
    done(capsys, "sample", "gaussian.toml", "--n", 8, "--steps", 2, "--out", "all.h5")
    assert made.sample_id.tolist() == [3, 4, 5, 6, 7]
    assert np.allclose(made.samples, dump.read("all.h5").samples[3:], rtol=1e-5, atol=1e-6)


FACTORIES = {
    "one_argument": ("(4, 2)", "takes 1 positional argument"),
    "fails": ("KeyError: 'key'",),
    "leaves": ("made.py:leaves", "SystemExit"),
    "two_lines": ("first second",),
}


@pytest.mark.parametrize("name", FACTORIES)
def test_what_a_foreign_function_raises_is_told_in_a_line(there, capsys, name):
    (there / "model.toml").write_text(FOREIGN.format(name))
    error = refused(capsys, "sample", "model.toml", "--n", 4, code=1)
    assert all(part in error for part in FACTORIES[name])
    assert not (there / "samples.h5").exists()


def test_a_learned_schedule_is_never_taken_untrained(there, capsys):
    """Its own name keeps what was learned; its options are those of the training."""
    options = ("--n", 3, "--steps", 2, "--grid", "uniform-time")
    for name, process in (("own", ()), ("named", ("--process", "learned"))):
        done(capsys, "sample", "vectors", *options, *process, "--out", f"{name}.h5")
    own, named = dump.read("own.h5"), dump.read("named.h5")
    assert np.array_equal(own.samples, named.samples)
    assert own.attributes["process"] == named.attributes["process"]
    for process in ((), ("--process", "learned")):
        setting = ("--set", "process.gamma_min=-5", "--out", "x.h5")
        assert "process.gamma_min" in refused(capsys, "sample", "vectors", *process, *setting)
    done(capsys, "sample", "vectors", *options, "--process", "vp-linear", "--out", "other.h5")


def test_latents_of_a_vector_are_decoded_with_it(there, capsys):
    options = ("--dtype", "float64", "--steps", 8, "--method", "rk4", "--n", 3)
    done(capsys, "encode", "vectors", "--given", "100.5000000000001", *options)
    for name, given in (("own", ()), ("told", ("--given", "100.5000000000001"))):
        done(capsys, "decode", "vectors", "latents.h5", *given, "--out", f"{name}.h5")
    done(capsys, "decode", "vectors", "latents.h5", "--label", "none", "--out", "none.h5")
    own, told, none = (dump.read(f"{name}.h5") for name in ("own", "told", "none"))
    assert np.array_equal(own.samples, told.samples)
    assert own.attributes["given"] == told.attributes["given"] == "100.5000000000001"
    assert none.attributes["given"] == "none"
    assert not np.array_equal(own.samples, none.samples)


def test_slips_that_were_passed_over(there, capsys):
    (there / "fine.toml").write_text(FOREIGN.format("fine"))
    (there / "three.toml").write_text(
        '[density]\nname = "gaussian-mixture"\nmeans = [[0.0, 0.0, 0.0]]\ncovariances = [1.0]\n'
    )
    done(capsys, "sample", "three.toml", "--n", 2, "--steps", 2, "--out", "three.h5")
    for model in ("gaussian.toml", "fine.toml"):
        assert "'raw'" in refused(capsys, "sample", model, "--weights", "raw")
    for model in ("run", "vectors", "fine.toml"):
        error = refused(capsys, "perturb", model, "--data", "three.h5", code=1)
        assert "(3,)" in error
        assert "(2,)" in error
    huge = 2**63
    assert str(huge) in refused(capsys, "interpolate", "gaussian.toml", "--pair", 1, huge)
    error = refused(
        capsys, "sample", "gaussian.toml", "--threshold", "off", "--set", "threshold.low=0"
    )
    assert "--threshold" in error
    assert "itself" in refused(capsys, "sample", "run", "--guide", "run")
    done(capsys, "sample", "run", "--guide", "run", "--guide-weights", "raw", "--n", 2)
    done(capsys, "perturb", "gaussian.toml", "--n", 1, "--report", "one.png")
