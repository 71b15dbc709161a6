"""No crash loses a reported row or shows a phantom one, and a resumed dump equals a whole one."""

from __future__ import annotations

import ast
from pathlib import Path

import dump_run
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from killed_writer import run_script

from scoresde.io import dump_writer


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    """The bytes of the dump of an uninterrupted run."""
    path = tmp_path / "whole.h5"
    dump_run.complete(path)
    return path.read_bytes()


@pytest.mark.usefixtures("no_syncs")
@pytest.mark.slow
def test_a_writer_killed_at_any_system_call_loses_nothing(tmp_path: Path, whole: bytes) -> None:
    folder = tmp_path / "killed"
    folder.mkdir()
    run_script("dump", folder)
    logs = sorted(folder.glob("*.log"))
    torn = 0
    for log in logs:
        path = log.with_suffix("")
        reports = [ast.literal_eval(line) for line in log.read_text().splitlines()]
        reported = {row for start, stop in reports for row in range(start, stop)}
        if path.exists():
            dump_run.assert_no_phantom_and_nothing_lost(path, reported)
            torn += 0 < dump_run.dump.read(path).rows_done < dump_run.ROWS
        else:
            assert not reported
        dump_run.complete(path)
        assert path.read_bytes() == whole, log.stem
    # 3 blocks of 8 columns, a mask and 2 syncs, each hit twice, besides the calls of the creation.
    assert len(logs) > 2 * 3 * 11
    assert torn > 2 * 2 * 11


@pytest.mark.usefixtures("no_syncs")
@pytest.mark.slow
def test_a_power_cut_that_keeps_any_part_of_unsynced_writes_loses_nothing(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, events = tmp_path / "journal.h5", []
    dump_run.create(path).close()
    created = path.read_bytes()

    def write_at(descriptor: int, data: memoryview, offset: int) -> None:
        events.append(("write", bytes(data), offset))

    with monkeypatch.context() as journal:
        journal.setattr(dump_writer, "write_at", write_at)
        journal.setattr(dump_writer, "sync_data", lambda descriptor: events.append(("sync",)))
        dump_run.complete(path, lambda start, stop: events.append(("report", start, stop)))
    syncs = [place for place, event in enumerate(events) if event[0] == "sync"]

    @settings(
        max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(data=st.data())
    def law(data: st.DataObject) -> None:
        stop = data.draw(st.integers(0, len(events)), "events before the cut")
        safe = max((place for place in syncs if place < stop), default=0)
        disk, reported = bytearray(created), set()
        for place, (kind, *event) in enumerate(events[:stop]):
            if kind == "report":
                reported |= set(range(*event))
            if kind == "write":
                content, offset = event
                size = len(content)
                if place > safe:
                    size = data.draw(st.sampled_from([0, size, size // 2, size // 3]))
                disk[offset : offset + size] = content[:size]
        path.write_bytes(disk)
        dump_run.assert_no_phantom_and_nothing_lost(path, reported)
        dump_run.complete(path)
        assert path.read_bytes() == whole

    law()


def test_four_processes_write_one_dump_at_once(tmp_path: Path, whole: bytes) -> None:
    run_script("four", tmp_path)
    assert (tmp_path / "four").read_bytes() == whole
