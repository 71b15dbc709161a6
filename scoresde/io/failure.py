"""What a refusal of the operating system means for the user, and the way out."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT}
_TOO_LARGE = {errno.EFBIG, errno.EOVERFLOW}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def explain(error: OSError, path: str | os.PathLike) -> str:
    """One clause: what went wrong with `path` and what to do about it."""
    folder = Path(path).absolute().parent
    code = error.errno
    if code in _FULL:
        room = _free(folder)
        return f"the disk of {folder} is full ({room} free); free space or write elsewhere"
    if code in _TOO_LARGE:
        return "it is larger than the system allows here (see `ulimit -f`); write elsewhere"
    if code in _FORBIDDEN:
        return f"permission denied ({os.strerror(code)}); choose a place that you may use"
    if code == errno.ENOENT and not folder.exists():
        return f"the folder {folder} does not exist; create it or choose another"
    if code == errno.ENOENT:
        return "there is no such file; check the name"
    if code == errno.EISDIR or Path(path).is_dir():
        return "it is a folder; name a file"
    if code == errno.ENOTDIR:
        return f"{folder} is not a folder; choose another place"
    return f"{error.strerror or error}; check the disk and the path"


def in_bytes(count: int) -> str:
    """`count` bytes in the largest unit of 1000 that leaves a whole part: '12.3 GB'."""
    size, units = float(count), ["B", "kB", "MB", "GB", "TB", "PB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "B" else f"{size:.1f} {units[0]}"


def _free(folder: Path) -> str:
    try:
        return in_bytes(shutil.disk_usage(folder).free)
    except OSError:
        return "an unknown amount"
