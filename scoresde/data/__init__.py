"""Data sets: `.load()` gives the splits in model space and the scaling that leads back."""

from scoresde.data.arrays import HDF5Array, NpzArray
from scoresde.data.dataset import Dataset
from scoresde.data.digits import Digits
from scoresde.data.scaling import Scaling
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
        "npz": NpzArray,
        "hdf5": HDF5Array,
    },
)

__all__ = [
    "DATASETS",
    "Checkerboard",
    "Circles",
    "Cos",
    "Dataset",
    "Digits",
    "EightGaussians",
    "HDF5Array",
    "Line",
    "Moons",
    "NpzArray",
    "Pinwheel",
    "Rings",
    "Scaling",
    "SwissRoll",
    "Toy",
    "TwoSpirals",
]
