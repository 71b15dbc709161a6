"""One process at a time in a run folder."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from scoresde.errors import CheckpointError, UsageError
from scoresde.io.failure import explain

LOCK = ".lock"
_HELD = (errno.EAGAIN, errno.EACCES)


@contextlib.contextmanager
def alone_in(folder: str | Path) -> Iterator[None]:
    """Hold the lock of a run folder; `UsageError` naming the process that holds it already.

    The system lets go of it when the process ends, however it ends, so that a run that was killed
    bars nobody; the file stays. Where the system or the file system knows no such locks, none is
    held.
    """
    place = Path(folder) / LOCK
    try:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise CheckpointError(
            f"cannot write in the run folder {folder}: {explain(error, place)}"
        ) from None
    try:
        if not _taken(descriptor):
            holder = os.pread(descriptor, 100, 0).decode(errors="replace").strip() or "another"
            raise UsageError(
                f"process {holder} is at work in the run folder {folder}; wait for its end, stop "
                "it, or name another folder by --out"
            )
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _HELD
    with contextlib.suppress(OSError):  # a name for the message; a full disk bars no training
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return True
