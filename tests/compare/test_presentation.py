"""Table and picture."""

import io
import sys

import numpy as np
import pytest
from made_dump import dump
from matplotlib.image import imread
from rich.console import Console

from scoresde.compare import Estimate, compare
from scoresde.compare.panels import mosaic
from scoresde.compare.report import report
from scoresde.compare.tables import evaluations, rich_table, text_cells, value_and_interval
from scoresde.errors import DataError, UsageError


@pytest.fixture
def comparison():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(30, 2))
    near = dump(x + 0.01 * rng.normal(size=x.shape), sampler="heun")
    part = dump(x[:20], sampler="langevin", stochastic=True, total=30)
    return compare(dump(x), {"heun 10": near, "langevin 10": part}, resamples=40)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.41234, 0.39876, 0.43111), ("0.412", "[0.399, 0.431]")),
        ((1.2345e-5, 1.18e-5, 1.29e-5), ("1.23e-05", "[1.18, 1.29]e-05")),
        ((-0.0012, -0.031, 0.028), ("-0.001", "[-0.031, 0.028]")),
        ((123456.0, 120000.0, 130000.0), ("1.23e+05", "[1.20, 1.30]e+05")),
        ((412.0, 300.0, 520.0), ("412", "[300, 520]")),
        ((0.5, None, None), ("0.500", "")),
        ((0.0, 0.0, 0.0), ("0", "[0, 0]")),
    ],
)
def test_figures_show_what_the_interval_warrants(numbers, text):
    assert value_and_interval(Estimate(*numbers)) == text


def test_evaluations():
    assert [evaluations(nfe) for nfe in (20.0, 20.37, None)] == ["20", "20.4", "–"]


def test_table_shows_every_figure_floor_and_note(comparison):
    out = io.StringIO()
    Console(file=out, width=160).print(rich_table(comparison))
    shown = out.getvalue()
    for row in comparison.rows:
        for entry in row.entries.values():
            if entry.estimate:
                assert all(part in shown for part in value_and_interval(entry.estimate))
    assert "15 against 15" in shown
    assert "langevin 10: unfinished dump, 20 of 30 rows used" in shown
    assert "no paired RMS of langevin 10: stochastic" in shown
    head, rows = text_cells(comparison)
    assert [len(row) for row in rows] == [len(head)] * 3
    assert rows[1][-1] == "–"


def test_mosaic_places_samples_in_reading_order():
    samples = np.arange(5.0)[:, None, None, None] * np.ones((5, 1, 8, 4))
    picture = mosaic(samples, 0.0, 4.0, invert=False)
    assert picture.shape == (3 * 9 - 1, 3 * 5 - 1)
    assert picture[0, 5] == 0.25
    assert picture[9, 0] == 0.75
    assert picture[8].tolist() == [1.0] * 14  # the gap
    assert mosaic(samples, 0.0, 4.0, invert=True)[0, 5] == 0.75
    assert mosaic(np.zeros((2, 3, 8, 8)), 0.0, 1.0, invert=True)[0, 0].tolist() == [0.0] * 3


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "shape",
    [
        (12, 1, 8, 8),
        pytest.param((12, 3, 8, 8), marks=SLOW),
        (12, 2),
        pytest.param((12, 1), marks=SLOW),
    ],
)
def test_report_gives_a_sampler_one_colour_throughout(tmp_path, comparison, shape):
    rng = np.random.default_rng(1)
    grids = {"reference": rng.normal(size=shape), "heun 10": rng.normal(size=shape)}
    line = comparison.errors()[0]
    errors = [line, {**line, "nfe": 5, "value": 0.1, "lo": None, "hi": None}]
    table = text_cells(comparison)
    report(tmp_path / "a.png", grids=grids, errors=errors, title="A title", table=table)
    picture = imread(tmp_path / "a.png")
    assert picture.shape[1] == 1800
    blue = np.abs(picture[:, :, :3] - np.array([0x24, 0x57, 0xC5]) / 255).max(axis=2) < 0.02
    columns = np.nonzero(blue)[1]
    assert blue[:, :300].any()  # the name of the sampler in the table
    assert blue[:, 900:].any()  # its line
    assert columns.max() < 1800 - 30  # the name beside the line stays on the page


def test_report_depends_on_its_content_only(tmp_path):
    loaded = set(sys.modules)
    errors = [{"sampler": "exact", "nfe": 5, "value": 0.0, "lo": 0.0, "hi": 0.0}]
    for name in ("a.png", "b.png"):
        report(tmp_path / name, grids={"x": np.eye(5)}, errors=errors, title="T")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert "matplotlib.pyplot" not in set(sys.modules) - loaded


def test_report_without_errors_or_table(tmp_path):
    report(tmp_path / "a.png", grids={"x": np.eye(4)}, title="No errors")
    picture = imread(tmp_path / "a.png")
    assert picture.shape[1] == 1800
    assert picture.min() < 0.2


def test_report_refuses_what_it_cannot_draw_or_write(tmp_path):
    with pytest.raises(DataError, match="at least one candidate"):
        report(tmp_path / "a.png", grids={}, title="")
    with pytest.raises(DataError, match=r"'x' of shape \(3, 4, 5\)"):
        report(tmp_path / "a.png", grids={"x": np.zeros((3, 4, 5))}, title="")
    with pytest.raises(UsageError, match="cannot write the picture"):
        report(tmp_path / "no" / "a.png", grids={"x": np.ones((3, 2))}, title="")
