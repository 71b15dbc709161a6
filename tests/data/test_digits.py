"""The digits that ship with the package are the ones that the split and the licence speak of."""

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import scoresde.data.digits as home
from scoresde.data import Digits
from scoresde.errors import DataError

FILE = Path(home.__file__).with_name("digits.h5")
SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"


@pytest.fixture(scope="module")
def digits():
    return Digits().load()


def test_checksum_size_and_attribution():
    with h5py.File(FILE, "r") as file:
        bytes_ = file["images"][()].tobytes() + file["labels"][()].tobytes()
        attributes = dict(file.attrs)
    assert hashlib.sha256(bytes_).hexdigest() == SHA256
    assert FILE.stat().st_size < 200_000
    assert "10.24432/C50P49" in attributes["attribution"]
    assert "CC BY 4.0" in attributes["licence"]


def test_the_split_is_the_seeded_permutation():
    order = torch.randperm(1797, generator=torch.Generator().manual_seed(0)).numpy()
    with h5py.File(FILE, "r") as file:
        np.testing.assert_array_equal(file["train_index"][()], order[:1437])
        np.testing.assert_array_equal(file["test_index"][()], order[1437:])


def test_rows_stand_in_the_order_of_the_split(digits):
    with h5py.File(FILE, "r") as file:
        images, labels = file["images"][()], file["labels"][()]
        order = np.concatenate([file["train_index"][()], file["test_index"][()]])
    x = torch.cat([digits.train, digits.test])
    grey = digits.scaling.undo(x)[:, 0].numpy()
    np.testing.assert_array_equal(grey, images[order])
    y = torch.cat([digits.train_labels, digits.test_labels]).numpy()
    np.testing.assert_array_equal(y, labels[order])


def test_model_space_is_x_over_8_less_1(digits):
    assert digits.event_shape == (1, 8, 8)
    assert (len(digits.train), len(digits.test)) == (1437, 360)
    assert digits.train.dtype == torch.float32
    assert (digits.train.min(), digits.train.max()) == (-1.0, 1.0)
    grey = (digits.train + 1) * 8
    assert torch.equal(grey, grey.round())
    assert abs(digits.std - 0.7513) < 5e-4


def test_a_missing_file_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(home, "__file__", str(tmp_path / "digits.py"))
    with pytest.raises(DataError, match="install the package again"):
        Digits().load()
