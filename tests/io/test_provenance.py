"""Provenance tells the truth about the code that ran, and never fails."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

import scoresde
from scoresde.io import provenance


def git(folder: Path, *arguments: str) -> str:
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *author, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package folder at the root of a checkout with one commit."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path / "checkout" / "package"
    folder.mkdir(parents=True)
    (folder / "code.py").write_text("")
    git(folder.parent, "init", "-q")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-q", "-m", "first")
    return folder


def test_versions_are_those_that_run() -> None:
    found = provenance.versions()
    assert found["python"] == platform.python_version()
    assert found["scoresde"] == scoresde.__version__
    assert found["h5py"] == importlib.metadata.version("h5py")
    assert json.loads(json.dumps(provenance.provenance()))["versions"] == found


def test_the_revision_is_that_of_the_checkout(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = git(package, "rev-parse", "HEAD")
    assert provenance.git_revision(package) == revision
    (package.parent / "notes").write_text("not code")
    assert provenance.git_revision(package) == revision
    monkeypatch.setenv("GIT_DIR", str(package))
    assert provenance.git_revision(package) == revision


@pytest.mark.parametrize("name", ["code.py", "new.py"])
def test_changed_and_new_code_is_dirty(package: Path, name: str) -> None:
    (package / name).write_text("x = 1\n")
    assert provenance.git_revision(package) == git(package, "rev-parse", "HEAD") + "-dirty"


def test_an_installed_copy_does_not_claim_its_surroundings_commit(package: Path) -> None:
    installed = package / "venv" / "package"
    installed.mkdir(parents=True)
    assert provenance.git_revision(installed) is None


def test_it_never_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert provenance.git_revision(tmp_path / "none") is None
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setattr(provenance, "_PACKAGES", ("no-such-package",))
    found = provenance.provenance()
    assert found["git_revision"] is None
    assert found["versions"]["no-such-package"] is None
