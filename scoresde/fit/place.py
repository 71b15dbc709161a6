"""Where the fitted model goes: nothing is replaced that a fit did not write."""

from __future__ import annotations

from pathlib import Path

from scoresde.densities import stored
from scoresde.errors import CheckpointError, UsageError
from scoresde.estimators import save
from scoresde.fit.job import Fitting
from scoresde.io import checkpoint

SUFFIX = ".safetensors"


def check_place(out: Path, *, force: bool = False, report: Path | None = None) -> None:
    """Refuses, before anything is computed, what could not or should not be written.

    `out` is a fitted model's file, `report` a picture's.
    Raises `UsageError` for a name that is taken (unless `force`) or does not fit, and
    `CheckpointError` for a file to be replaced that is no fitted model.
    """
    if out.suffix != SUFFIX:
        raise UsageError(f"--out {out}: a fitted model's file ends in {SUFFIX}; name it so")
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.parent}; create it")
    if out.exists():
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
    if not report.parent.is_dir():
        raise UsageError(f"--report {report}: there is no folder {report.parent}; create it")


def write(path: Path, fitting: Fitting, *, force: bool = False) -> dict:
    """Write the model, and tell the file: {"identity", "digest"}. Raises as `check_place`."""
    check_place(path, force=force)  # a fit takes its time, and others write too
    save(path, fitting.model, metadata=fitting.metadata())
    return {
        "identity": "sha256:" + checkpoint.sha256(path),
        "digest": checkpoint.digest(path),
    }
