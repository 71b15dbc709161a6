"""What is written to a dump is what is read from it, for any layout, order and selection."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import dump_run
import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scoresde.errors import DumpError
from scoresde.io import dump
from scoresde.io.dump_attributes import decode, encode, first_difference

QUICK = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
LAYOUTS = st.fixed_dictionaries(
    {
        "rows": st.integers(1, 9),
        "event_shape": st.lists(st.integers(1, 3), max_size=3).map(tuple),
        "dtype": st.sampled_from(["float32", "float64"]),
        "first_id": st.sampled_from([0, 3, 2**40, 2**63 - 9]),
        "trajectory": st.none() | st.integers(1, 3),
        "chain": st.none() | st.integers(1, 3),
        "log_prob": st.booleans(),
        "label": st.booleans(),
        "facts": st.dictionaries(
            st.sampled_from(["weight", "accepted"]),
            st.sampled_from(["float32", "float64", "int32", "int64"]),
        ),
    }
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
).filter(lambda value: "inf" not in repr(value))


def random_columns(layout: dump.Layout, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Any values that the columns can hold: whole ranges of integers, infinite log_prob."""
    columns = {}
    for column in layout.columns():
        if column.name in ("sample_id", "done"):
            continue
        shape, kind = (layout.rows, *column.shape), np.dtype(column.dtype)
        if kind.kind == "i":
            bounds = np.iinfo(kind)
            values = rng.integers(bounds.min, bounds.max, shape, kind.newbyteorder("="), True)
        else:
            values = rng.standard_normal(shape).astype(kind)
        columns[column.keyword] = values
    if "log_prob" in columns:
        columns["log_prob"][0] = -np.inf
    return columns


def column_of(found: dump.Dump, name: str) -> np.ndarray:
    return found.facts[name] if name in found.facts else getattr(found, name)


@pytest.mark.usefixtures("no_syncs")
@QUICK
@given(fields=LAYOUTS, seed=st.integers(0, 2**32), data=st.data())
def test_rows_written_in_any_order_are_read_as_written(
    tmp_path: Path, fields: dict, seed: int, data: st.DataObject
) -> None:
    path, layout = tmp_path / "any.h5", dump.Layout(**fields)
    truth = random_columns(layout, np.random.default_rng(seed))
    order = data.draw(st.permutations(range(layout.rows)))
    kept = order[: data.draw(st.integers(0, layout.rows))]
    with dump.create(path, attributes={}, overwrite=True, **fields) as writer:
        for row in kept:
            assert writer.write(row, **{name: v[row : row + 1] for name, v in truth.items()}) == 1
    start, stop = data.draw(st.tuples(st.integers(-9, 9), st.integers(-9, 9)))
    for rows in (slice(None), slice(start, stop), slice(start, None)):
        chosen = [row for row in range(layout.rows)[rows] if row in kept]
        found = dump.read(path, rows=rows)
        assert (found.rows_done, found.rows_total) == (len(kept), layout.rows)
        assert found.sample_id.tolist() == [layout.first_id + row for row in chosen]
        for name, values in truth.items():
            read = column_of(found, name)
            assert read.dtype == values.dtype
            np.testing.assert_array_equal(read, values[chosen])
    assert dump.read(path).complete == (len(kept) == layout.rows)


@pytest.mark.usefixtures("no_syncs")
@QUICK
@given(
    first_id=st.integers(0, 20),
    rows=st.integers(1, 20),
    block=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_missing_blocks_are_those_of_the_ids(
    tmp_path: Path, first_id: int, rows: int, block: int, seed: int
) -> None:
    fields = {"rows": rows, "event_shape": (), "first_id": first_id, "attributes": {}}
    written = np.flatnonzero(np.random.default_rng(seed).random(rows) < 0.7).tolist()
    with dump.create(tmp_path / "any.h5", overwrite=True, **fields) as writer:
        for row in written:
            writer.write(row, samples=[0.0], nfe=1)
        ranges = writer.missing(block)
    owed = {(first_id + row) // block for row in range(rows) if row not in written}
    listed = [row for start, stop in ranges for row in range(start, stop)]
    assert listed == [row for row in range(rows) if (first_id + row) // block in owed]
    assert len(ranges) == len(owed)


@QUICK
@given(identity=JSON, provenance=JSON, real=st.floats())
def test_attributes_come_back_as_given(identity: object, provenance: object, real: float) -> None:
    given_ = {"identity": {"a": identity}, "provenance": {"b": provenance, "c": real}}
    found, names = decode(dict(encode(given_)))
    assert names == ("a",)
    assert first_difference(found, {"a": identity, "b": provenance, "c": real}) is None


@pytest.mark.usefixtures("no_syncs")
@QUICK
@given(value=JSON)
def test_attributes_survive_the_file(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "attributes.h5"
    attributes = {"identity": {"value": value}, "provenance": {}}
    dump.create(path, rows=1, event_shape=(), attributes=attributes, overwrite=True).close()
    assert dump.describe(path)["attributes"] == {"value": value}
    dump.resume(path, attributes).close()


def test_plain_h5py_reads_it_and_unwritten_rows_carry_fills(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with dump_run.create(path) as writer:
        writer.write(2, **dump_run.values(2, 4))
    with h5py.File(path) as file:
        done = file["done"][:] == 1
        assert done.tolist() == [False, False, True, True] + [False] * 7
        np.testing.assert_array_equal(file["samples"][:][done], dump_run.values(2, 4)["samples"])
        assert file["sample_id"][:].tolist() == list(range(5, 16))
        for name in ("samples", "trajectory", "log_prob", "chain", "facts/acceptance"):
            assert np.isnan(file[name][:][~done]).all()
            assert np.isnan(file[name].fillvalue)
        for name in ("nfe", "label", "facts/attempts"):
            assert (file[name][:][~done] == -1).all()
        assert file.attrs["schema"] == "scoresde-dump"
        assert file.attrs["seed"] == 0


def test_only_the_columns_asked_for_are_loaded(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    dump_run.complete(path)
    found = dump.read(path, columns=["label", "attempts"])
    assert found.label is not None
    assert list(found.facts) == ["attempts"]
    assert found.trajectory is found.chain is found.log_prob is None
    with pytest.raises(DumpError, match=r"has no chains; besides samples.* it has .*chain"):
        dump.read(path, columns=["chains"])


def test_describe_tells_all_but_the_samples(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with dump_run.create(path) as writer:
        writer.write(0, **dump_run.values(0, 4))
    facts = dump.describe(path)
    assert (facts["rows_done"], facts["rows_total"], facts["complete"]) == (4, 11, False)
    assert facts["columns"]["chain"] == {"shape": [11, 3, 2, 3], "dtype": "float32"}
    assert facts["attributes"]["config"] == {"sampler": {"name": "ddim", "steps": 20}}
    assert facts["identity"] == ["seed", "config"]
    assert (facts["first_id"], facts["event_shape"]) == (5, [2, 3])


def test_equal_arguments_give_equal_bytes_at_any_time(tmp_path: Path) -> None:
    dump_run.complete(tmp_path / "first.h5")
    time.sleep(1.1)  # HDF5 would record times in whole seconds
    dump_run.complete(tmp_path / "second.h5")
    assert (tmp_path / "first.h5").read_bytes() == (tmp_path / "second.h5").read_bytes()


def test_rows_done_are_never_written_again(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with dump_run.create(path) as writer:
        assert writer.write(3, **dump_run.values(3, 5)) == 2
        other = {name: values + 1 for name, values in dump_run.values(0, 8).items()}
        assert writer.write(0, **other) == 6
        assert writer.write(0, **other) == 0
    found = dump.read(path)
    np.testing.assert_array_equal(found.samples[3:5], dump_run.values(3, 5)["samples"])
    np.testing.assert_array_equal(found.samples[:3], dump_run.values(0, 3)["samples"] + 1)


def test_a_scalar_serves_for_every_row(tmp_path: Path) -> None:
    with dump.create(tmp_path / "a.h5", rows=3, event_shape=(2,), attributes={}) as writer:
        writer.write(0, samples=np.zeros((3, 2)), nfe=7)
    assert dump.read(tmp_path / "a.h5").nfe.tolist() == [7, 7, 7]


def test_neither_dump_nor_checkpoint_nor_provenance_imports_torch() -> None:
    modules = "scoresde.io.dump, scoresde.io.checkpoint, scoresde.io.provenance, sys"
    check = f"import {modules}; sys.exit('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", check], cwd=root).returncode == 0
