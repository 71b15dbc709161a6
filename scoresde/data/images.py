"""A folder of pictures."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from PIL import Image, ImageOps

from scoresde.data.arrays import in_memory
from scoresde.data.dataset import Dataset
from scoresde.data.scaling import PIXELS
from scoresde.data.splits import check_split, split
from scoresde.errors import DataError, OptionError
from scoresde.families import unknown

Mode = Literal["RGB", "L"]
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
EIGHT_BITS = ("1", "L", "P", "RGB", "YCbCr", "CMYK", "HSV", "LAB")
WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")


@dataclass(frozen=True, kw_only=True)
class Images:
    """Pictures in a folder as events (channels, height, width), model = raw / 127.5 - 1.

    path: a folder of pictures; or of folders of pictures, which are the classes, labelled from 0
    in the order of their names; or of `train` and `test`, each like one of these. Without those
    two, 1 - train_fraction of the pictures are split off by the seed. Names are in the order of
    the alphabet, numbers within them by value; names that begin with a dot are passed over.
    mode: "RGB", or "L" for grey (0.299 R + 0.587 G + 0.114 B, ITU-R BT.601).
    size: bring the shorter side to this length (bicubic, antialiased) and crop a square about the
    middle; left out: as they are, all of one size.  flip: may be mirrored in training.

    A picture is turned as its EXIF orientation says; an alpha channel that is opaque is left out.

    Raises:
        OptionError: an option out of its range.
        DataError: a folder without pictures, or a file that is damaged, no picture, of several
            frames, of more than 8 bits a channel, transparent, or of another size.
    """

    path: str
    mode: Mode = "RGB"
    size: int | None = None
    train_fraction: float = 0.8
    flip: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.path:
            raise OptionError("path names the folder of pictures; it is empty")
        if self.mode not in get_args(Mode):
            raise OptionError(unknown("mode", self.mode, list(get_args(Mode))))
        if self.size is not None and (isinstance(self.size, bool) or self.size < 1):
            raise OptionError(f"size is a side in pixels, at least 1, got {self.size}")
        check_split(self.train_fraction, self.seed)

    def load(self) -> Dataset:
        root = Path(self.path)
        if not root.is_dir():
            raise DataError(f"there is no folder {self.path}")
        folders = [entry.name for entry in _entries(root) if entry.is_dir()]
        parted = {"train", "test"} & set(folders)
        if (parted and len(_entries(root)) != 2) or len(parted) == 1:
            raise DataError(
                f"{root} holds {', '.join(entry.name for entry in _entries(root)[:5])}; beside a "
                "folder train or test there is the other one and nothing else"
            )
        if parted:
            (files, names), (others, other_names) = _find(root / "train"), _find(root / "test")
            if names != other_names:
                odd = sorted(set(names) ^ set(other_names))
                raise DataError(f"{root}: class {odd[0]!r} is in one of train and test alone")
            files += others
            ours, theirs = np.split(np.arange(len(files)), [len(files) - len(others)])
        else:
            files, names = _find(root)
            fraction, seed = self.train_fraction, self.seed
            ours, theirs = split(len(files), fraction, seed, str(root), "folders train and test")
        pixels = self._read([file for file, _ in files])
        labels = torch.tensor([label for _, label in files]) if names else None
        return Dataset(
            name=root.resolve().name,
            train=in_memory(pixels, ours, PIXELS),
            test=in_memory(pixels, theirs, PIXELS),
            scaling=PIXELS,
            attribution=f"the user's folder {self.path}",
            train_labels=None if labels is None else labels[torch.from_numpy(ours)],
            test_labels=None if labels is None else labels[torch.from_numpy(theirs)],
            flip=self.flip,
            class_names=names,
        )

    def _read(self, files: list[Path]) -> np.ndarray:
        """uint8 (n, channels, height, width)."""
        first = self._pixels(files[0])
        out = np.empty((len(files), *first.shape), dtype=np.uint8)
        for n, file in enumerate(files):
            pixels = self._pixels(file) if n else first
            if pixels.shape != first.shape:
                (h, w), (height, width) = first.shape[1:], pixels.shape[1:]
                raise DataError(
                    f"pictures of several sizes: {files[0]} is {w} x {h} and {file} {width} x "
                    f"{height}; bring them to one by the option size"
                )
            out[n] = pixels
        return out

    def _pixels(self, file: Path) -> np.ndarray:
        try:
            with Image.open(file) as image:
                image = _plain(image, file).convert(self.mode)
        except DataError:
            raise
        except Exception as error:  # a decoder may raise anything on what is damaged
            raise DataError(f"cannot read {file} as a picture: {error}") from error
        if self.size is not None:
            image = _square(image, self.size)
        return np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)


def _entries(folder: Path) -> list[Path]:
    """What a folder holds, hidden names aside, in an order that no file system changes."""
    return sorted((e for e in folder.iterdir() if e.name[:1] != "."), key=lambda e: _key(e.name))


def _key(name: str) -> tuple:
    """Text by the alphabet, runs of digits by value, the name itself to settle ties."""
    parts = re.split(r"([0-9]+)", unicodedata.normalize("NFC", name))
    return [int(p) if p.isdigit() and p.isascii() else p for p in parts], name


def _find(folder: Path) -> tuple[list[tuple[Path, int]], tuple[str, ...]]:
    """([(file, label)], names of the classes, none where the folder itself holds pictures)."""
    entries = _entries(folder)
    classes = [entry for entry in entries if entry.is_dir()]
    if not classes:
        return [(file, 0) for file in _pictures(folder)], ()
    if len(classes) < len(entries):
        file = next(entry for entry in entries if not entry.is_dir())
        raise DataError(f"{folder} holds folders of classes, and beside them {file.name}")
    files = [(file, k) for k, entry in enumerate(classes) for file in _pictures(entry)]
    return files, tuple(entry.name for entry in classes)


def _pictures(folder: Path) -> list[Path]:
    files = _entries(folder)
    for file in files:
        if not file.is_file() or file.suffix.lower() not in SUFFIXES:
            raise DataError(
                f"{file} is no picture by its name ({', '.join(SUFFIXES)}); move it elsewhere"
            )
    if not files:
        raise DataError(f"the folder {folder} holds no pictures")
    return files


def _plain(image: Image.Image, file: Path) -> Image.Image:
    """The picture upright, in 8 bits and opaque, or the `DataError` that says what it is."""
    if getattr(image, "n_frames", 1) > 1:
        raise DataError(f"{file} has {image.n_frames} frames; save the one that is meant")
    deep = any(";16" in str(tile) for tile in image.tile)  # else cut to 8 bits without a word
    alpha = image.mode in WITH_ALPHA or "transparency" in image.info
    if deep or image.mode not in (*EIGHT_BITS, *WITH_ALPHA):
        raise DataError(
            f"{file} has the mode {image.mode}{' of 16 bits' if deep else ''}; pictures of 8 bits "
            "a channel are read, deeper ones as an npz or hdf5 array"
        )
    image = ImageOps.exif_transpose(image)
    if alpha:
        image = image.convert("RGBA")
        if image.getextrema()[3][0] < 255:
            raise DataError(f"{file} has transparent pixels; lay it on a background first")
    return image


def _square(image: Image.Image, size: int) -> Image.Image:
    width, height = image.size
    scale = size / min(width, height)
    width, height = max(size, round(width * scale)), max(size, round(height * scale))
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))
