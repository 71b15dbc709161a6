"""A data set's facts: deviation, classes, features and the fingerprint of its content."""

import dataclasses
import hashlib

import numpy as np
import pytest
import torch

from scoresde.data import Dataset, Scaling
from scoresde.errors import DataError


def made(**changes):
    rng = torch.Generator().manual_seed(0)
    facts = {
        "name": "made",
        "train": torch.randn(70, 3, generator=rng) * 2 + 1000,
        "test": torch.randn(20, 3, generator=rng),
        "scaling": Scaling(),
        "attribution": "",
    }
    return Dataset(**(facts | changes))


class Elsewhere:
    """The least that rows must offer."""

    def __init__(self, x):
        self._x, self.shape, self.fingerprint = x, tuple(x.shape), "abc"

    def __len__(self):
        return len(self._x)

    def __getitem__(self, index):
        return self._x[index]


@pytest.mark.parametrize("wrap", [lambda x: x, Elsewhere])
@pytest.mark.parametrize("block", [1, 7, 2**19])
def test_the_deviation_is_that_of_all_elements_however_they_are_cut(monkeypatch, wrap, block):
    monkeypatch.setattr("scoresde.data.dataset.BLOCK", block)
    data = made()
    expected = np.sqrt(
        np.mean((data.train.double().numpy() - data.train.double().mean().item()) ** 2)
    )
    # float64 of values about 1000 with a deviation of 2: 1000^2/2^2 units of rounding
    assert abs(made(train=wrap(data.train)).std / expected - 1) < 1e-10


def test_classes_count_over_both_splits():
    y = torch.zeros(70, dtype=torch.int64)
    assert made().classes == made().features == 0
    assert made(train_labels=y, test_labels=torch.full((20,), 4)).classes == 5
    assert made(train_labels=y).classes == 1
    vectors = made(train_labels=torch.ones(70, 6), test_labels=torch.ones(20, 6))
    assert (vectors.classes, vectors.features) == (0, 6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train_labels": torch.zeros(69, dtype=torch.int64)}, "69 labels for 70 rows"),
        ({"test_labels": torch.zeros(20, dtype=torch.int32)}, "torch.int32 of shape (20,)"),
        ({"test_labels": torch.zeros(20)}, "test labels are int64 (n,)"),
        ({"train_labels": torch.full((70,), -2)}, "a train label is -2"),
        ({"flip": True}, "flip mirrors images"),
    ],
)
def test_refused_facts(changes, words):
    with pytest.raises(DataError) as caught:
        made(**changes)
    assert words in str(caught.value)


def test_the_fingerprint_follows_the_content_and_nothing_else():
    data = made()
    expected = hashlib.sha256()
    for x in (data.train, data.test):
        expected.update(f"torch.float32 {tuple(x.shape)};".encode() + x.numpy().tobytes())
    expected.update(b"none;none;")
    assert data.fingerprint == expected.hexdigest()
    renamed = dataclasses.replace(data, name="other", attribution="x", scaling=Scaling(shift=3.0))
    assert renamed.fingerprint == data.fingerprint
    touched = data.train.clone()
    touched[69, 2] += 1e-4
    others = [
        made(train=touched),
        made(train=data.train.reshape(35, 6), test=data.test.reshape(10, 6)),
        made(train=data.test, test=data.train),
        made(train_labels=torch.zeros(70, dtype=torch.int64)),
        made(train_labels=torch.zeros(70, 1)),
        made(test_labels=torch.zeros(20, dtype=torch.int64)),
        made(train=Elsewhere(data.train)),
    ]
    assert len({data.fingerprint, *(d.fingerprint for d in others)}) == 8
    strided = made(train=data.train.T.contiguous().T)
    assert strided.fingerprint == data.fingerprint
