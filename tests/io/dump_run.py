"""A small run whose every value follows from the row, and the laws that its dump must obey."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scoresde.io import dump

ROWS, FIRST_ID, BLOCK = 11, 5, 4
LAYOUT = {
    "rows": ROWS,
    "first_id": FIRST_ID,
    "event_shape": (2, 3),
    "label": True,
    "log_prob": True,
    "trajectory": 2,
    "chain": 3,
    "facts": {"acceptance": "float32", "attempts": "int32"},
}
ATTRIBUTES = {
    "identity": {"seed": 0, "config": {"sampler": {"name": "ddim", "steps": 20}}},
    "provenance": {"versions": {"numpy": "2"}, "git_revision": "abc"},
}


def values(start: int, stop: int) -> dict[str, np.ndarray]:
    """All columns of rows start:stop, no value equal to a fill or to another row's."""
    row = np.arange(start, stop)

    def spread(*shape: int) -> np.ndarray:
        inner = np.arange(1, 1 + np.prod(shape, dtype=int)).reshape(shape)
        return (row + 1).reshape(-1, *[1] * len(shape)) + inner / 64

    return {
        "samples": spread(2, 3).astype("float32"),
        "nfe": 20 + row,
        "label": row % 10,
        "trajectory": spread(2, 2, 3).astype("float32"),
        "log_prob": -spread(),
        "chain": spread(3, 2, 3).astype("float32"),
        "acceptance": (1 / (1 + row)).astype("float32"),
        "attempts": (1000 + row).astype("int32"),
    }


def create(path: Path) -> dump.DumpWriter:
    return dump.create(path, attributes=ATTRIBUTES, **LAYOUT)


def complete(path: Path, report=lambda start, stop: None) -> None:
    """Create the dump or go on with it; `report` hears of each range once it is written."""
    writer = dump.resume(path, ATTRIBUTES, **LAYOUT) if path.exists() else create(path)
    with writer:
        for start, stop in writer.missing(BLOCK):
            writer.write(start, **values(start, stop))
            report(start, stop)


def assert_no_phantom_and_nothing_lost(path: Path, reported: set[int]) -> None:
    """Every row marked done is right in every column, and every reported row is marked done."""
    found = dump.read(path)
    rows = found.sample_id - FIRST_ID
    assert reported <= set(rows.tolist())
    assert found.rows_done == len(rows)
    truth = {name: column[rows] for name, column in values(0, ROWS).items()}
    for name in ("samples", "nfe", "label", "trajectory", "log_prob", "chain"):
        np.testing.assert_array_equal(getattr(found, name), truth[name], err_msg=name)
    for name in LAYOUT["facts"]:
        np.testing.assert_array_equal(found.facts[name], truth[name], err_msg=name)
