"""MNIST and Fashion-MNIST are the sets that were published."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from idx_files import IMAGES, LABELS, save

from scoresde.data import DATASETS
from scoresde.data.idx_images import FILES
from scoresde.errors import DataError, OptionError

SHARED = Path(__file__).parents[3] / "shared" / "data"
FOLDERS = {"mnist": SHARED / "mnist", "fashion-mnist": SHARED / "fashion_mnist"}
MEAN = {"mnist": 0.1307, "fashion-mnist": 0.2860}  # of the training pixels / 255, as published
ZEROS = {"mnist": 5923, "fashion-mnist": 6000}  # training images of class 0


@pytest.fixture(params=FOLDERS)
def name(request):
    if not FOLDERS[request.param].is_dir():
        pytest.skip(f"needs {FOLDERS[request.param]}")
    return request.param


@pytest.mark.slow
def test_counts_mean_pixel_and_labels(name):
    data = DATASETS[name](folder=str(FOLDERS[name])).load()
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    assert data.event_shape == (1, 28, 28)
    assert data.classes == 10 == len(data.class_names)
    assert abs((float(data.train.mean(dtype=torch.float64)) + 1) / 2 - MEAN[name]) < 5e-5
    assert int((data.train_labels == 0).sum()) == ZEROS[name]
    if name == "fashion-mnist":
        assert torch.bincount(data.test_labels).tolist() == [1000] * 10
    raw = gzip.decompress((FOLDERS[name] / "t10k-images-idx3-ubyte.gz").read_bytes())
    pixels = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 1, 28, 28)
    np.testing.assert_array_equal(data.scaling.undo(data.test).round().byte().numpy(), pixels)


def test_the_first_rows_of_two_classes():
    if not FOLDERS["mnist"].is_dir():
        pytest.skip(f"needs {FOLDERS['mnist']}")
    data = DATASETS["mnist"](folder=str(FOLDERS["mnist"]), n_train=50, classes=(3, 8)).load()
    assert len(data.train) == 50
    assert set(data.train_labels.tolist()) == {3, 8}
    raw = gzip.decompress((FOLDERS["mnist"] / "train-labels-idx1-ubyte.gz").read_bytes())
    labels = np.frombuffer(raw, np.uint8, offset=8)
    assert data.train_labels.tolist() == labels[np.isin(labels, (3, 8))][:50].tolist()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_missing_folder_says_what_is_wanted(name, tmp_path):
    with pytest.raises(DataError) as caught:
        DATASETS[name](folder=str(tmp_path / "none")).load()
    for words in (*FILES.values(), str(tmp_path / "none"), f"{name} is not downloaded"):
        assert words in str(caught.value)
    save(tmp_path / FILES["path"], IMAGES)
    with pytest.raises(DataError, match=f"{tmp_path} lacks train-labels"):
        DATASETS[name](folder=str(tmp_path)).load()


def test_files_of_another_form_are_sent_to_idx(tmp_path):
    for key, file in FILES.items():
        save(tmp_path / file, IMAGES if "path" in key else LABELS)
    with pytest.raises(DataError, match="by the data set 'idx'"):
        DATASETS["mnist"](folder=str(tmp_path)).load()
    data = DATASETS["idx"](folder=str(tmp_path)).load()
    assert (len(data.train), len(data.test), data.classes) == (30, 30, 3)


def test_options_out_of_range():
    for options in ({"folder": ""}, {"n_train": -1}, {"n_train": True}):
        with pytest.raises(OptionError):
            DATASETS["mnist"](**options)
