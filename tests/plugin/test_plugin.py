"""A package that is merely importable adds a sampler to every command, with no change here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scoresde.cli import run
from scoresde.io import dump

pytestmark = pytest.mark.slow
PACKAGE = Path(__file__).parent / "package"  # a folder that pytest does not put on the path
DENSITY = """
[density]
name = "gaussian"
mean = [1.0, 2.0]
covariance = [[4.0, 0.0], [0.0, 1.0]]
"""
SCRIPT = """
import json, sys
from scoresde.cli import run
print(json.dumps([run(call) for call in json.loads(sys.argv[1])]))
"""


def _runs(folder: Path, *calls: list[str]) -> tuple[list[int], str, str]:
    """Exit codes, standard output and error of command lines run one after another."""
    paths = [str(PACKAGE), os.environ.get("PYTHONPATH", "")]
    child = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(calls)],
        cwd=folder,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert child.returncode == 0, child.stderr
    *out, codes = child.stdout.splitlines()
    return json.loads(codes), "\n".join(out), child.stderr


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "g.toml").write_text(DENSITY)
    sample = ["sample", "g.toml", "--n", "5", "--dtype", "float64", "-q"]
    return folder, _runs(
        folder,
        ["list", "samplers", "--json"],
        [*sample, "--sampler", "log-euler", "--out", "plugin.h5"],
        [*sample, "--sampler", "ddim", "--out", "ddim.h5"],
        [*sample, "--sampler", "log-euler", "--set", "sampler.gain=0.5", "--out", "half.h5"],
        [*sample, "--sampler", "log-euler", "--set", "sampler.gian=0.5", "--out", "no.h5"],
        [*sample, "--sampler", "log-eulr", "--out", "no.h5"],
        ["verify", "log-euler", "falsely-second", "--json"],
    )


def test_it_appears_in_the_list_beside_our_own(ran):
    _, (codes, out, _) = ran
    samplers = json.loads(out.splitlines()[0])["samplers"]
    assert codes[0] == 0
    assert {"ddim", "log-euler"} <= samplers.keys()
    assert samplers["log-euler"].startswith("x_s/alpha_s = x_t/alpha_t")


def test_it_samples_by_name_and_takes_options(ran):
    folder, (codes, _, _) = ran
    assert codes[1:4] == [0, 0, 0]
    made, ddim, half = (dump.read(folder / f"{n}.h5") for n in ("plugin", "ddim", "half"))
    assert made.attributes["sampler"] == {"name": "log-euler", "gain": 1.0}
    assert np.abs(made.samples - ddim.samples).max() < 1e-10  # it is DDIM, written otherwise
    assert half.attributes["sampler"]["gain"] == 0.5
    assert np.abs(half.samples - ddim.samples).max() > 0.1


def test_slips_in_its_names_get_the_same_hints(ran):
    folder, (codes, _, error) = ran
    assert codes[4:6] == [2, 2]
    assert "Did you mean 'gain'?" in error
    assert "Did you mean 'log-euler'?" in error
    assert not (folder / "no.h5").exists()


def test_it_is_verified_and_a_false_order_is_found_out(ran):
    _, (codes, out, _) = ran
    verdict = json.loads(out.splitlines()[-1])
    assert codes[6] == 1
    failed = {check["sampler"] for check in verdict["checks"] if not check["passed"]}
    passed = {check["sampler"] for check in verdict["checks"] if check["passed"]}
    assert failed == {"falsely-second"}
    assert "log-euler" in passed


def test_without_the_package_its_name_is_unknown(tmp_path, capsys):
    (tmp_path / "g.toml").write_text(DENSITY)
    assert run(["sample", str(tmp_path / "g.toml"), "--sampler", "log-euler"]) == 2
    assert "unknown sampler 'log-euler'" in capsys.readouterr().err
