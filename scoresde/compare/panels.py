"""The panels of a report: tiles or points of samples, error curves, a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from scoresde.errors import DataError

INK, QUIET, FAINT = "#17202b", "#66707c", "#d9dde3"
# Told apart by people with any colour vision: differ in lightness as well as in hue.
PALETTE = (
    "#2457c5", "#e0642b", "#14907c", "#9b4fc4", "#c99400", "#c43a68", "#4f9fd8", "#6b7f1e",
    "#8a5a36", "#6b7684",
)  # fmt: skip
_TILES = 6
_LETTER = 0.078  # inches, about the width of a bold letter of size 9
_POINTS = 2000


def title_size(names: Iterable[str], wide: float) -> float:
    """The size in points at which the longest of the names fits a panel `wide` inches wide."""
    longest = max(map(len, names), default=1)
    return max(5.0, min(9.5, 9.0 * wide / (_LETTER * max(longest, 1))))


def draw_samples(
    axes: Axes,
    name: str,
    samples: np.ndarray,
    first: np.ndarray,
    colour: str | None,
    *,
    size: float,
    invert: bool,
) -> None:
    """Tiles of images (n, c, h, w) or points (n, d) of one candidate; `first` sets the range.

    `size` is the title's, in points.

    Raises DataError for other shapes, and for no samples.
    """
    if len(samples) == 0 or samples.ndim not in (2, 4):
        raise DataError(
            f"samples {name!r} of shape {samples.shape} cannot be drawn; "
            "needed is (n, c, h, w) or (n, d) with n > 0"
        )
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=FAINT, linewidth=0.8)
    axes.set_title(name, loc="left", size=size, color=colour or INK, weight="bold", pad=4)
    if samples.ndim == 4:
        lo, hi = np.percentile(first, [0.5, 99.5])
        picture = mosaic(samples, float(lo), float(max(hi, lo + 1e-12)), invert=invert)
        axes.imshow(picture, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
        axes.set_anchor("NW")
        axes.set_frame_on(False)
    else:
        _points(axes, samples, first, colour or INK)


def mosaic(samples: np.ndarray, lo: float, hi: float, *, invert: bool) -> np.ndarray:
    """Up to 6 x 6 samples (n, c, h, w), lo..hi as 0..1, as one picture (H, W) or (H, W, 3)."""
    across = min(_TILES, int(np.ceil(np.sqrt(len(samples)))))
    channels, high, wide = samples.shape[1:]
    colour = channels == 3
    shown = samples[: across * across, :3] if colour else samples[: across * across, :1]
    shown = np.clip((shown.astype(np.float64) - lo) / (hi - lo), 0.0, 1.0)
    if invert and not colour:
        shown = 1.0 - shown
    gap = max(1, round(0.06 * wide))
    tall, long = across * (high + gap) - gap, across * (wide + gap) - gap
    picture = np.ones((tall, long, shown.shape[1]))
    for place, tile in enumerate(shown):
        row, column = divmod(place, across)
        top, left = row * (high + gap), column * (wide + gap)
        picture[top : top + high, left : left + wide] = np.moveaxis(tile, 0, -1)
    return picture if colour else picture[:, :, 0]


def _points(axes: Axes, samples: np.ndarray, first: np.ndarray, colour: str) -> None:
    lo, hi = np.percentile(first[:, :2], [0.5, 99.5], axis=0)
    middle, reach = (lo + hi) / 2.0, 0.62 * float((hi - lo).max() or 1.0)
    if samples.shape[1] == 1:
        edges = np.linspace(middle[0] - reach, middle[0] + reach, 49)
        axes.hist(first[:, 0], edges, color=FAINT, density=True)
        axes.hist(samples[:, 0], edges, color=colour, density=True, histtype="step")
        return
    if samples is not first:
        axes.scatter(*first[:_POINTS, :2].T, s=3.0, color=FAINT, linewidths=0, zorder=1)
    size = 3.0 if len(samples) > 500 else 6.0
    axes.scatter(
        *samples[:_POINTS, :2].T, s=size, color=colour, alpha=0.65, linewidths=0, zorder=2
    )
    axes.set_xlim(middle[0] - reach, middle[0] + reach)
    axes.set_ylim(middle[1] - reach, middle[1] + reach)
    axes.set_aspect("equal")


def draw_errors(
    axes: Axes, errors: Sequence[Mapping], colours: Mapping[str, str], label: str
) -> None:
    """Value against evaluations, log-log, a line a sampler with its intervals and its name."""
    drawn = [error for error in errors if error["value"] > 0.0 and error["nfe"]]
    ends = []
    for sampler, colour in colours.items():
        line = sorted((e for e in drawn if str(e["sampler"]) == sampler), key=lambda e: e["nfe"])
        if not line:
            continue
        nfe, value = (np.array([e[key] for e in line], dtype=float) for key in ("nfe", "value"))
        lo, hi = (
            np.array([e["value"] if e[key] is None else e[key] for e in line], dtype=float)
            for key in ("lo", "hi")
        )
        lo = np.maximum(lo, 1e-3 * value)  # a logarithmic axis has no room for 0
        axes.fill_between(nfe, lo, hi, color=colour, alpha=0.15, linewidth=0, zorder=2)
        axes.errorbar(
            nfe, value, (value - lo, hi - value),
            color=colour, linewidth=1.8, elinewidth=1.0, capsize=2.5, marker="o", markersize=4.5,
            markeredgecolor="white", markeredgewidth=0.7, zorder=3,
        )  # fmt: skip
        ends.append((value[-1], nfe[-1], sampler, colour))
    axes.set_xscale("log")
    axes.set_yscale("log")
    budgets = sorted({float(e["nfe"]) for e in drawn})
    axes.xaxis.set_major_locator(FixedLocator(_spread(budgets)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:g}"))
    axes.grid(axis="y", color=FAINT, linewidth=0.7, zorder=0)
    axes.tick_params(colors=QUIET, labelsize=9, length=0, which="both")
    for side, spine in axes.spines.items():
        spine.set(visible=side == "bottom", color=FAINT)
    axes.set_xlabel("model evaluations", size=9.5, color=QUIET, labelpad=5)
    axes.set_title(label, loc="left", size=9.5, color=INK, weight="bold", pad=4)
    if budgets:
        span = max(budgets[-1] / budgets[0], 1.5)
        wide = axes.get_position().width * axes.figure.get_figwidth()
        room = min(0.03 + _LETTER * max(len(end[2]) for end in ends) / wide, 0.6)
        axes.set_xlim(budgets[0] / span**0.06, budgets[-1] * span ** (1.06 * room / (1.0 - room)))
    _name_lines(axes, ends)


def _spread(budgets: list[float]) -> list[float]:
    """The budgets, less those within a twelfth of the axis of one already kept."""
    kept: list[float] = []
    span = np.log(budgets[-1] / budgets[0]) if budgets else 0.0
    for budget in budgets:
        if not kept or np.log(budget / kept[-1]) > span / 12.0:
            kept.append(budget)
    return kept


def _name_lines(axes: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Names to the right of the lines, moved apart where they would touch."""
    lo, hi = np.log(axes.get_ylim())
    height = max((np.log(end[0]) - lo) / (hi - lo) for end in ends) if ends else 0.0
    apart, ceiling = 0.055, max(height, 0.0) + 0.055
    left, right = np.log(axes.get_xlim())
    last = max((np.log(end[1]) for end in ends), default=left)
    x = (last - left) / (right - left) + 0.03
    for value, nfe, sampler, colour in sorted(ends, reverse=True):
        y = min((np.log(value) - lo) / (hi - lo), ceiling - apart)
        ceiling = y
        axes.annotate(
            sampler, (nfe, value), xytext=(x, y), textcoords=axes.transAxes, size=9,
            color=colour, weight="bold", va="center", ha="left", annotation_clip=False,
        )  # fmt: skip


def draw_table(
    axes: Axes,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    colour_of: Callable[[str], str | None],
) -> None:
    """Text cells under a head, the first column to the left, the others to the right."""
    axes.set_axis_off()
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(len(rows) + 1.0, 0.0)
    widths = [max(len(str(line[k])) for line in (head, *rows)) + 3.0 for k in range(len(head))]
    right = np.cumsum(widths) / sum(widths)
    axes.axhline(1.0, color=FAINT, linewidth=0.8)
    for y, line in enumerate((head, *rows)):
        quiet = y == 0 or str(line[0]).startswith("floor")
        for k, cell in enumerate(line):
            own = colour_of(str(line[0])) if k == 0 and y else None
            axes.text(
                0.0 if k == 0 else right[k], y + 0.52, str(cell), size=8.6,
                color=own or (QUIET if quiet else INK), ha="left" if k == 0 else "right",
                va="center", weight="bold" if own else "normal",
            )  # fmt: skip
