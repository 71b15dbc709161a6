"""The picture of a comparison: samples of each candidate, error against evaluations, the table."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scoresde.compare.panels import (
    FAINT,
    INK,
    PALETTE,
    QUIET,
    draw_errors,
    draw_samples,
    draw_table,
    title_size,
)
from scoresde.errors import DataError, UsageError

_WIDTH = 12.0  # inches; at 150 dots an inch 1,800 pixels, meant to be read at 1,200
_DPI = 150
_MARGIN, _HEAD, _LINE, _GAP = 0.45, 1.0, 0.235, 0.32  # inches
_PANEL_HEAD, _GUTTER = 0.32, 0.18
_ERRORS_WIDTH = 4.7


def report(
    path: str | os.PathLike,
    *,
    grids: Mapping[str, np.ndarray],
    errors: Sequence[Mapping[str, object]] = (),
    title: str,
    subtitle: str = "",
    table: tuple[Sequence[str], Sequence[Sequence[str]]] | None = None,
    error_label: str = "paired RMS error",
    invert: bool = True,
) -> None:
    """Write a PNG.

    grids: samples by name, (n, c, h, w) as tiles of images or (n, d) as points (the first of the
    names is the reference, shown in grey beneath the others); where rows are paired, equal places
    show equal starts. errors: dicts of sampler, nfe, value, lo, hi (`Comparison.errors`); a grid
    whose name begins with a sampler's bears its colour. table: head and rows
    (`tables.text_cells`). invert: one-channel images dark on light.

    Raises DataError for no grids or arrays that cannot be drawn, UsageError if `path` cannot be
    written.
    """
    arrays = {str(name): np.asarray(samples) for name, samples in grids.items()}
    if not arrays:
        raise DataError("a report needs the samples of at least one candidate in `grids`")
    colours = {
        name: PALETTE[place % len(PALETTE)]
        for place, name in enumerate(dict.fromkeys(str(error["sampler"]) for error in errors))
    }
    width = _WIDTH - 2 * _MARGIN - (_ERRORS_WIDTH if errors else 0.0)
    columns, side = _columns(len(arrays), width, 4.9 if errors else 5.5)
    lines = -(-len(arrays) // columns)
    body = max(lines * (side + _PANEL_HEAD), 4.0 if errors else 0.0)
    below = _LINE * (len(table[1]) + 1) + _GAP if table else 0.0
    height = _HEAD + body + below + _MARGIN
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)

    def axes(left: float, top: float, wide: float, high: float):
        """Axes placed in inches from the upper left corner."""
        place = (left / _WIDTH, 1.0 - (top + high) / height, wide / _WIDTH, high / height)
        return figure.add_axes(place)

    _heading(figure, title, subtitle, height)
    first, size = next(iter(arrays.values())), title_size(arrays, side)
    for place, (name, samples) in enumerate(arrays.items()):
        row, column = divmod(place, columns)
        top = _HEAD + row * (side + _PANEL_HEAD) + _PANEL_HEAD
        panel = axes(_MARGIN + column * (side + _GUTTER), top, side, side)
        draw_samples(panel, name, samples, first, _colour(name, colours), size=size, invert=invert)
    if errors:
        left = _MARGIN + columns * (side + _GUTTER) + 0.75
        top = _HEAD + _PANEL_HEAD
        panel = axes(left, top, _WIDTH - _MARGIN - left, min(body, 5.2) - 0.8)
        draw_errors(panel, errors, colours, error_label)
    if table:
        panel = axes(_MARGIN, _HEAD + body + _GAP, _WIDTH - 2 * _MARGIN, below - _GAP)
        draw_table(panel, *table, colour_of=lambda name: _colour(name, colours))
    save_picture(figure, path)


def _columns(count: int, width: float, tallest: float) -> tuple[int, float]:
    """(columns, side of a panel in inches): the largest panels that fit, at least an inch wide."""
    best = (1, 0.0)
    for columns in range(1, count + 1):
        across = (width + _GUTTER) / columns - _GUTTER
        down = tallest / -(-count // columns) - _PANEL_HEAD
        best = max(best, (columns, min(across, down, 3.4)), key=lambda choice: choice[1])
    return best if best[1] >= 1.0 else (6, (width + _GUTTER) / 6 - _GUTTER)


def _heading(figure: Figure, title: str, subtitle: str, height: float) -> None:
    left = _MARGIN / _WIDTH
    figure.text(left, 1 - 0.48 / height, title, size=17, weight="bold", color=INK, va="baseline")
    figure.text(left, 1 - 0.76 / height, subtitle, size=10.5, color=QUIET, va="baseline")
    rule = 1 - 0.9 / height
    figure.add_artist(Line2D([left, 1.0 - left], [rule, rule], color=FAINT, linewidth=0.8))


def _colour(name: str, colours: Mapping[str, str]) -> str | None:
    """That of the longest sampler name with which `name` begins."""
    fitting = [sampler for sampler in colours if name.startswith(sampler)]
    return colours[max(fitting, key=len)] if fitting else None


def save_picture(figure: Figure, path: str | os.PathLike, dpi: float = _DPI) -> None:
    """Write a figure as PNG, the same bytes each time; raises `UsageError` where it cannot."""
    try:
        figure.savefig(path, dpi=dpi, format="png", metadata={"Software": None})
    except OSError as error:
        raise UsageError(
            f"cannot write the picture {os.fspath(path)}: {error.strerror or error}; "
            "name a file in a folder that can be written"
        ) from error
