"""The optical digits that ship with the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch

from scoresde.data.dataset import Dataset
from scoresde.data.scaling import Scaling
from scoresde.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Digits:
    """1,797 handwritten digits, (1, 8, 8), 17 grey levels; model space is [-1, 1].

    1,437 to train and 360 to test, by `torch.randperm(1797)` seeded with 0. Each grey level counts
    the ink in a block of 4x4 pixels: raw 0..16, model = raw / 8 - 1.

    E. Alpaydin, C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine Learning
    Repository, doi:10.24432/C50P49, CC BY 4.0.

    Raises:
        DataError: the file inside the package is missing or damaged.
    """

    def load(self) -> Dataset:
        path = Path(__file__).with_name("digits.h5")
        try:
            with h5py.File(path, "r") as file:
                images, labels = file["images"][()], file["labels"][()]
                train, test = file["train_index"][()], file["test_index"][()]
                attribution = str(file.attrs["attribution"])
        except (OSError, KeyError) as error:
            raise DataError(
                f"cannot read the digits in {path} ({error}); install the package again, or write "
                "the file with tools/make_digits.py"
            ) from error
        scaling = Scaling(shift=8.0, scale=8.0)
        x = torch.from_numpy(scaling.apply(images[:, None].astype(np.float32)))
        y = torch.from_numpy(labels.astype(np.int64))
        rows = torch.from_numpy(train.astype(np.int64)), torch.from_numpy(test.astype(np.int64))
        return Dataset(
            name="digits",
            train=x[rows[0]],
            test=x[rows[1]],
            scaling=scaling,
            attribution=attribution,
            train_labels=y[rows[0]],
            test_labels=y[rows[1]],
        )
