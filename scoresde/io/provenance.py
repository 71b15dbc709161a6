"""Provenance: which code, on which platform, made a file. Never fails: what is not known is None.

No time and no host name is recorded, so that the same run gives the same bytes.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

_PACKAGES = ("torch", "numpy", "h5py", "safetensors")
_PATIENCE_SECONDS = 5


def provenance() -> dict[str, object]:
    """{'versions': {name: version}, 'git_revision': text or None, 'platform': text}."""
    return {
        "versions": versions(),
        "git_revision": git_revision(),
        "platform": platform.platform(),
    }


def versions() -> dict[str, str | None]:
    """Versions of python, scoresde and what it computes and stores with; nothing is imported."""
    ours = getattr(sys.modules.get(__name__.partition(".")[0]), "__version__", None)
    return {
        "python": platform.python_version(),
        "scoresde": ours,
        **{name: _version(name) for name in _PACKAGES},
    }


def git_revision(package: str | os.PathLike | None = None) -> str | None:
    """Commit of the checkout that the package runs from, with '-dirty' if its code differs.

    None if the package folder (default: this one's) is not at the root of a git checkout: an
    installed copy inside another project's checkout must not claim that project's commit. New
    files in the package count as a difference, files elsewhere do not: this names code that ran.
    """
    folder = Path(package) if package is not None else Path(__file__).parents[1]
    root = _git(folder, "rev-parse", "--show-toplevel")
    if root is None or Path(root).resolve() != folder.resolve().parent:
        return None
    revision = _git(folder, "rev-parse", "HEAD")
    if revision is None:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=normal", "--", ".")
    return revision if changes == "" else f"{revision}-dirty"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except Exception:  # damaged metadata raise many kinds; a version is never worth a failure
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    """Standard output of git in `folder`, or None if it fails for whatever reason."""
    # Within a hook, GIT_DIR and its kin would point git to another repository.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    try:
        done = subprocess.run(
            ["git", "-C", os.fspath(folder), *arguments],
            capture_output=True,
            check=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_PATIENCE_SECONDS,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
