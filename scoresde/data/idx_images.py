"""Images and their labels in IDX files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scoresde.data.arrays import check_rows, in_memory
from scoresde.data.dataset import Dataset
from scoresde.data.idx import read_idx
from scoresde.data.labels import labels_of
from scoresde.data.moments import Moments, survey
from scoresde.data.scaling import PIXELS
from scoresde.data.splits import check_n_train, check_split, first, split
from scoresde.errors import DataError, OptionError

FILES = {  # the names that MNIST's files have borne since LeCun, Cortes & Burges
    "path": "train-images-idx3-ubyte",
    "labels": "train-labels-idx1-ubyte",
    "test_path": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}


@dataclass(frozen=True, kw_only=True)
class IDX:
    """Images (n, height, width) in IDX files, plain or gzipped, as events (1, height, width).

    folder: one that holds MNIST's four file names, with or without .gz; or
    path, labels, test_path, test_labels: the files themselves; all but the first may be left out.
    Without a test split, 1 - train_fraction of the rows are split off by the seed.
    classes: those to keep, under their own labels; empty for all.  n_train: the first so many
    rows of the training split; 0 for all.  flip: images may be mirrored in training.
    Bytes become raw / 127.5 - 1; numbers of another dtype are brought to [-1, 1] by the smallest
    and largest of the training split.

    Raises:
        OptionError: an option out of its range, or a folder beside a path.
        DataError: files that are missing, damaged or do not belong together.
    """

    folder: str = ""
    path: str = ""
    labels: str = ""
    test_path: str = ""
    test_labels: str = ""
    classes: tuple[int, ...] = ()
    n_train: int = 0
    train_fraction: float = 0.8
    flip: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        files = [self.path, self.labels, self.test_path, self.test_labels]
        if bool(self.folder) == bool(self.path) or (self.folder and any(files)):
            raise OptionError(
                "give a folder with the four files of MNIST's names, or the files by path, "
                f"labels, test_path, test_labels; got folder {self.folder!r} and {files}"
            )
        if self.test_path and bool(self.labels) != bool(self.test_labels):
            raise OptionError("labels and test_labels go together: give both or neither")
        if self.test_labels and not self.test_path:
            raise OptionError("test_labels are those of test_path, which is empty")
        if self.classes and not (self.labels or self.folder):
            raise OptionError("classes picks images by their labels; give labels")
        check_n_train(self.n_train)
        check_split(self.train_fraction, self.seed)

    def load(self) -> Dataset:
        if self.folder:
            name, source = Path(self.folder).name, f"the user's folder {self.folder}"
            files = standard_files(self.folder, "files in IDX format are wanted under these names")
        else:
            name, source = Path(self.path).name.split(".")[0], f"the user's file {self.path}"
            files = {key: getattr(self, key) for key in FILES if getattr(self, key)}
        images, labels = sets = read_images(files, "path", "labels")
        if "test_path" in files:
            others, other_labels = read_images(files, "test_path", "test_labels")
            if images.shape[1:] != others.shape[1:]:
                raise DataError(
                    f"{files['test_path']} holds images of shape {others.shape[1:]}, "
                    f"{files['path']} of {images.shape[1:]}"
                )
            parts = np.arange(len(images)), np.arange(len(others))
        else:
            others, other_labels = sets
            fraction, seed = self.train_fraction, self.seed
            parts = split(len(images), fraction, seed, files["path"], "a test_path")
        ours = first(of_classes(labels, parts[0], self.classes), self.n_train, files["path"])
        theirs = of_classes(other_labels, parts[1], self.classes)
        scaling = PIXELS
        if images.dtype != np.uint8 or others.dtype != np.uint8:
            scaling = _survey(images, ours, files["path"]).to_unit_range()
            _survey(others, theirs, files.get("test_path", files["path"]))
        return Dataset(
            name=name,
            train=in_memory(images, ours, scaling),
            test=in_memory(others, theirs, scaling),
            scaling=scaling,
            attribution=source,
            train_labels=None if labels is None else labels[torch.from_numpy(ours)],
            test_labels=None if other_labels is None else other_labels[torch.from_numpy(theirs)],
            flip=self.flip,
        )


def standard_files(folder: str, advice: str) -> dict[str, str]:
    """MNIST's four files in a folder, gzipped or plain; `DataError` names those that lack."""
    found = {}
    for key, name in FILES.items():
        for place in (Path(folder) / name, Path(folder) / f"{name}.gz"):
            if place.is_file():
                found.setdefault(key, str(place))
    lacking = [name for key, name in FILES.items() if key not in found]
    if lacking:
        where = f"{folder} lacks" if Path(folder).is_dir() else f"there is no folder {folder} with"
        raise DataError(
            f"{where} {', '.join(lacking)} (plain or .gz); {advice}: put the files there or name "
            "another folder"
        )
    return found


def read_images(
    files: dict[str, str], key: str, label_key: str
) -> tuple[np.ndarray, Tensor | None]:
    """(images (n, *event), labels (n,) or none)."""
    path = files[key]
    images = read_idx(path)
    if images.ndim == 3:
        images = images[:, None]
    check_rows(images, path)
    if label_key not in files:
        return images, None
    labels = labels_of(read_idx(files[label_key]), len(images), files[label_key])
    if labels.is_floating_point():
        raise DataError(f"{files[label_key]} holds {tuple(labels.shape)} labels; (n,) is needed")
    return images, labels


def of_classes(labels: Tensor | None, index: np.ndarray, classes: tuple[int, ...]) -> np.ndarray:
    """The rows among `index` whose label is one of the classes, all of them for none."""
    if not classes:
        return index
    mine = labels.numpy()[index]
    absent = sorted(set(classes) - set(mine.tolist()))
    if absent:
        raise DataError(
            f"no image of class {absent[0]} in a split; its classes are "
            f"{', '.join(map(str, sorted(set(mine.tolist()))))}"
        )
    return index[np.isin(mine, classes)]


def _survey(images: np.ndarray, index: np.ndarray, what: str) -> Moments:
    chosen = np.zeros(len(images), dtype=bool)
    chosen[index] = True
    return survey(images, chosen, what)[0]
