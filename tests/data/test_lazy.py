"""Rows left in an HDF5 file are the rows of the version in memory, to the bit."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from scoresde.data import DATASETS
from scoresde.errors import DataError

LAYOUTS = {
    "one piece": {},
    "big-endian": {"dtype": ">f8"},
    "integers": {"dtype": "<i2"},
    "truths": {"dtype": bool},
    "half": {"dtype": "<f2"},
    "chunks": {"chunks": (7, 5)},
    "compressed": {"chunks": (16, 5), "compression": "gzip"},
}
ROWS = np.random.default_rng(0).normal(size=(300, 5)) * (1, 3, 10, 0.5, 2) + (0, 5, -3, 1, 0)


def write(path, layout="one piece", **file_options):
    options = dict(LAYOUTS[layout])
    dtype = options.pop("dtype", "<f4")
    with h5py.File(path, "w", **file_options) as file:
        file.create_dataset("first/x", data=ROWS.astype(dtype), **options)
    return str(path)


def both(path, **options):
    return [DATASETS["hdf5"](path=path, lazy=lazy, **options).load() for lazy in (True, False)]


@pytest.fixture(autouse=True)
def many_blocks(monkeypatch):
    monkeypatch.setattr("scoresde.data.dataset.BLOCK", 5 * 64)


@pytest.mark.parametrize(
    ("layout", "scaling"),
    [*((layout, "standardise") for layout in LAYOUTS), ("one piece", "range"), ("half", "none")],
)
def test_every_row_equals_the_row_in_memory(tmp_path, layout, scaling):
    lazy, held = both(write(tmp_path / "x.h5", layout), scaling=scaling, seed=3)
    assert lazy.scaling == held.scaling
    assert lazy.event_shape == held.event_shape
    assert lazy.train.shape == tuple(held.train.shape)
    for ours, theirs in ((lazy.train, held.train), (lazy.test, held.test)):
        index = torch.randint(len(theirs), (100,), generator=torch.Generator().manual_seed(1))
        for where in (index, index - len(theirs), slice(5, 20), slice(None), theirs[:, 0] > 0):
            got = ours[where]
            assert got.dtype == torch.float32
            assert torch.equal(got, theirs[where])
    assert abs(lazy.std - held.std) < 1e-14 * 300
    swept = torch.cat(list(lazy.train.blocks()))
    assert torch.equal(swept.sort(0).values, held.train.sort(0).values)


def test_the_scaling_in_blocks_is_that_of_the_whole(tmp_path):
    held = both(write(tmp_path / "x.h5"), seed=3)[1]
    raw = held.scaling.undo(held.train.double())
    np.testing.assert_allclose(held.scaling.shift, raw.mean(0), rtol=1e-6)
    np.testing.assert_allclose(held.scaling.scale, raw.std(0, correction=0), rtol=1e-6)


@pytest.mark.parametrize("scaling", ["standardise", "range"])
def test_missing_entries_of_many_blocks_do_not_count(tmp_path, scaling):
    """By column for vectors, over all elements for images; the first blocks have a column less."""
    gaps = np.where(np.random.default_rng(1).random(ROWS.shape) < 0.3, np.nan, ROWS)
    gaps[:140, 2] = np.nan
    for name, rows, axis in (("rows", gaps, 0), ("images", gaps.reshape(300, 1, 1, 5), None)):
        with h5py.File(tmp_path / "x.h5", "a") as file:
            file[name] = rows
        options = {"path": str(tmp_path / "x.h5"), "key": name, "scaling": scaling}
        lazy, held = (
            DATASETS["hdf5"](lazy=lazy, train_fraction=0.99, **options).load(missing=True)
            for lazy in (True, False)
        )
        assert lazy.scaling == held.scaling
        torch.testing.assert_close(lazy.train[:], held.train, rtol=0, atol=0, equal_nan=True)
        ours = held.scaling.undo(held.train.double()).numpy()
        low, high = np.nanmin(ours, axis=axis), np.nanmax(ours, axis=axis)
        shift, scale = np.nanmean(ours, axis=axis), np.nanstd(ours, axis=axis)
        if scaling == "range":
            shift, scale = (low + high) / 2, (high - low) / 2
        np.testing.assert_allclose(held.scaling.shift, shift, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(held.scaling.scale, scale, rtol=1e-6)


def test_a_file_with_a_block_before_its_own_and_a_virtual_array(tmp_path):
    lazy, held = both(write(tmp_path / "u.h5", userblock_size=1024))
    assert torch.equal(lazy.train[:], held.train)
    layout = h5py.VirtualLayout(shape=ROWS.shape, dtype="<f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "u.h5"), "first/x", shape=ROWS.shape)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_virtual_dataset("v", layout)
    lazy, held = both(str(tmp_path / "v.h5"))
    assert torch.equal(lazy.train[:], held.train)
    (tmp_path / "u.h5").unlink()  # HDF5 itself would read zeros
    for on_demand in (True, False):
        with pytest.raises(DataError, match=r"put together from .*u\.h5, which is not there"):
            DATASETS["hdf5"](path=str(tmp_path / "v.h5"), lazy=on_demand).load()


def test_the_fingerprint_knows_content_split_and_scaling_but_not_the_path(tmp_path):
    path = write(tmp_path / "x.h5")
    twin = write(tmp_path / "y.h5")
    load = DATASETS["hdf5"]
    base = load(path=path, lazy=True).load()
    assert base.fingerprint == load(path=twin, lazy=True).load().fingerprint
    assert base.train.fingerprint != base.test.fingerprint
    with h5py.File(twin, "r+") as file:
        file["first/x"][150, 2] += 1
    others = [
        load(path=twin, lazy=True, scaling="none").load(),
        load(path=path, lazy=True, scaling="none").load(),
        load(path=path, lazy=True, seed=1).load(),
    ]
    assert len({base.fingerprint, *(d.fingerprint for d in others)}) == 4


@pytest.mark.parametrize("layout", ["one piece", "compressed"])
def test_a_file_that_changes_or_goes_is_a_data_error(tmp_path, layout):
    path = tmp_path / "x.h5"
    data = DATASETS["hdf5"](path=write(path, layout), lazy=True).load()
    with open(path, "ab") as file:
        file.write(b"\0")
    with pytest.raises(DataError, match="has changed"):
        data.train[torch.tensor([0])]
    path.unlink()
    with pytest.raises(DataError, match="cannot read"):
        data.train[torch.tensor([0])]


def test_refusals_are_those_of_the_version_in_memory(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["nan"] = np.where(np.arange(1000).reshape(200, 5) == 703, np.nan, 1.0)
        file["flat"] = np.ones(4)
        file["text"] = np.full((4, 2), b"ab")
        file["none"] = h5py.Empty("f4")
        file["empty"] = np.ones((0, 2))
    for key, words in (
        ("nan", r"1 value that is not finite, the first at index \[140, 3\]"),
        ("flat", "rows come first"),
        ("text", "real numbers are needed"),
        ("none", "rows come first|real numbers"),
        ("empty", "is empty"),
    ):
        for lazy in (True, False):
            with pytest.raises(DataError, match=words):
                DATASETS["hdf5"](path=str(tmp_path / "x.h5"), key=key, lazy=lazy).load()


def test_odd_indices(tmp_path):
    rows = DATASETS["hdf5"](path=write(tmp_path / "x.h5"), lazy=True).load().train
    assert rows[torch.tensor([], dtype=torch.int64)].shape == (0, 5)
    assert rows[3:3].shape == (0, 5)
    assert torch.equal(rows[torch.tensor([4])], rows[4:5])
    with pytest.raises(IndexError):
        rows[torch.tensor([240])]
    with pytest.raises(IndexError, match="slice or"):
        rows[torch.tensor(3)]


MEMORY = """
import re, sys, torch
from scoresde.data import DATASETS
# not getrusage: its peak is handed down from the process that started this one
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
before = peak()
data = DATASETS["hdf5"](path=sys.argv[1], key=sys.argv[2], lazy=sys.argv[3] == "lazy").load()
for step in range(20):
    g = torch.Generator().manual_seed(step)
    data.train[torch.randint(len(data.train), (256,), generator=g)]
data.std, data.fingerprint
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc/self/status")
def test_an_array_of_220_mb_takes_a_quarter_of_its_size_in_memory(tmp_path):
    n = 72_000
    block = np.random.default_rng(0).standard_normal((4000, 1, 28, 28), dtype=np.float32)
    with h5py.File(tmp_path / "big.h5", "w") as file:
        plain = file.create_dataset("plain", (n, 1, 28, 28), "<f4")
        packed = file.create_dataset("packed", (n, 1, 28, 28), "<f4", chunks=(64, 1, 28, 28))
        for begin in range(0, n, 4000):
            plain[begin : begin + 4000] = packed[begin : begin + 4000] = block

    def grown(*options):
        command = [sys.executable, "-c", MEMORY, str(tmp_path / "big.h5"), *options]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    size = n * 28 * 28 * 4 / 2**20
    # 20 to 40 MB were measured: blocks of 4 MB in float64, copies of one, a place for each row
    assert grown("plain", "lazy") < size / 4
    assert grown("packed", "lazy") < size / 4
    assert grown("plain", "held") > size  # what the bound is worth
