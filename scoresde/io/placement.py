"""Placement of a file: readers meet the old file whole or the new one whole, never a part.

A file is written under a temporary name in its own folder, synced to the disk, put in place by
one atomic system call, and then the folder is synced, since until then a power cut could still
take the new name back. A writer that is killed leaves at most a hidden `.NAME.*.tmp` behind.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


@contextlib.contextmanager
def staged(path: str | os.PathLike, *, overwrite: bool) -> Iterator[int]:
    """A descriptor, open for writing, of a file that takes the name `path` when the block ends.

    If the block raises, `path` is as it was before. A symbolic link is followed, so that it
    keeps pointing where it did.

    Raises FileExistsError if `path` exists and `overwrite` is False (checked when the name is
    taken, so that two writers at once cannot both win), and any other OSError as it comes.
    """
    target = Path(os.path.realpath(path))
    staging = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    descriptor = os.open(staging, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        try:
            yield descriptor
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if overwrite:
            os.replace(staging, target)
        else:
            _take_free_name(staging, target)
        _sync_folder(target.parent)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(staging)


def keep_as(path: str | os.PathLike, name: str | os.PathLike) -> None:
    """Give what `path` holds a second name, in place of what bore it; nothing if there is none.

    The two part when `path` is next replaced. Where the file system has no hard links, a copy.
    """
    target = Path(name)
    staging = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        try:
            os.link(path, staging)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            shutil.copyfile(path, staging)
        os.replace(staging, target)
    except FileNotFoundError:
        return
    finally:
        with contextlib.suppress(OSError):
            os.unlink(staging)


def clear_staged(path: str | os.PathLike) -> None:
    """Remove what killed writers of `path` left behind; not to be called while one is at work."""
    target = Path(os.path.realpath(path))
    for left in target.parent.glob(f".{glob.escape(target.name[:100])}.*.tmp"):
        with contextlib.suppress(OSError):
            left.unlink()


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`; the system may take it in several parts."""
    view = memoryview(data).cast("B")
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def sync_data(descriptor: int) -> None:
    """Return once all that was written is on the disk."""
    getattr(os, "fdatasync", os.fsync)(descriptor)


def _take_free_name(staging: Path, target: Path) -> None:
    """Give `staging` the name `target`, or raise FileExistsError; never replace a file."""
    try:
        os.link(staging, target)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # Without hard links the name is first reserved by an empty file, then replaced.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        os.replace(staging, target)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems refuse to sync a folder; there is nothing more to be done.
        if error.errno not in {errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP}:
            raise
    finally:
        os.close(descriptor)
