"""Bad requests and bad files are DumpErrors that name the thing, the value and the way out."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import dump_run
import h5py
import numpy as np
import pytest

from scoresde.errors import DumpError, OptionError
from scoresde.io import dump, dump_image

pytestmark = pytest.mark.usefixtures("no_syncs")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "run.h5"
    dump_run.complete(path)
    return path


def refused_by_all(path: Path, pattern: str) -> None:
    for request in (
        lambda: dump.read(path),
        lambda: dump.describe(path),
        lambda: dump.resume(path, dump_run.ATTRIBUTES),
    ):
        with pytest.raises(DumpError, match=pattern):
            request()


def test_an_existing_dump_is_not_replaced_unless_asked(run: Path) -> None:
    before = run.read_bytes()
    with pytest.raises(DumpError, match=r"run.h5 exists; go on with it by --resume, .* --force"):
        dump_run.create(run)
    assert run.read_bytes() == before
    dump.create(run, rows=2, event_shape=(), attributes={}, overwrite=True).close()
    assert dump.describe(run)["rows_total"] == 2
    assert [path.name for path in run.parent.iterdir()] == ["run.h5"]


@pytest.mark.parametrize("hard_links", [True, False])
def test_of_two_creators_at_once_one_loses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool
) -> None:
    path, write = tmp_path / "run.h5", dump_image.Image.write

    def overtaken(image: dump_image.Image, descriptor: int) -> None:
        write(image, descriptor)
        path.write_bytes(b"the winner's")

    def unsupported(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links")

    if not hard_links:
        monkeypatch.setattr(os, "link", unsupported)
        dump_run.create(tmp_path / "alone.h5").close()
        assert dump.describe(tmp_path / "alone.h5")["rows_done"] == 0
    monkeypatch.setattr(dump_image.Image, "write", overtaken)
    with pytest.raises(DumpError, match="exists"):
        dump_run.create(path)
    assert path.read_bytes() == b"the winner's"
    assert not list(tmp_path.glob(".*"))


def test_truncated_anywhere(run: Path, tmp_path: Path) -> None:
    data, cut = run.read_bytes(), tmp_path / "cut.h5"
    for size in [*range(0, len(data), 211), len(data) - 1]:
        cut.write_bytes(data[:size])
        refused_by_all(cut, r"cut.h5 is not a readable dump: truncated, .*; copy it again")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n" * 99, bytes(5000)])
def test_foreign_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(content)
    refused_by_all(path, "not a readable dump")


def test_foreign_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["samples"] = np.zeros((2, 2))
    refused_by_all(tmp_path / "other.h5", "HDF5 file but not a sample dump")


def test_newer_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump_image, "SCHEMA_VERSION", 2)
    dump_run.create(tmp_path / "new.h5").close()
    refused_by_all(tmp_path / "new.h5", "schema version 2, this scoresde reads up to 1; upgrade")


@pytest.mark.parametrize("column", ["samples", "done", "nfe", "sample_id"])
@pytest.mark.parametrize("damage", ["absent", "shape", "dtype", "chunked"])
def test_damaged_dump(run: Path, column: str, damage: str) -> None:
    with h5py.File(run, "r+") as file:
        values = file[column][:]
        del file[column]
        if damage == "shape":
            file[column] = values[None]
        elif damage == "dtype":
            file[column] = np.full(values.shape, b"text")
        elif damage == "chunked":
            file.create_dataset(column, data=values, chunks=values.shape)
    refused_by_all(run, "not a readable dump")


def test_missing_file_folder_and_permission(tmp_path: Path) -> None:
    refused_by_all(tmp_path / "none.h5", "there is no such file; check the name")
    refused_by_all(tmp_path / "none" / "a.h5", "none does not exist; create it")
    refused_by_all(tmp_path, "it is a folder; name a file")
    with pytest.raises(DumpError, match=r"cannot create .*none does not exist; create it"):
        dump_run.create(tmp_path / "none" / "a.h5")


def test_a_file_that_may_not_be_written(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", forbidden)
    with pytest.raises(DumpError, match=r"cannot write to .*permission denied .*; choose a place"):
        dump.resume(run, dump_run.ATTRIBUTES)
    with pytest.raises(DumpError, match=r"cannot create .*permission denied .*; choose a place"):
        dump_run.create(run.with_name("b.h5"))


@pytest.mark.parametrize(
    ("identity", "layout", "named"),
    [
        ({"seed": 1}, {}, "seed is 0 there and 1 in this request"),
        ({"config": {"sampler": {"name": "ddim", "steps": 9}}}, {}, "config.sampler.steps is 20"),
        ({"extra": 1}, {}, r"extra is '\(absent\)' there and 1"),
        ({}, {"rows": 12}, "rows is 11 there and 12"),
        ({}, {"facts": {}}, r"facts.acceptance is 'float32' there and '\(absent\)'"),
    ],
)
def test_resuming_another_run(run: Path, identity: dict, layout: dict, named: str) -> None:
    merged = {**dump_run.ATTRIBUTES["identity"], **identity}
    with pytest.raises(DumpError, match=f"cannot resume .*: {named}.* --force"):
        dump.resume(run, {"identity": merged}, **{**dump_run.LAYOUT, **layout})


def test_provenance_may_differ_and_stays_that_of_the_first_run(run: Path) -> None:
    other = {**dump_run.ATTRIBUTES, "provenance": {"git_revision": "def"}}
    dump.resume(run, other).close()
    assert dump.read(run).attributes["git_revision"] == "abc"


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ({"samples": np.zeros((2, 3, 2))}, r"samples has shape \(2, 3, 2\).* expects \(2, 2, 3\)"),
        ({"nfe": [1, 2, 3]}, r"nfe has shape \(3,\)"),
        ({"nfe": [1.5, 2.0]}, "nfe has dtype float64, the dump holds int64"),
        ({"label": ["a", "b"]}, "label has dtype <U1"),
        ({"attempts": [2**31, 0]}, "attempts holds integers out of the range of int32"),
        ({"samples": np.full((2, 2, 3), np.nan)}, r"ids \[5, 6\] are not finite in float32"),
        ({"samples": np.full((2, 2, 3), 1e39)}, r"not finite in float32.* use float64"),
        ({"colour": [1, 2]}, "it must give samples, nfe, label"),
    ],
)
def test_bad_rows_are_not_written(tmp_path: Path, change: dict, pattern: str) -> None:
    path = tmp_path / "run.h5"
    with dump_run.create(path) as writer:
        before = path.read_bytes()
        with pytest.raises(DumpError, match=pattern):
            writer.write(0, **{**dump_run.values(0, 2), **change})
        incomplete = dump_run.values(0, 2)
        del incomplete["chain"]
        with pytest.raises(DumpError, match=r"it must give .*chain"):
            writer.write(0, **incomplete)
        for start in (-1, 10, 99):
            with pytest.raises(DumpError, match="are not within the 11 rows"):
                writer.write(start, **dump_run.values(0, 2))
        assert path.read_bytes() == before
    with pytest.raises(DumpError, match="is closed"):
        writer.write(0, **dump_run.values(0, 2))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rows", 0),
        ("rows", 1.5),
        ("first_id", -1),
        ("first_id", 2**63),
        ("event_shape", (2, 0)),
        ("dtype", "float16"),
        ("dtype", "complex"),
        ("chain", 0),
        ("trajectory", 0),
        ("facts", {"label": "int64"}),
        ("facts", {"a/b": "int64"}),
        ("facts", {"weight": "str"}),
    ],
)
def test_layout_out_of_range(tmp_path: Path, field: str, value: object) -> None:
    with pytest.raises(OptionError):
        dump.create(tmp_path / "a.h5", attributes={}, **{**dump_run.LAYOUT, field: value})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("attributes", "pattern"),
    [
        ({"seed": 1}, "two dicts, identity and provenance; not 'seed'"),
        ({"identity": {"schema": "x"}}, "cannot be named 'schema'"),
        ({"identity": {"a": 1}, "provenance": {"a": 1}}, "'a' is given twice"),
        ({"identity": {"a": {"b": [object()]}}}, r"'a.b\[0\]' is a object"),
    ],
)
def test_attributes_that_cannot_be_stored(tmp_path: Path, attributes: dict, pattern: str) -> None:
    with pytest.raises(DumpError, match=pattern):
        dump.create(tmp_path / "a.h5", rows=1, event_shape=(), attributes=attributes)
