"""Data sets: `.load()` gives the splits in model space and the scaling that leads back."""

from scoresde.data.arrays import NpzArray
from scoresde.data.dataset import Dataset, Rows
from scoresde.data.digits import Digits
from scoresde.data.hdf5 import HDF5Array
from scoresde.data.idx_images import IDX
from scoresde.data.images import Images
from scoresde.data.mnist import MNIST, FashionMNIST
from scoresde.data.scaling import Scaling
from scoresde.data.table import Table
from scoresde.data.toy import (
    Checkerboard,
    Circles,
    Cos,
    EightGaussians,
    Line,
    Moons,
    Pinwheel,
    Rings,
    SwissRoll,
    Toy,
    TwoSpirals,
)
from scoresde.families import Family

DATASETS = Family(
    "data set",
    {
        "8gaussians": EightGaussians,
        "2spirals": TwoSpirals,
        "checkerboard": Checkerboard,
        "rings": Rings,
        "circles": Circles,
        "moons": Moons,
        "swissroll": SwissRoll,
        "pinwheel": Pinwheel,
        "line": Line,
        "cos": Cos,
        "digits": Digits,
        "mnist": MNIST,
        "fashion-mnist": FashionMNIST,
        "idx": IDX,
        "images": Images,
        "table": Table,
        "npz": NpzArray,
        "hdf5": HDF5Array,
    },
)

__all__ = [
    "DATASETS",
    "IDX",
    "MNIST",
    "Checkerboard",
    "Circles",
    "Cos",
    "Dataset",
    "Digits",
    "EightGaussians",
    "FashionMNIST",
    "HDF5Array",
    "Images",
    "Line",
    "Moons",
    "NpzArray",
    "Pinwheel",
    "Rings",
    "Rows",
    "Scaling",
    "SwissRoll",
    "Table",
    "Toy",
    "TwoSpirals",
]
