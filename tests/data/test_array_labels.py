"""Labels beside the user's arrays: they follow their rows; every refusal says why."""

import h5py
import numpy as np
import pytest
import torch

from scoresde.data import DATASETS
from scoresde.errors import DataError, OptionError

X = np.random.default_rng(0).normal(size=(40, 1, 2, 2)).astype(np.float32)
KINDS = [("npz", {}), ("hdf5", {}), ("hdf5", {"lazy": True})]


@pytest.fixture(params=KINDS, ids=["npz", "hdf5", "lazy"])
def load(request, tmp_path):
    kind, fixed = request.param
    path = tmp_path / f"a.{kind}"

    def loaded(arrays, **options):
        if kind == "npz":
            np.savez(path, **arrays)
        else:
            with h5py.File(path, "w") as file:
                for name, array in arrays.items():
                    file[name] = array
        return DATASETS[kind](path=str(path), **fixed, **options).load()

    return loaded


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_classes_follow_their_rows_through_the_split(load, dtype):
    y = (np.arange(40) % 7).astype(dtype)
    data = load({"x": X, "y": y}, label_key="y", scaling="none", flip=True)
    assert data.classes == 7
    assert data.features == 0
    assert data.flip
    for rows, labels in ((data.train, data.train_labels), (data.test, data.test_labels)):
        assert labels.dtype == torch.int64
        for row, label in zip(rows[torch.arange(len(rows))], labels, strict=True):
            (place,) = np.flatnonzero((row.numpy() == X).all(axis=(1, 2, 3)))
            assert label == y[place]
    assert len(data.train) + len(data.test) == 40


def test_vectors_beside_a_test_key_stay_as_they_are(load):
    v = np.random.default_rng(1).normal(size=(40, 3)) * 50
    arrays = {"x": X[:30], "z": X[30:], "v": v[:30], "w": v[30:]}
    data = load(arrays, key="x", test_key="z", label_key="v", test_label_key="w")
    assert data.features == 3
    assert data.classes == 0
    np.testing.assert_array_equal(data.train_labels.numpy(), v[:30].astype(np.float32))
    np.testing.assert_array_equal(data.test_labels.numpy(), v[30:].astype(np.float32))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros(39, int), "39 labels for 40 rows"),
        (np.r_[np.zeros(39, int), -1], "row 39 is -1, negative"),
        (np.r_[0.5, np.zeros(39)], "row 0 is 0.5, not whole"),
        (np.r_[0.0, np.nan, np.zeros(38)], "row 1 is nan, not finite"),
        (np.r_[np.zeros(39, int), 65_536], "row 39 is 65536, above 65535"),
        (np.full((40, 2), np.nan), "row 0 holds nan in column 0"),
        (np.full((40, 2), 1e39), "finite in float32"),
        (np.zeros((40, 2, 2)), "shape (40, 2, 2)"),
        (np.zeros((40, 0)), "shape (40, 0)"),
        (np.int64(3), "shape ()"),
        (np.full(40, b"cat"), "labels are numbers"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_refused_labels(load, labels, words):
    with pytest.raises(DataError) as caught:
        load({"x": X, "y": labels}, label_key="y")
    assert words in str(caught.value) or (words == "shape ()" and "'y'" in str(caught.value))


def test_a_missing_label_array_is_named(load):
    with pytest.raises(DataError, match="unknown array 'labels'"):
        load({"x": X, "label": np.zeros(40, int)}, key="x", label_key="labels")


@pytest.mark.parametrize(
    "options",
    [
        {"label_key": "y", "test_key": "z"},
        {"test_label_key": "y"},
        {"label_key": "y", "test_label_key": "y"},
        {"test_key": "z", "test_label_key": "y"},
    ],
)
def test_half_a_pair_of_label_arrays_is_refused(options):
    with pytest.raises(OptionError, match="test_label_key names the labels"):
        DATASETS["npz"](path="x.npz", **options)


def test_flip_without_images_is_refused(load):
    with pytest.raises(DataError, match="flip mirrors images"):
        load({"x": X.reshape(40, 4)}, flip=True)
