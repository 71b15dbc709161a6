"""MNIST and Fashion-MNIST, from files that the user has."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from scoresde.data.arrays import in_memory
from scoresde.data.dataset import Dataset
from scoresde.data.idx_images import of_classes, read_images, standard_files
from scoresde.data.scaling import PIXELS
from scoresde.data.splits import check_n_train, first
from scoresde.errors import DataError, OptionError


@dataclass(frozen=True, kw_only=True)
class StandardImages(ABC):
    """70,000 images (1, 28, 28) of ten classes, raw 0..255, model = raw / 127.5 - 1.

    60,000 to train and 10,000 to test, as published. folder: where the four IDX files lie, which
    are not fetched.  n_train: the first so many rows to train on; 0 for all.  classes: those to
    keep, under their own labels; empty for all.

    Raises:
        OptionError: an option out of its range.
        DataError: files that are missing, damaged or not of this form.
    """

    name: ClassVar[str]
    attribution: ClassVar[str]
    class_names: ClassVar[tuple[str, ...]]
    folder: str
    n_train: int = 0
    classes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.folder:
            raise OptionError(f"folder is where the files of {self.name} lie; it is empty")
        check_n_train(self.n_train)

    def load(self) -> Dataset:
        files = standard_files(self.folder, f"{self.name} is not downloaded by scoresde")
        images, labels = read_images(files, "path", "labels")
        others, other_labels = read_images(files, "test_path", "test_labels")
        for key, x, y in (("path", images, labels), ("test_path", others, other_labels)):
            if x.shape[1:] != (1, 28, 28) or x.dtype != np.uint8 or y.max() > 9:
                raise DataError(
                    f"{files[key]} holds {x.dtype} images {x.shape[1:]} with labels up "
                    f"to {int(y.max())}; {self.name} is uint8 (1, 28, 28) with labels 0..9; "
                    "read other files by the data set 'idx'"
                )
        ours = of_classes(labels, np.arange(len(images)), self.classes)
        ours = first(ours, self.n_train, self.name)
        theirs = of_classes(other_labels, np.arange(len(others)), self.classes)
        return Dataset(
            name=self.name,
            train=in_memory(images, ours, PIXELS),
            test=in_memory(others, theirs, PIXELS),
            scaling=PIXELS,
            attribution=self.attribution,
            train_labels=labels[torch.from_numpy(ours)],
            test_labels=other_labels[torch.from_numpy(theirs)],
            class_names=self.class_names,
        )


@dataclass(frozen=True, kw_only=True)
class MNIST(StandardImages):
    """Handwritten digits; options as for `StandardImages`.

    Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits.
    """

    name: ClassVar[str] = "mnist"
    attribution: ClassVar[str] = (
        "MNIST by Y. LeCun, C. Cortes and C. Burges; often stated as CC BY-SA 3.0"
    )
    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")
    folder: str = "../shared/data/mnist"


@dataclass(frozen=True, kw_only=True)
class FashionMNIST(StandardImages):
    """Pictures of garments; options as for `StandardImages`.

    H. Xiao, K. Rasul, R. Vollgraf (2017), Fashion-MNIST, arXiv:1708.07747, MIT licence.
    """

    name: ClassVar[str] = "fashion-mnist"
    attribution: ClassVar[str] = (
        "Fashion-MNIST by H. Xiao, K. Rasul and R. Vollgraf (Zalando SE), arXiv:1708.07747, MIT"
    )
    class_names: ClassVar[tuple[str, ...]] = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )
    folder: str = "../shared/data/fashion_mnist"
