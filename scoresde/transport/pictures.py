"""Pictures of what was carried: data and latents, ways between samples, forward paths."""

from __future__ import annotations

import os
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scoresde.compare.panels import FAINT, INK, PALETTE, QUIET, draw_samples, mosaic
from scoresde.compare.report import save_picture
from scoresde.errors import DataError
from scoresde.processes import NoiseLevel

_DPI = 110
_SIDE = 3.2  # inches, of a panel
_SHOWN, _TRACKED, _ROWS, _COLUMNS = 2000, 6, 6, 9


def draw_transport(
    path: str | os.PathLike,
    data: np.ndarray,
    latents: np.ndarray,
    errors: np.ndarray | None = None,
    *,
    title: str,
) -> None:
    """Data beside their latents, row by row in one colour, and the round trip's errors.

    data, latents: (n, d) or (n, c, h, w); errors (n,). Raises `DataError` for other events,
    `UsageError` where `path` cannot be written.
    """
    figure, panels = _figure(2 + (errors is not None), title)
    images = _is_image(data[0])
    for axes, name, rows in zip(panels, ("data", "latents"), (data, latents), strict=False):
        if images:
            draw_samples(axes, name, rows, rows, None, size=9.0, invert=True)
        elif data.shape[1] == 1:
            axes.hist(rows[:, 0], 48, color=PALETTE[0], histtype="stepfilled", alpha=0.7)
            _head(axes, name)
        else:
            axes.scatter(*rows[:_SHOWN, :2].T, s=5.0, c=_colours(data[:_SHOWN]), linewidths=0)
            _head(axes, name)
            axes.set_aspect("equal", adjustable="datalim")
    if not images and data.shape[1] > 1:
        for radius in (1.0, 2.0, 3.0):
            angle = np.linspace(0.0, 2.0 * np.pi, 100)
            circle = radius * np.cos(angle), radius * np.sin(angle)
            panels[1].plot(*circle, color=QUIET, linewidth=0.6, zorder=0)
    if errors is not None:
        logs = np.log10(np.maximum(errors, 1e-17))
        panels[2].hist(logs, 32, color=PALETTE[1], histtype="stepfilled", alpha=0.8)
        _head(panels[2], "log10 of the round trip's RMS error")
    save_picture(figure, path, _DPI)


def draw_ways(
    path: str | os.PathLike,
    samples: np.ndarray,
    latents: np.ndarray,
    *,
    title: str,
    cloud: np.ndarray | None = None,
) -> None:
    """Samples along ways (pairs, points, *event): strips of images, or curves of points.

    latents: of the same shape; cloud: data (n, d) in grey beneath curves. Raises as
    `draw_transport`.
    """
    if _is_image(samples[0, 0]):
        _strips(path, samples[:_ROWS], samples, title)
        return
    figure, panels = _figure(2, title)
    if cloud is not None and cloud.shape[1] > 1:
        panels[1].scatter(*cloud[:_SHOWN, :2].T, s=3.0, color=FAINT, linewidths=0, zorder=0)
    places = np.linspace(0.0, 1.0, samples.shape[1])
    for axes, name, ways in zip(panels, ("latents", "samples"), (latents, samples), strict=True):
        for k, way in enumerate(ways):
            flat = way.shape[1] == 1
            x, y = (places, way[:, 0]) if flat else way[:, :2].T
            colour = PALETTE[k % len(PALETTE)]
            axes.plot(x, y, "-o", color=colour, linewidth=1.0, markersize=2.5)
            axes.plot(x[[0, -1]], y[[0, -1]], "o", color=colour, markersize=6.0)
        _head(axes, name)
        if not flat:
            axes.set_aspect("equal", adjustable="datalim")
    save_picture(figure, path, _DPI)


def draw_paths(
    path: str | os.PathLike, states: np.ndarray, levels: Sequence[NoiseLevel], *, title: str
) -> None:
    """Forward paths (n, levels, *event) in model space over rising levels.

    Images: strips, each level at its own range. Points: the cloud and some paths at five levels,
    each scaled by its own deviation. Last, the deviation along the path beside the exact one,
    sqrt(alpha^2 v + sigma^2) with v the variance of the data, in a band of two standard errors.
    Raises as `draw_transport`.
    """
    if _is_image(states[0, 0]):
        wide = states.std(axis=(0, 2, 3, 4), keepdims=True) + 1e-12
        chosen = np.unique(np.linspace(0, len(levels) - 1, _COLUMNS).round().astype(int))
        scaled = (states - states.mean(axis=(0, 2, 3, 4), keepdims=True)) / wide
        _strips(path, scaled[:_ROWS, chosen], scaled[:, chosen], title)
        return
    n, d = len(states), states.shape[2]
    measured = states.var(axis=0).mean(axis=1) ** 0.5
    variance = states[:, 0].var(axis=0).mean() if levels[0].sigma == 0.0 else 0.0
    exact = np.array([(le.alpha**2 * variance + le.sigma**2) ** 0.5 for le in levels])
    if d == 1:
        figure, panels = _figure(2, title)
        _lines(panels[0], states[:40, :, 0], states[:, 0, 0].mean(), exact, levels)
    else:
        figure, panels = _figure(6, title)
        chosen = np.linspace(0, len(levels) - 1, 5).round().astype(int)
        for axes, k in zip(panels, chosen, strict=False):
            _clouds(axes, states / np.maximum(exact, 1e-300)[:, None], int(k))
            _head(axes, f"t = {levels[k].t:.3g}, σ/α = {levels[k].noise_ratio:.3g}")
    axes, places = panels[-1], np.arange(len(levels))
    # of the deviation's square, the data being given: 4 alpha^2 v sigma^2 + 2 sigma^4 over n d
    square = [4.0 * le.alpha**2 * variance * le.sigma**2 + 2.0 * le.sigma**4 for le in levels]
    error = np.sqrt(square) / np.maximum(exact, 1e-300) / np.sqrt(n * d)  # two standard errors
    axes.fill_between(places, exact - error, exact + error, color=PALETTE[0], alpha=0.25)
    axes.plot(places, exact, color=PALETTE[0], linewidth=1.0)
    axes.plot(places, measured, ".", color=PALETTE[1], markersize=4.0)
    if exact.max() > 20.0 * exact.min() > 0.0:
        axes.set_yscale("log")
    _head(axes, "deviation: exact (line), paths (dots)", ticks=True)
    save_picture(figure, path, _DPI)


def _clouds(axes: Axes, states: np.ndarray, k: int) -> None:
    axes.scatter(*states[:_SHOWN, k, :2].T, s=2.5, color=FAINT, linewidths=0, zorder=0)
    for i, track in enumerate(states[:_TRACKED, : k + 1, :2]):
        axes.plot(*track.T, color=PALETTE[i], linewidth=0.6, alpha=0.7)
        axes.plot(*track[-1], "o", color=PALETTE[i], markersize=4.0)
    reach = 3.2
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_aspect("equal")


def _lines(axes: Axes, paths: np.ndarray, mean: float, exact: np.ndarray, levels) -> None:
    places = np.arange(len(levels))
    middle = mean * np.array([level.alpha for level in levels])
    axes.plot(places, paths.T, color=PALETTE[0], linewidth=0.5, alpha=0.5)
    for side in (-2.0, 2.0):
        axes.plot(places, middle + side * exact, color=PALETTE[1], linewidth=1.2)
    _head(axes, "paths; exact mean ± 2 deviations", ticks=True)


def _strips(path, rows: np.ndarray, all_rows: np.ndarray, title: str) -> None:
    """Rows (rows, columns, c, h, w) as one picture, in the range of all of them."""
    down, across = rows.shape[:2]
    figure = Figure(figsize=(0.75 * across + 0.3, 0.75 * down + 0.6), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    top = 1.0 - 0.42 / (0.75 * down + 0.6)
    figure.text(0.02, top + 0.02, title, size=9, weight="bold", color=INK)
    lo, hi = (float(v) for v in np.percentile(all_rows, [0.5, 99.5]))
    for i in range(down):
        for j in range(across):
            place = (0.02 + 0.96 * j / across, top * (1.0 - (i + 1) / down))
            axes = figure.add_axes((*place, 0.92 / across, 0.94 * top / down))
            tile = mosaic(rows[i, j][None], lo, max(hi, lo + 1e-12), invert=True)
            axes.imshow(tile, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
            axes.set_axis_off()
    save_picture(figure, path, _DPI)


def _is_image(event: np.ndarray) -> bool:
    if event.ndim not in (1, 3):
        raise DataError(
            f"events of shape {event.shape} cannot be drawn; needed is (d,) or (c, h, w)"
        )
    return event.ndim == 3


def _colours(data: np.ndarray) -> np.ndarray:
    """A colour a row by its angle about the mean, the same where the rows are the same."""
    middle = data[:, :2] - data[:, :2].mean(axis=0)
    turn = np.arctan2(middle[:, 1], middle[:, 0]) / (2.0 * np.pi) + 0.5
    return matplotlib.colormaps["hsv"](turn) * np.array([0.85, 0.85, 0.85, 1.0])


def _figure(count: int, title: str) -> tuple[Figure, list[Axes]]:
    columns = min(count, 3)
    lines = -(-count // columns)
    wide, high = columns * _SIDE + 0.3, lines * (_SIDE + 0.25) + 0.5
    figure = Figure(figsize=(wide, high), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.2 / wide, 1.0 - 0.3 / high, title, size=11, weight="bold", color=INK)
    panels = []
    for k in range(count):
        row, column = divmod(k, columns)
        left, top = 0.3 + column * _SIDE, 0.8 + row * (_SIDE + 0.25)
        place = (left / wide, 1.0 - (top + _SIDE - 0.35) / high)
        panels.append(figure.add_axes((*place, (_SIDE - 0.35) / wide, (_SIDE - 0.35) / high)))
    return figure, panels


def _head(axes: Axes, name: str, *, ticks: bool = False) -> None:
    axes.set_title(name, loc="left", size=9, color=INK, weight="bold", pad=4)
    axes.tick_params(colors=QUIET, labelsize=7, length=2 if ticks else 0)
    for spine in axes.spines.values():
        spine.set(color=FAINT, linewidth=0.8)
