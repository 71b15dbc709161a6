"""The demo in a process of its own: within its time, every promise kept, every file left."""

import json
import os
import subprocess
import sys
import time

import pytest
from cli_tools import ENTRY

from scoresde.checkpointed import open_source
from scoresde.io import dump

FILES = {"config.toml", "checkpoint.safetensors", "log.jsonl", "samples.h5", "report.json"}


@pytest.mark.slow
@pytest.mark.parametrize(("data", "bound"), [("moons", 135.0), ("digits", 360.0)])
def test_the_demo_keeps_its_promises_in_time(tmp_path, data, bound):
    """Bounds are those of idle cores (45 s, 120 s) times three.

    The Fréchet distance of 2,000 samples moves by 0.04 from draw to draw (a second sample of the
    training data itself by 0.03), so here its interval must reach the promised 0.60.
    """
    begun = time.monotonic()
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    child = subprocess.run(
        [sys.executable, "-c", ENTRY, "demo", "--data", data, "--out", "run", "--json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=2 * bound,
    )
    assert time.monotonic() - begun < bound
    folder = tmp_path / "run"
    found = json.loads((folder / "report.json").read_text())
    failed = [claim["text"] for claim in found["claims"] if not claim["held"]]
    assert child.returncode == (1 if failed else 0), child.stderr
    assert [text for text in failed if "Fréchet" not in text] == []
    frechet = found["samples"]["rows"][0]["entries"]["frechet"]["estimate"]
    assert data != "digits" or frechet["lo"] <= 0.60
    assert len(found["claims"]) >= (5 if data == "digits" else 1)
    assert json.loads(child.stdout)["claims"] == found["claims"]
    assert {path.name for path in folder.iterdir()} >= FILES
    assert (folder / "report.png").read_bytes().startswith(b"\x89PNG")
    samples = dump.read(folder / "samples.h5")
    assert samples.rows_done == 2000
    assert samples.nfe.max() <= 20
    assert samples.samples.shape[1:] == open_source(folder).model.event_shape
    assert len(list((folder / "solvers").glob("*.h5"))) >= 3 * 6 + 3
