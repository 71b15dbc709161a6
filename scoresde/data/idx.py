"""The IDX format of the MNIST files: a big-endian header, then the elements."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from scoresde.data.arrays import check_file
from scoresde.errors import DataError

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP = b"\x1f\x8b"


def read_idx(path: str | Path) -> np.ndarray:
    """The array of an IDX file, plain or gzipped (told by its content), in native byte order,
    read-only where it need not be turned.

    Bytes: 0, 0, the code of the dtype, the number of dimensions; then each size as a big-endian
    uint32; then the elements, row by row. (Y. LeCun, C. Cortes, C. Burges, The MNIST database.)

    Raises:
        DataError: no such file, damaged gzip, a foreign header, or a length that is not what the
            header says.
    """
    content = _content(Path(path))
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in DTYPES or not content[3]:
        codes = ", ".join(f"{code:02x}" for code in DTYPES)
        raise DataError(
            f"{path} is no IDX file: it begins with {content[:4].hex(' ') or 'nothing'}, and "
            f"should with 00 00, a dtype's code ({codes}) and the number of dimensions"
        )
    dtype, rank = np.dtype(DTYPES[content[2]]), content[3]
    begin = 4 + 4 * rank
    if len(content) < begin:
        raise DataError(f"{path} ends within its header of {begin} bytes; fetch the file again")
    shape = struct.unpack(f">{rank}I", content[4:begin])
    wanted, there = math.prod(shape) * dtype.itemsize, len(content) - begin
    if wanted != there:
        raise DataError(
            f"{path}: its header says {dtype.name} of shape {shape}, {wanted} bytes, and "
            f"{there} follow; fetch the file again"
        )
    array = np.frombuffer(content, dtype, offset=begin).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _content(path: Path) -> bytes:
    check_file(path)
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == GZIP else content
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}; fetch the file again") from error
