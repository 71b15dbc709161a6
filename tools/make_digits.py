"""Write scoresde/data/digits.h5 from scikit-learn's bundled copy of the UCI optical digits.

    python tools/make_digits.py [target]

scikit-learn is needed here only. Its copy is the test set of the UCI original, unchanged: 1,797
images of 8x8 counts 0..16. The split is drawn once and stored, so that it holds for every reader.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import h5py
import numpy as np
import torch
from sklearn.datasets import load_digits

N_TRAIN = 1437
ATTRIBUTES = {
    "attribution": (
        "E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, "
        "UCI Machine Learning Repository, https://doi.org/10.24432/C50P49, CC BY 4.0"
    ),
    "licence": "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
    "source": "the test set of the UCI original, as bundled with scikit-learn (load_digits)",
    "changes": "stored as uint8; split by torch.randperm(1797) seeded with 0, 1437 to train",
}


def write(target: Path) -> str:
    """Write the file; returns the SHA-256 of the images' bytes followed by the labels'."""
    bundle = load_digits()
    images, labels = bundle.images.astype(np.uint8), bundle.target.astype(np.uint8)
    if not np.array_equal(images, bundle.images):
        raise SystemExit("scikit-learn's digits are not whole numbers: is this the same data set?")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0)).numpy()
    columns = {
        "images": images,
        "labels": labels,
        "train_index": order[:N_TRAIN].astype(np.uint16),
        "test_index": order[N_TRAIN:].astype(np.uint16),
    }
    with h5py.File(target, "w") as file:
        file.attrs.update(ATTRIBUTES)
        for name, column in columns.items():
            file.create_dataset(name, data=column, compression="gzip", compression_opts=9)
    return hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()


if __name__ == "__main__":
    default = Path(__file__).resolve().parent.parent / "scoresde" / "data" / "digits.h5"
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    print(f"{path}  sha256 of images and labels {write(path)}")
