"""Calls of the command line, within the process and in one of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ENTRY = "from scoresde.cli import main; main()"
PATIENCE = 90.0  # seconds until a child that does not do what it should is given up

GAUSSIAN = """
[density]
name = "gaussian"
mean = [1.0, 2.0]
covariance = [[4.0, 0.0], [0.0, 1.0]]

[process]
name = "edm"
"""
TINY = """
seed = 1
data = {name = "moons", n_train = 100, n_test = 20}
process = "edm"
net = {name = "mlp", width = 8, blocks = 1}
objective = "denoising"
training = {steps = 6, batch = 16}
"""


def start(arguments: list, folder: Path, **environment: str) -> subprocess.Popen:
    """A scoresde process in a folder, as a terminal would start it."""
    return subprocess.Popen(
        [sys.executable, "-c", ENTRY, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell's background job ignores SIGINT, and its children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def stopped_when(
    child: subprocess.Popen, ready: Callable[[], bool], number: signal.Signals
) -> tuple[int, str]:
    """(exit code, standard error) of a process that is sent a signal once `ready()`."""
    given_up = time.monotonic() + PATIENCE
    while child.poll() is None and not ready():
        if time.monotonic() > given_up:
            child.kill()
        time.sleep(0.03)
    child.send_signal(number)
    _, error = child.communicate(timeout=PATIENCE)
    return child.returncode, error


def call(capsys, *arguments) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a command run in this process."""
    from scoresde.cli import run

    capsys.readouterr()
    code = run([str(a) for a in arguments])
    out, error = capsys.readouterr()
    return code, out, error


def one_object(text: str) -> dict:
    """The JSON object that the text is, and nothing else; strict about numbers."""

    def refuse(constant: str):
        raise AssertionError(f"{constant} is not JSON")

    found = json.loads(text, parse_constant=refuse)
    assert isinstance(found, dict)
    return found
