"""IDX files to test with, written down by struct alone."""

import gzip
import struct

import numpy as np

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, size=(30, 4, 6), dtype=np.uint8)
LABELS = (np.arange(30) % 3).astype(np.uint8)


def content(array):
    """The format written down anew, with struct alone."""
    header = bytes([0, 0, CODES[array.dtype.str[1:]], array.ndim])
    sizes = b"".join(struct.pack(">I", n) for n in array.shape)
    return header + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def save(path, array, packed=False):
    path.write_bytes(gzip.compress(content(array)) if packed else content(array))
    return str(path)
