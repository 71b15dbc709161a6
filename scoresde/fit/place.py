"""Where the fitted model goes: nothing is replaced that a fit did not write."""

from __future__ import annotations

import os
from pathlib import Path

from scoresde.densities import stored
from scoresde.errors import CheckpointError, UsageError
from scoresde.estimators import save
from scoresde.fit.job import Fitting
from scoresde.io import checkpoint

SUFFIX = ".safetensors"
_PNG = b"\x89PNG\r\n\x1a\n"


def check_place(out: Path, *, force: bool = False, report: Path | None = None) -> None:
    """Refuses, before anything is computed, what could not or should not be written.

    `out` is a fitted model's file, `report` a picture's.
    Raises `UsageError` for a name that is taken (unless `force`), does not fit or cannot be
    written, and for a picture to be replaced that is none; `CheckpointError` for a file to be
    replaced that is no fitted model.
    """
    if out.suffix != SUFFIX:
        raise UsageError(f"--out {out}: a fitted model's file ends in {SUFFIX}; name it so")
    _check_folder("--out", out)
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder; name a file in {SUFFIX}")
    if os.path.lexists(out):
        if not force:
            raise UsageError(
                f"there is a file {out} already; replace it by --force, or name another by --out"
            )
        if not out.is_file() or stored.KEY not in checkpoint.metadata(out):
            raise CheckpointError(
                f"{out} is no fitted model and is not replaced; name another by --out"
            )
    if report is None:
        return
    if report.suffix.lower() != ".png":
        raise UsageError(f"--report {report}: the picture is a PNG; give it a name in .png")
    if report.is_dir():
        raise UsageError(f"--report {report} is a folder; name a file in .png")
    _check_folder("--report", report)
    if report.exists() and not force:
        raise UsageError(
            f"there is a file {report} already; replace it by --force, or name another by --report"
        )
    if report.exists() and not _is_png(report):
        raise UsageError(
            f"--report {report} is no PNG picture and is not replaced; name another file"
        )


def _check_folder(option: str, path: Path) -> None:
    if not path.parent.is_dir():
        raise UsageError(f"{option} {path}: there is no folder {path.parent}; create it")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UsageError(
            f"{option} {path}: the folder {path.parent} cannot be written to; name another"
        )


def _is_png(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_PNG)) == _PNG


def write(path: Path, fitting: Fitting, *, force: bool = False) -> dict:
    """Write the model, and tell the file: {"identity", "digest"}. Raises as `check_place`."""
    check_place(path, force=force)  # a fit takes its time, and others write too
    save(path, fitting.model, metadata=fitting.metadata())
    return {
        "identity": "sha256:" + checkpoint.sha256(path),
        "digest": checkpoint.digest(path),
    }
