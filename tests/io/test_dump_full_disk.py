"""A full disk is a clear error, harms no row that is done, and cannot stop a dump once created."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import dump_run
import pytest

from scoresde.errors import DumpError
from scoresde.io import dump

FULL_DISK = """
import os, pathlib, sys
sys.path.insert(0, sys.argv[2])
import dump_run
from scoresde.errors import DumpError
from scoresde.io import dump
folder = pathlib.Path(sys.argv[1])
try:
    dump.create(folder / "large.h5", rows=100_000, event_shape=(8, 8), attributes={})
except DumpError as error:
    print(error)
assert os.listdir(folder) == []
dump_run.create(folder / "run.h5").close()
with open(folder / "ballast", "wb", buffering=0) as ballast:
    try:
        while ballast.write(bytes(4096)):
            pass
    except OSError:
        pass
for size in (100, 1):
    try:
        dump.create(folder / "tiny.h5", rows=size, event_shape=(), attributes={})
    except DumpError as error:
        print(error)
dump_run.complete(folder / "run.h5")
dump_run.assert_no_phantom_and_nothing_lost(folder / "run.h5", set(range(dump_run.ROWS)))
print("complete")
"""


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_on_a_real_full_disk(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("mounting a small disk needs root and unshare")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=256k none "$0" || exit 42; exec "$@"'
    here = Path(__file__).parent
    script = [sys.executable, "-c", FULL_DISK, str(disk), str(here)]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mount, str(disk), *script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(here.parents[1])},
    )
    if done.returncode == 42 or "unshare failed" in done.stderr:
        pytest.skip("this system does not let root mount a small disk")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "complete"
    assert len(lines) == 4
    for line in lines[:-1]:
        assert line.startswith("cannot create the dump")
        assert f"the disk of {disk} is full" in line


def test_refused_space_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DumpError, match=r"cannot create the dump .* is full \(.* free\); free"):
        dump_run.create(tmp_path / "run.h5")
    assert list(tmp_path.iterdir()) == []


def test_refused_space_keeps_the_dump_that_was_to_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.h5"
    dump_run.complete(path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DumpError, match="is full"):
        dump.create(path, rows=5, event_shape=(2,), attributes={}, overwrite=True)
    assert path.read_bytes() == before


def test_without_preallocation_the_fills_claim_the_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump_run.create(tmp_path / "usual.h5").close()

    def unsupported(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    dump_run.create(tmp_path / "run.h5").close()
    assert (tmp_path / "run.h5").read_bytes() == (tmp_path / "usual.h5").read_bytes()


@pytest.mark.parametrize("survivors", range(10))
def test_refused_write_keeps_earlier_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survivors: int
) -> None:
    path, pwrite, left = tmp_path / "run.h5", os.pwrite, survivors

    def filling(descriptor: int, data: memoryview, offset: int) -> int:
        nonlocal left
        left -= 1
        if left == -1:  # a disk that fills takes a part first, then refuses
            return pwrite(descriptor, data[: len(data) // 2], offset)
        return pwrite(descriptor, data, offset) if left >= 0 else full()

    with dump_run.create(path) as writer:
        writer.write(0, **dump_run.values(0, 3))
        monkeypatch.setattr(os, "pwrite", filling)
        if survivors < 9:
            with pytest.raises(DumpError, match=r"rows 3:7 of .* is full .* --resume"):
                writer.write(3, **dump_run.values(3, 7))
        else:  # 8 columns and the mask: nothing is left to refuse
            writer.write(3, **dump_run.values(3, 7))
    monkeypatch.undo()
    dump_run.assert_no_phantom_and_nothing_lost(path, {0, 1, 2})
    dump_run.complete(path)
    dump_run.assert_no_phantom_and_nothing_lost(path, set(range(dump_run.ROWS)))
