"""Tables: standardised by the training split alone, columns where they belong, and refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch

from scoresde.data import DATASETS
from scoresde.errors import DataError, OptionError

UCI = Path(__file__).parents[3] / "shared" / "data" / "uci_tabular"
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(60, 4)) * (1, 30, 0.01, 5) + (0, 500, 3, -2)
NAMES = ("a", "b", "c", "d")
TABLE = DATASETS["table"]


@pytest.fixture
def text(tmp_path):
    def write(content, name="t.csv", encoding="utf-8"):
        (tmp_path / name).write_text(content, encoding=encoding)
        return str(tmp_path / name)

    return write


def lines(rows=ROWS, names=NAMES, delimiter=","):
    head = [delimiter.join(names)] if names else []
    return "\n".join([*head, *(delimiter.join(map(repr, map(float, row))) for row in rows)]) + "\n"


def archive(tmp_path, name="t.npz", **arrays):
    np.savez(tmp_path / name, **arrays)
    return str(tmp_path / name)


def test_the_training_split_is_standardised_and_the_test_split_is_not(text):
    data = TABLE(path=text(lines()), train_fraction=0.7).load()
    train, test = data.train.double(), data.test.double()
    assert (len(train), len(test)) == (42, 18)
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(train.std(0, correction=0), 1, rtol=1e-6)
    assert (test.mean(0).abs() > 1e-3).all()
    assert ((test.std(0) - 1).abs() > 1e-3).all()
    raw = data.scaling.undo(torch.cat([train, test])).numpy()
    order = raw[:, 0].argsort(), ROWS[:, 0].argsort()
    np.testing.assert_allclose(raw[order[0]], ROWS[order[1]], rtol=1e-5, atol=1e-5)


def test_text_and_archive_hold_the_same_table(text, tmp_path):
    expected = TABLE(path=text(lines())).load()
    others = [
        TABLE(path=archive(tmp_path, data=ROWS, rows=-ROWS)),
        TABLE(path=archive(tmp_path, "u.npz", data=-ROWS, rows=ROWS), key="rows"),
        TABLE(path=text(lines(names=()), "bare.csv")),
        TABLE(path=text(lines(delimiter=";"), "semi.csv"), delimiter=";"),
        TABLE(path=text("\ufeff" + lines().replace("\n", "\r\n"), "windows.csv")),
        TABLE(path=text("2001,2002,2003,2004\n" + lines(names=()), "y.csv"), header=True),
        TABLE(path=text(lines().replace("\n", "\n\n"), "blank.csv")),
    ]
    for other in others:
        data = other.load()
        assert torch.equal(data.train, expected.train)
        assert torch.equal(data.test, expected.test)


def test_columns_to_condition_on_and_to_leave_out(text):
    path = text(lines())
    whole = TABLE(path=path).load()
    data = TABLE(path=path, given=("d", 1), drop=(-2,)).load()
    assert data.event_shape == (1,)
    assert data.features == 2
    assert data.classes == 0
    assert torch.equal(data.train, whole.train[:, :1])
    assert torch.equal(data.test, whole.test[:, :1])
    assert torch.equal(data.train_labels, whole.train[:, [3, 1]])
    assert torch.equal(data.test_labels, whole.test[:, [3, 1]])
    raw = data.given_scaling.undo(data.train_labels.double())
    np.testing.assert_allclose(raw, whole.scaling.undo(whole.train.double())[:, [3, 1]])


def test_a_split_by_its_mask(tmp_path):
    mask = np.zeros((60, 2), bool)
    mask[40:, 0], mask[::2, 1] = True, True
    path = archive(tmp_path, data=ROWS, test_mask=mask)
    data = TABLE(path=path, split=1).load()
    np.testing.assert_allclose(data.scaling.shift, ROWS[1::2].mean(0), rtol=1e-12)
    np.testing.assert_allclose(
        data.scaling.undo(data.test.double()), ROWS[::2], rtol=1e-5, atol=1e-5
    )
    assert len(TABLE(path=path, split=0).load().test) == 20
    assert len(TABLE(path=path).load().test) == 12  # by the seed


def test_discrete_columns_are_refused_named_spread_or_kept(tmp_path):
    rows = np.c_[
        ROWS[:, 0], np.arange(60) % 4, ROWS[:, 1], np.where(ROWS[:, 0] > 1, ROWS[:, 0], 0)
    ]
    path = archive(tmp_path, data=rows)
    with pytest.raises(DataError, match=r"in column 1, 3; .* drop = \[1, 3\]"):
        TABLE(path=path).load()
    kept = TABLE(path=path, discrete="keep").load()
    assert len(torch.unique(kept.train[:, 1])) == 4
    data = TABLE(path=path, discrete="dequantise").load()
    assert len(torch.unique(data.train[:, 1])) == len(data.train)
    np.testing.assert_allclose(data.train.double().std(0, correction=0), 1, rtol=1e-6)
    raw = data.scaling.undo(torch.cat([data.train, data.test]).double())
    before = kept.scaling.undo(torch.cat([kept.train, kept.test]).double())
    assert torch.equal(raw[:, 1].round(), before[:, 1].round())
    np.testing.assert_allclose(raw[:, 0], before[:, 0], rtol=1e-5, atol=1e-6)
    again = TABLE(path=path, discrete="dequantise").load()
    assert again.fingerprint == data.fingerprint
    # what is only conditioned on, or left out, may be discrete
    assert TABLE(path=path, given=(1,), drop=(3,)).load().event_shape == (2,)


def test_missing_entries_of_a_discrete_column_stay_missing(tmp_path):
    """And the noise of the others is what it is without gaps."""
    rows = np.c_[ROWS[:, 0], np.arange(60) % 4]
    whole = TABLE(path=archive(tmp_path, data=rows), discrete="dequantise").load()
    rows[::7, 1] = np.nan
    path = archive(tmp_path, data=rows)
    holed = TABLE(path=path, discrete="dequantise").load(missing=True)
    for some, every in zip(splits(holed), splits(whole), strict=True):
        gone = some.isnan()
        assert gone.any()
        torch.testing.assert_close(some[~gone], every[~gone], rtol=1e-5, atol=1e-5)


def splits(data):
    """Both parts in the units of the file."""
    return [data.scaling.undo(part.double()) for part in (data.train, data.test)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("a,b\n", "no rows"),
        ("a,b\n1,2\n3,\n", "line 3, column 1 ('b'): '' is missing"),
        ("a,b\n1,2\nNA,4\n", "line 3, column 0 ('a'): 'NA' is no number"),
        ("1,2\n3,nan\n", "line 2, column 1: 'nan' is not finite"),
        ("1,2\n3,-inf\n", "is not finite"),
        ("1,2\n1_000,4\n", "'1_000' is no number"),
        ("a,2\n1,2\n", "line 1, column 0: 'a' is no number"),
        ("a,b\n1,2,3\n", "line 2 has 3 cells, the first has 2"),
        ("a,a\n1,2\n", "'a' heads two columns"),
        ('a,b\n"1,2\n', "as a table"),
        ("1;2\n3;4\n", "set delimiter = ';'"),
        ("a\tb\n1\t2\n", "set delimiter = '\\t'"),
        ("1e200,1\n-1e200,2\n3e200,5\n4e200,4\n1e199,3\n", "too large for their deviation"),
    ],
)  # fmt: skip
def test_refused_text(text, content, words):
    with pytest.raises(DataError) as caught:
        TABLE(path=text(content), header=False if ";" in content else None).load()
    assert words in str(caught.value)


def test_what_is_no_text_or_not_there(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"PK\x03\x04\xff\xfe\x00")
    with pytest.raises(DataError, match="no text in UTF-8"):
        TABLE(path=str(tmp_path / "t.csv")).load()
    (tmp_path / "t.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"no complete \.npz"):
        TABLE(path=str(tmp_path / "t.npz")).load()
    for path, words in ((tmp_path / "none.csv", "there is no file"), (tmp_path, "is a folder")):
        with pytest.raises(DataError, match=words):
            TABLE(path=str(path)).load()


@pytest.mark.parametrize(
    ("arrays", "options", "words"),
    [
        ({"dat": ROWS}, {}, "Did you mean 'dat'?"),
        ({"data": ROWS[:, 0]}, {}, "shape (60,)"),
        ({"data": ROWS[:0]}, {}, "shape (0, 4)"),
        ({"data": ROWS.astype(str)}, {}, "dtype <U"),
        ({"data": np.where(ROWS[7, 2] == ROWS, np.nan, ROWS)}, {}, "row 7, column 2: nan"),
        ({"data": ROWS[:1]}, {}, "leaves a split empty"),
        ({"data": ROWS * (1, 0, 1, 0)}, {}, "column 1, 3; leave out by drop = [1, 3]"),
        ({"data": ROWS * (1, 0, 1, 1)}, {"given": (1,)}, "constant in the training split"),
        ({"data": ROWS}, {"split": 0}, "unknown array 'test_mask'"),
        ({"data": ROWS, "test_mask": np.ones((60, 1))}, {"split": 0}, "it is bool (60, splits)"),
        ({"data": ROWS, "test_mask": np.ones((9, 1), bool)}, {"split": 0}, "bool (60, splits)"),
        ({"data": ROWS, "test_mask": np.ones((60, 1), bool)}, {"split": 0}, "one side empty"),
        ({"data": ROWS, "test_mask": np.ones((60, 1), bool)}, {"split": 1}, "no split 1"),
        ({"data": ROWS}, {"given": (4,)}, "4 columns, from 0; there is no 4"),
        ({"data": ROWS}, {"drop": (-5,)}, "there is no -5"),
        ({"data": ROWS}, {"given": ("a",)}, "names no columns"),
        ({"data": ROWS}, {"given": (0,), "drop": (-4,)}, "named twice"),
        ({"data": ROWS}, {"drop": (0, 1), "given": (2, 3)}, "leave no column to model"),
    ],
)
def test_refused_archives(tmp_path, arrays, options, words):
    with pytest.raises(DataError) as caught:
        TABLE(path=archive(tmp_path, **arrays), **options).load()
    assert words in str(caught.value)


def test_a_misspelt_column_and_a_split_of_text(text):
    path = text(lines(names=("cement", "water", "sand", "age")))
    with pytest.raises(DataError, match="Did you mean 'cement'"):
        TABLE(path=path, drop=("cemnt",)).load()
    with pytest.raises(DataError, match=r"needs an \.npz file"):
        TABLE(path=path, split=0).load()


@pytest.mark.parametrize(
    "options",
    [
        {"path": ""},
        {"split": -1},
        {"discrete": "dequantize"},
        {"delimiter": ""},
        {"delimiter": '"'},
        {"train_fraction": 0.0},
        {"seed": -1},
        {"seed": 2**32},
    ],
)
def test_options_out_of_range(options):
    with pytest.raises(OptionError):
        TABLE(**{"path": "x.csv"} | options)


@pytest.mark.parametrize(
    ("name", "discrete"), [("concrete", "[1, 2, 3, 4, 5, 7]"), ("protein", "[7]")]
)
def test_real_tables(name, discrete):
    path = UCI / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    with pytest.raises(DataError) as caught:
        TABLE(path=str(path), split=0).load()
    assert f"drop = {discrete}" in str(caught.value)
    with np.load(path) as arrays:
        rows, held_back = arrays["data"], arrays["test_mask"][:, 0]
    data = TABLE(path=str(path), split=0, discrete="keep").load()
    train = rows[~held_back]
    expected = (rows[held_back] - train.mean(0)) / train.std(0)
    np.testing.assert_allclose(data.test, expected, rtol=1e-5, atol=1e-5)
