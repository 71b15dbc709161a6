"""Folders of pictures: pixels, order, labels and splits, and every kind of odd file."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from scoresde.data import DATASETS
from scoresde.errors import DataError, OptionError

IMAGES = DATASETS["images"]
RNG = np.random.default_rng(0)


def pixels(height=4, width=6, channels=3):
    return RNG.integers(0, 256, size=(height, width, channels), dtype=np.uint8)


def save(path, array=None, **options):
    array = pixels() if array is None else array
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return array


def raw(data):
    """Pixels of both splits as they were, (n, height, width, channels)."""
    x = data.scaling.undo(torch.cat([data.train, data.test]).double())
    return x.round().byte().permute(0, 2, 3, 1).numpy()


def test_pixels_come_back_and_nothing_is_lost(tmp_path):
    written = [save(tmp_path / f"{n}.png") for n in range(10)]
    data = IMAGES(path=str(tmp_path), flip=True).load()
    assert data.event_shape == (3, 4, 6)
    assert data.flip
    assert data.classes == 0
    assert (len(data.train), len(data.test)) == (8, 2)
    found = {x.tobytes() for x in raw(data)}
    assert found == {x.tobytes() for x in written}
    assert data.train.min() >= -1
    assert data.train.max() <= 1
    values = torch.tensor(written[0]).permute(2, 0, 1) / 127.5 - 1
    assert min(float((x - values).abs().max()) for x in [*data.train, *data.test]) < 1e-7


def test_order_is_by_name_with_numbers_by_value(tmp_path):
    names = ["img10.png", "img2.png", "IMG1.PNG", "img1.png", "img02.png", "b.png"]
    ranks = ["IMG1.PNG", "b.png", "img1.png", "img02.png", "img2.png", "img10.png"]
    for folder in ("train", "test"):
        for name in names:
            save(tmp_path / folder / name, np.full((2, 2, 3), ranks.index(name), np.uint8))
    data = IMAGES(path=str(tmp_path)).load()
    assert raw(data)[:, 0, 0, 0].tolist() == [*range(6), *range(6)]


def test_class_folders_are_labels_in_the_order_of_their_names(tmp_path):
    for name, value in (("10", 3), ("9", 2), ("cat", 4), ("0", 1)):
        for n in range(5):
            save(tmp_path / name / f"{n}.png", np.full((3, 3, 3), value, np.uint8))
    (tmp_path / ".DS_Store").write_bytes(b"x")
    data = IMAGES(path=str(tmp_path)).load()
    assert data.class_names == ("0", "9", "10", "cat")
    assert data.classes == 4
    labels = torch.cat([data.train_labels, data.test_labels]).numpy()
    np.testing.assert_array_equal(raw(data)[:, 0, 0, 0], labels + 1)


def test_train_and_test_folders_are_the_splits(tmp_path):
    for split, count in (("train", 3), ("test", 2)):
        for label in ("x", "y"):
            for n in range(count):
                save(
                    tmp_path / split / label / f"{n}.png", np.full((2, 2, 3), 7 * count, np.uint8)
                )
    data = IMAGES(path=str(tmp_path)).load()
    assert data.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test_labels.tolist() == [0, 0, 1, 1]
    assert set(raw(data)[:6].flat) == {21}
    assert set(raw(data)[6:].flat) == {14}
    for file in (tmp_path / "test" / "y").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="y holds no pictures"):
        IMAGES(path=str(tmp_path)).load()
    (tmp_path / "test" / "y").rmdir()
    with pytest.raises(DataError, match="class 'y' is in one of train and test"):
        IMAGES(path=str(tmp_path)).load()


def test_grey_is_the_luma_of_the_colours(tmp_path):
    colour = save(tmp_path / "a.png")
    save(tmp_path / "b.png", pixels(channels=1)[..., 0])
    data = IMAGES(path=str(tmp_path), mode="L", train_fraction=0.5).load()
    assert data.event_shape == (1, 4, 6)
    expected = colour @ np.array([0.299, 0.587, 0.114])
    assert min(np.abs(x[..., 0] - expected).max() for x in raw(data)) <= 0.6  # whole numbers


def test_size_scales_the_shorter_side_and_crops_the_middle(tmp_path):
    ramp = np.broadcast_to(np.arange(0, 120, dtype=np.uint8)[None, :, None], (40, 120, 3))
    save(tmp_path / "wide.png", np.ascontiguousarray(ramp))
    save(tmp_path / "tall.png", np.ascontiguousarray(ramp.transpose(1, 0, 2)))
    data = IMAGES(path=str(tmp_path), size=10, train_fraction=0.5).load()
    assert data.event_shape == (3, 10, 10)
    centres = np.arange(41.5, 80, 4)  # four pixels to one, columns 40..79 of 120
    for image in raw(data)[..., 0].astype(float):
        along = image if np.ptp(image[0]) else image.T
        assert np.abs(along - centres).max() <= 1
    same = IMAGES(path=str(tmp_path), size=40, train_fraction=0.5).load()
    np.testing.assert_array_equal(
        sorted(raw(same)[:, 0, :2, 0].tolist()), sorted([[40, 41], [40, 40]])
    )


def test_pictures_of_several_sizes_are_named(tmp_path):
    save(tmp_path / "a.png")
    save(tmp_path / "b.png", pixels(8, 5))
    with pytest.raises(DataError) as caught:
        IMAGES(path=str(tmp_path), train_fraction=0.5).load()
    for words in ("a.png is 6 x 4", "b.png 5 x 8", "option size"):
        assert words in str(caught.value)


def _jpeg(**options):
    buffer = io.BytesIO()
    Image.fromarray(pixels()).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def test_an_exif_orientation_is_heeded_and_an_opaque_alpha_left_out(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    (tmp_path / "a.jpg").write_bytes(_jpeg(exif=exif))
    save(tmp_path / "b.png", np.concatenate([pixels(6, 4), np.full((6, 4, 1), 255, np.uint8)], 2))
    assert IMAGES(path=str(tmp_path), train_fraction=0.5).load().event_shape == (3, 6, 4)


def _gif(path):
    frames = [Image.fromarray(pixels()) for _ in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def _deep_colour(path):
    import struct
    import zlib

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    rows = b"".join(b"\0" + RNG.bytes(6 * 6) for _ in range(4))
    head = struct.pack(">IIBBBBB", 6, 4, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


ODD = {
    "text.png": (lambda p: p.write_text("hello"), "cannot read"),
    "empty.png": (lambda p: p.write_bytes(b""), "cannot read"),
    "cut.jpg": (lambda p: p.write_bytes(_jpeg()[:-60]), "cannot read"),
    "notes.txt": (lambda p: p.write_text("hello"), "no picture by its name"),
    "clear.png": (lambda p: save(p, pixels(channels=4) // 2), "transparent pixels"),
    "moving.gif": (_gif, "has 3 frames"),
    "deep.png": (lambda p: save(p, np.full((4, 6), 4000, np.uint16)), "8 bits a channel"),
    "deep_colour.png": (_deep_colour, "mode RGB of 16 bits"),
    "float.tiff": (lambda p: save(p, np.full((4, 6), 0.5, np.float32)), "mode F"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_named(tmp_path, name):
    make, words = ODD[name]
    save(tmp_path / "a.png")
    make(tmp_path / name)
    with pytest.raises(DataError) as caught:
        IMAGES(path=str(tmp_path), train_fraction=0.5).load()
    assert words in str(caught.value)
    assert name in str(caught.value)


def test_odd_folders(tmp_path):
    with pytest.raises(DataError, match="there is no folder"):
        IMAGES(path=str(tmp_path / "none")).load()
    with pytest.raises(DataError, match="holds no pictures"):
        IMAGES(path=str(tmp_path)).load()
    save(tmp_path / "a.png")
    with pytest.raises(DataError, match="leaves a split empty"):
        IMAGES(path=str(tmp_path)).load()
    (tmp_path / "class").mkdir()
    with pytest.raises(DataError, match=r"folders of classes, and beside them a\.png"):
        IMAGES(path=str(tmp_path)).load()
    (tmp_path / "a.png").rename(tmp_path / "class" / "a.png")
    (tmp_path / "class" / "deeper").mkdir()
    with pytest.raises(DataError, match="deeper is no picture"):
        IMAGES(path=str(tmp_path)).load()
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="train or test there is the other one"):
        IMAGES(path=str(tmp_path)).load()


@pytest.mark.parametrize(
    "options",
    [{"path": ""}, {"mode": "CMYK"}, {"size": 0}, {"size": True}, {"train_fraction": 1.5}],
)
def test_options_out_of_range(options):
    with pytest.raises(OptionError):
        IMAGES(**{"path": "x"} | options)
