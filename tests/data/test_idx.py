"""IDX files: the array is the one that was written; every kind of damage has its own words."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from idx_files import CODES, IMAGES, LABELS, content, save

from scoresde.data import DATASETS
from scoresde.data.idx import read_idx
from scoresde.errors import DataError, OptionError

RNG = np.random.default_rng(1)


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 1, 3, 2)])
@pytest.mark.parametrize("packed", [False, True])
def test_every_dtype_and_rank_comes_back(tmp_path, dtype, shape, packed):
    array = (RNG.normal(size=shape) * 100).astype(dtype)
    read = read_idx(save(tmp_path / "a.idx", array, packed))
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


def test_reading_is_numpy_frombuffer(tmp_path):
    path = save(tmp_path / "a.gz", IMAGES, packed=True)
    content = gzip.decompress(Path(path).read_bytes())
    by_hand = np.frombuffer(content, np.uint8, offset=16).reshape(-1, 4, 6)
    np.testing.assert_array_equal(read_idx(path), by_hand)


GOOD = content(IMAGES)
PACKED = gzip.compress(GOOD, mtime=0)


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        (b"", "begins with nothing"),
        (GOOD[:3], "is no IDX file"),
        (b"\x01" + GOOD[1:], "begins with 01 00 08 03"),
        (GOOD[:2] + b"\x0a" + GOOD[3:], "is no IDX file"),
        (GOOD[:3] + b"\x00" + GOOD[4:], "is no IDX file"),
        (GOOD[:9], "ends within its header of 16 bytes"),
        (GOOD[:-1], "720 bytes, and 719 follow"),
        (GOOD + b"\0", "720 bytes, and 721 follow"),
        (GOOD[:4] + b"\xff\xff\xff\xff" + GOOD[8:], "fetch the file again"),
        (PACKED[:-9], "cannot read"),
        (PACKED[:40], "cannot read"),
        (PACKED[:30] + b"\xff\xff\xff\xff" + PACKED[34:], "cannot read"),
        (PACKED[:-6] + b"\0\0\0\0\0\0", "cannot read"),
    ],
    ids=[f"damage {number}" for number in range(13)],
)
def test_damage_is_named(tmp_path, damaged, words):
    (tmp_path / "a").write_bytes(damaged)
    with pytest.raises(DataError) as caught:
        read_idx(tmp_path / "a")
    assert words in str(caught.value)
    assert str(tmp_path / "a") in str(caught.value)


@pytest.fixture
def files(tmp_path):
    return {
        "path": save(tmp_path / "x", IMAGES[:20], packed=True),
        "labels": save(tmp_path / "y", LABELS[:20]),
        "test_path": save(tmp_path / "u", IMAGES[20:]),
        "test_labels": save(tmp_path / "v", LABELS[20:]),
    }


def test_bytes_become_the_range_from_minus_one_to_one(files):
    data = DATASETS["idx"](**files).load()
    assert data.event_shape == (1, 4, 6)
    assert data.classes == 3
    np.testing.assert_array_equal(data.train[:, 0].numpy(), (IMAGES[:20] / 127.5 - 1).astype("f4"))
    np.testing.assert_array_equal(data.test[:, 0].numpy(), (IMAGES[20:] / 127.5 - 1).astype("f4"))
    assert data.train_labels.tolist() == LABELS[:20].tolist()
    assert data.test_labels.tolist() == LABELS[20:].tolist()
    assert torch.equal(
        data.scaling.undo(data.train).round().byte()[:, 0], torch.tensor(IMAGES[:20])
    )


def test_some_classes_and_the_first_rows(files):
    data = DATASETS["idx"](**files, classes=(0, 2), n_train=5).load()
    kept = np.flatnonzero(LABELS[:20] != 1)[:5]
    np.testing.assert_array_equal(
        data.train[:, 0].numpy(), (IMAGES[kept] / 127.5 - 1).astype("f4")
    )
    assert data.train_labels.tolist() == LABELS[kept].tolist()
    assert set(data.test_labels.tolist()) == {0, 2}


def test_without_a_test_split_the_seed_makes_one(files):
    data = DATASETS["idx"](path=files["path"], labels=files["labels"], train_fraction=0.75).load()
    assert (len(data.train), len(data.test)) == (15, 5)
    raw = data.scaling.undo(torch.cat([data.train, data.test])).round().byte().numpy()[:, 0]
    labels = torch.cat([data.train_labels, data.test_labels])
    for image, label in zip(raw, labels, strict=True):
        (place,) = np.flatnonzero((IMAGES[:20] == image).all(axis=(1, 2)))
        assert LABELS[place] == label


def test_numbers_that_are_no_bytes_take_the_training_range(tmp_path):
    x = RNG.normal(size=(20, 3, 3)).astype(np.float32) * 7
    data = DATASETS["idx"](path=save(tmp_path / "x", x)).load()
    assert (float(data.train.min()), float(data.train.max())) == (-1.0, 1.0)
    x[3, 1, 1] = np.inf
    with pytest.raises(DataError, match=r"first at index \[3, 0, 1, 1\]"):
        DATASETS["idx"](path=save(tmp_path / "x", x)).load()


@pytest.mark.parametrize(
    ("key", "array", "words"),
    [
        ("labels", LABELS[:19], "19 labels for 20 rows"),
        ("test_labels", LABELS[:2], "2 labels for 10 rows"),
        ("labels", -LABELS[:20].astype(np.int8), "negative"),
        ("test_path", IMAGES[20:, :, :5], "(1, 4, 5)"),
        ("path", LABELS[:20], "rows come first"),
        ("path", IMAGES[:0], "is empty"),
        ("labels", np.zeros((20, 2), np.uint8), "(n,) is needed"),
    ],
)
def test_files_that_do_not_belong_together(files, tmp_path, key, array, words):
    with pytest.raises(DataError) as caught:
        DATASETS["idx"](**files | {key: save(tmp_path / "odd", array)}).load()
    assert words in str(caught.value)


def test_asking_for_what_is_not_there(files):
    with pytest.raises(DataError, match="n_train is 21 and the training split has 20"):
        DATASETS["idx"](**files, n_train=21).load()
    with pytest.raises(DataError, match="no image of class 7 in a split; its classes are 0, 1, 2"):
        DATASETS["idx"](**files, classes=(0, 7)).load()
    with pytest.raises(DataError, match="there is no file nowhere"):
        DATASETS["idx"](path="nowhere").load()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"folder": "a", "path": "b"},
        {"folder": "a", "labels": "b"},
        {"labels": "b"},
        {"path": "a", "labels": "b", "test_path": "c"},
        {"path": "a", "test_labels": "b"},
        {"path": "a", "classes": (1,)},
        {"path": "a", "n_train": -1},
        {"path": "a", "train_fraction": 1.0},
    ],
)
def test_options_that_do_not_go_together(options):
    with pytest.raises(OptionError):
        DATASETS["idx"](**options)
