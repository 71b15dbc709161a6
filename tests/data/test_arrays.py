"""The user's arrays: what is read, how it is split and scaled, and every refusal."""

import h5py
import numpy as np
import pytest
import torch

from scoresde.data import DATASETS
from scoresde.errors import DataError, OptionError

FORMATS = ("npz", "hdf5")


def write(kind, path, **arrays):
    if kind == "npz":
        with open(path, "wb") as file:
            np.savez(file, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file.create_dataset(name, data=array)
    return str(path)


@pytest.fixture(params=FORMATS)
def kind(request):
    return request.param


@pytest.fixture
def save(kind, tmp_path):
    return lambda **arrays: write(kind, tmp_path / f"mine.{kind}", **arrays)


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(50, 3)) * (1, 10, 0.1) + (0, 5, -3)


def test_the_split_partitions_the_rows(kind, save, rows):
    data = DATASETS[kind](path=save(x=rows), train_fraction=0.7, scaling="none").load()
    assert (len(data.train), len(data.test)) == (35, 15)
    together = torch.cat([data.train, data.test]).numpy()
    expected = rows.astype(np.float32)
    by_first = together[:, 0].argsort(), expected[:, 0].argsort()
    np.testing.assert_array_equal(together[by_first[0]], expected[by_first[1]])
    assert not np.array_equal(together, expected)


def test_the_seed_fixes_the_split(kind, save, rows):
    path = save(x=rows)
    one, again, other = (DATASETS[kind](path=path, seed=seed).load() for seed in (1, 1, 2))
    assert torch.equal(one.train, again.train)
    assert not torch.equal(one.train, other.train)


def test_a_test_key_keeps_every_row_in_order(kind, save, rows):
    path = save(a=rows[:30], b=rows[30:])
    data = DATASETS[kind](path=path, key="a", test_key="b", scaling="none").load()
    np.testing.assert_array_equal(data.train.numpy(), rows[:30].astype(np.float32))
    np.testing.assert_array_equal(data.test.numpy(), rows[30:].astype(np.float32))


def test_scaling_is_by_the_training_split_alone(kind, save, rows):
    path = save(a=rows[:30], b=rows[30:] * 100)
    data = DATASETS[kind](path=path, key="a", test_key="b").load()
    np.testing.assert_allclose(data.train.double().mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(data.train.double().std(0, correction=0), 1, rtol=1e-6)
    np.testing.assert_allclose(data.scaling.undo(data.test.double()), rows[30:] * 100, rtol=1e-5)
    data = DATASETS[kind](path=path, key="a", test_key="b", scaling="range").load()
    assert torch.equal(data.train.amin(0), -torch.ones(3))
    assert torch.equal(data.train.amax(0), torch.ones(3))


def test_integer_images_take_one_scale(kind, save):
    images = np.random.default_rng(1).integers(0, 256, size=(20, 1, 4, 4), dtype=np.uint8)
    data = DATASETS[kind](path=save(x=images), scaling="range").load()
    assert data.event_shape == (1, 4, 4)
    assert isinstance(data.scaling.scale, float)
    assert data.train.abs().max() == 1.0


@pytest.mark.parametrize(
    ("arrays", "options", "words"),
    [
        ({"pixels": np.ones((4, 2))}, {"key": "pixel"}, "Did you mean 'pixels'?"),
        ({"a": np.ones((4, 2)), "b": np.ones((4, 2))}, {}, "holds 2 arrays (a, b)"),
        ({"x": np.ones(4)}, {}, "has shape (4,); rows come first"),
        ({"x": np.ones((0, 3))}, {}, "is empty"),
        ({"x": np.ones((1, 3))}, {}, "leaves a split empty"),
        ({"x": np.ones((4, 3)), "y": np.ones((4, 2))}, {"key": "x", "test_key": "y"}, "(2,)"),
        (
            {"x": np.array([[1.0, 2.0], [np.nan, np.inf]] + 3 * [[0.0, 1.0]])},
            {},
            "2 values that are not finite",
        ),
        ({"x": np.ones((4, 2), dtype=complex)}, {}, "has dtype complex128"),
        ({"x": np.full((4, 2), b"ab")}, {}, "real numbers are needed"),
        ({"x": np.full((4, 2), 1e300)}, {"scaling": "none"}, "overflow float32"),
        ({"x": np.eye(4) * 1e300}, {}, "as large as 1e+300"),
    ],
)
def test_refused_arrays(kind, save, arrays, options, words):
    with pytest.raises(DataError) as caught:
        DATASETS[kind](path=save(**arrays), **options).load()
    assert words in str(caught.value)


def test_the_index_of_the_first_bad_value_is_named(kind, save):
    x = np.ones((4, 2))
    x[2, 1] = np.nan
    with pytest.raises(DataError, match=r"first at index \[2, 1\]"):
        DATASETS[kind](path=save(x=x)).load()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95])
def test_a_truncated_file_is_a_data_error(kind, save, rows, share):
    path = save(x=np.repeat(rows, 20, 0))
    with open(path, "rb") as file:
        content = file.read()
    with open(path, "wb") as file:
        file.write(content[: int(share * len(content))])
    with pytest.raises(DataError, match="mine"):
        DATASETS[kind](path=path).load()


def test_damage_within_an_archive_is_a_data_error(tmp_path, rows):
    path = write("npz", tmp_path / "x.npz", x=rows)
    with open(path, "r+b") as file:
        file.seek(400)
        file.write(b"\xff" * 16)
    with pytest.raises(DataError, match="CRC"):
        DATASETS["npz"](path=path).load()


def test_object_arrays_run_no_code(tmp_path):
    path = tmp_path / "objects.npz"
    np.savez(path, x=np.array([[{}], [{}]], dtype=object))
    with pytest.raises(DataError, match="allow_pickle"):
        DATASETS["npz"](path=str(path)).load()


def test_nested_hdf5_arrays_are_named_by_their_path(tmp_path, rows):
    path = write("hdf5", tmp_path / "n.h5", **{"runs/first": rows, "runs/second": rows[:, :2]})
    assert DATASETS["hdf5"](path=path, key="runs/second").load().event_shape == (2,)
    with pytest.raises(DataError, match="Did you mean 'runs/first'"):
        DATASETS["hdf5"](path=path, key="run/first").load()


def test_a_missing_or_foreign_file(kind, tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        DATASETS[kind](path=str(tmp_path / "none")).load()
    (tmp_path / "text").write_text("hello")
    with pytest.raises(DataError, match="text"):
        DATASETS[kind](path=str(tmp_path / "text")).load()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"path": ""}, "path names the file"),
        ({"train_fraction": 0.0}, "train_fraction lies between"),
        ({"train_fraction": float("nan")}, "train_fraction lies between"),
        ({"scaling": "standardize"}, "Did you mean 'standardise'?"),
        ({"seed": -1}, "seed is a whole number"),
    ],
)
def test_options_out_of_range(kind, options, words):
    with pytest.raises(OptionError) as caught:
        DATASETS[kind](**({"path": "x"} | options))
    assert words in str(caught.value)
