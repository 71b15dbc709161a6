"""A checkpoint comes back as saved, is never half there, and says what is wrong with a file."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
from killed_writer import run_script

from scoresde.errors import CheckpointError
from scoresde.io import checkpoint


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, {"weight": torch.arange(6.0).reshape(2, 3)}, {"step": 3})
    return path


def test_tensors_of_every_dtype_stride_and_sharing_come_back(tmp_path: Path) -> None:
    path, base = tmp_path / "a", torch.arange(24).reshape(4, 6)
    dtypes = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int8, torch.bool]
    tensors = {str(dtype): (base % 3).to(dtype) for dtype in dtypes}
    tensors |= {"base": base, "row": base[1], "transposed": base.T, "strided": base[::2, ::3]}
    tensors |= {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3)}
    tensors["parameter"] = torch.nn.Parameter(torch.ones(3))
    checkpoint.save(path, tensors, {})
    loaded, metadata = checkpoint.load(path)
    assert metadata == {}
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor.detach()), name
    loaded["row"].zero_()  # what was a view is a tensor of its own
    assert torch.equal(loaded["base"], base)


def test_metadata_come_back_without_reading_tensors(saved: Path) -> None:
    metadata = {"step": 7, "config": {"net": {"name": "unet", "widths": [1, 2]}}, "text": "é\n\0"}
    checkpoint.save(saved, {"weight": torch.ones(1000)}, metadata)
    assert checkpoint.metadata(saved) == checkpoint.load(saved)[1] == metadata


def test_equal_checkpoints_have_equal_digests_and_others_do_not(tmp_path: Path) -> None:
    tensors = {name: torch.full((3,), float(place)) for place, name in enumerate("abcdef")}
    for name, step in (("one", 1), ("same", 1), ("other", 2)):
        checkpoint.save(tmp_path / name, tensors, {"step": step, "z": 0, "a": 1})
    one, same, other = (checkpoint.sha256(tmp_path / name) for name in ("one", "same", "other"))
    assert one == same != other
    assert len(one) == 64


def test_any_safetensors_reader_opens_it(saved: Path) -> None:
    assert safetensors.torch.load_file(saved)["weight"].shape == (2, 3)


@pytest.mark.slow
def test_a_writer_killed_at_any_system_call_leaves_the_old_or_the_new_file(tmp_path: Path) -> None:
    run_script("checkpoint", tmp_path)
    outcomes = set()
    for log in tmp_path.glob("*.log"):
        tensors, metadata = checkpoint.load(log.with_suffix(""))
        step = metadata["step"]
        assert torch.equal(tensors["weight"], torch.zeros(50) if step == 1 else torch.ones(70))
        assert step == 2 or not log.read_text()
        outcomes.add((step, bool(log.read_text())))
    assert outcomes == {(1, False), (2, False), (2, True)}


@pytest.mark.parametrize("call", ["open", "pwrite", "fsync", "replace"])
@pytest.mark.parametrize(
    ("code", "pattern"),
    [
        (errno.ENOSPC, "is full .*; free space"),
        (errno.EACCES, "permission denied .*; choose a place"),
        (errno.EIO, "check the disk"),
    ],
)
def test_a_refused_write_keeps_the_old_file(
    saved: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, pattern: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    before = saved.read_bytes()
    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(CheckpointError, match=f"cannot write the checkpoint .*{pattern}"):
        checkpoint.save(saved, {"weight": torch.ones(9)}, {})
    monkeypatch.undo()
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_link_to_the_latest_checkpoint_stays_a_link(saved: Path) -> None:
    link = saved.with_name("latest")
    link.symlink_to(saved)
    checkpoint.save(link, {"weight": torch.ones(1)}, {"step": 4})
    assert link.is_symlink()
    assert checkpoint.metadata(saved) == {"step": 4}


def test_truncated_anywhere(saved: Path) -> None:
    data = saved.read_bytes()
    for size in range(len(data)):
        saved.write_bytes(data[:size])
        for reader in (checkpoint.load, checkpoint.metadata):
            with pytest.raises(CheckpointError, match=r"not a readable .*; it is truncated"):
                reader(saved)
    saved.write_bytes(data + b"\0")
    with pytest.raises(CheckpointError, match="25 of 24 bytes"):
        checkpoint.load(saved)


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04" * 99, b"\x80\x04." * 9, bytes(64), b"\x02" + bytes(7) + b"[]", b"\xff" * 80],
)
def test_foreign_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(content)
    for reader in (checkpoint.load, checkpoint.metadata):
        with pytest.raises(CheckpointError, match="not a readable checkpoint"):
            reader(path)


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"weight": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        checkpoint.load(path)


def test_foreign_safetensors_and_newer_schema(tmp_path: Path) -> None:
    path = tmp_path / "a"
    safetensors.torch.save_file({"weight": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match="safetensors file but not a scoresde checkpoint"):
        checkpoint.load(path)
    newer = json.dumps({"schema_version": 2, "metadata": {}})
    safetensors.torch.save_file({"weight": torch.ones(1)}, path, {checkpoint.SCHEMA: newer})
    with pytest.raises(CheckpointError, match="version 2, this scoresde reads up to 1; upgrade"):
        checkpoint.load(path)


def test_metadata_that_were_changed_are_refused(saved: Path) -> None:
    data = saved.read_bytes()
    at = data.index(b'metadata\\": {') + 16
    for place in range(at, at + 60):
        if not chr(data[place]).isdigit():
            continue
        digit = b"7" if data[place : place + 1] != b"7" else b"8"
        saved.write_bytes(data[:place] + digit + data[place + 1 :])
        for reader in (checkpoint.load, checkpoint.metadata):
            with pytest.raises(CheckpointError, match="metadata are not those"):
                reader(saved)
        return
    raise AssertionError("the metadata hold no digit")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for reader in (checkpoint.load, checkpoint.metadata, checkpoint.sha256):
        with pytest.raises(CheckpointError, match="no such file; check the name"):
            reader(tmp_path / "none")
        with pytest.raises(CheckpointError, match="it is a folder; name a file"):
            reader(tmp_path)
    with pytest.raises(CheckpointError, match="none does not exist; create it"):
        checkpoint.save(tmp_path / "none" / "a", {}, {})


@pytest.mark.parametrize(
    ("tensors", "metadata", "pattern"),
    [
        ({"a": torch.ones(1, dtype=torch.complex128)}, {}, "cannot be stored .*complex128"),
        ({"a": torch.ones(1, device="meta")}, {}, "cannot be stored"),
        ({"__metadata__": torch.ones(1)}, {}, "taken by the format"),
        ({"a": 3}, {}, "cannot be stored"),
        ({}, {"a": object()}, "do not fit into JSON"),
    ],
)
def test_what_cannot_be_stored(
    tmp_path: Path, tensors: dict, metadata: dict, pattern: str
) -> None:
    with pytest.raises(CheckpointError, match=pattern):
        checkpoint.save(tmp_path / "a", tensors, metadata)
    assert list(tmp_path.iterdir()) == []
