"""Help is quick and imports nothing heavy; every command has its own."""

import json
import os
import subprocess
import sys

import pytest
from cli_tools import ENTRY, call

from scoresde.cli import COMMANDS

HEAVY = {"torch", "numpy", "h5py", "scipy", "matplotlib", "msgspec", "rich", "safetensors"}


def _cpu_seconds() -> float:
    child = subprocess.Popen(
        [sys.executable, "-c", ENTRY, "--help"], stdout=subprocess.DEVNULL, env={**os.environ}
    )
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return usage.ru_utime + usage.ru_stime


def test_help_takes_at_most_0_15_seconds_of_cpu():
    assert min(_cpu_seconds() for _ in range(5)) <= 0.15


def test_help_imports_nothing_heavy():
    code = "import sys, json; from scoresde.cli import run; c = run(['--help']); " + (
        "print(json.dumps([c, sorted({m.split('.')[0] for m in sys.modules})]))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    code, modules = json.loads(out.stdout.splitlines()[-1])
    assert code == 0
    assert not HEAVY & set(modules)
    for name, summary in COMMANDS.items():
        assert name in out.stdout
        assert summary.split()[0] in out.stdout


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_the_shared_options(capsys, name, flag):
    code, out, error = call(capsys, name, flag)
    assert (code, error) == (0, "")
    assert out.startswith(f"Usage: scoresde {name}")
    for option in ("--json", "--quiet", "--verbose"):
        assert option in out


def test_version(capsys):
    from scoresde import __version__

    assert call(capsys, "--version")[:2] == (0, f"scoresde, version {__version__}\n")
