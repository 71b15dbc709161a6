"""The picture of docs/grids.md: the levels of every grid over 20 steps, and the four finals.

python tools/grids_page.py
"""

from __future__ import annotations

from pathlib import Path

import click
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from scoresde.compare.panels import FAINT, INK, PALETTE, QUIET
from scoresde.processes import DiscreteDDPM, NoiseLevel
from scoresde.samplers.grids import FINALS, levels

PAGE = Path(__file__).parents[1] / "docs" / "grids.png"
PROCESS = DiscreteDDPM()  # the one process on which every recipe has a meaning
STEPS, FEW = 20, 6
CLEAN_ROW = 0.0025  # where the data is drawn on the axis of logarithms
PANELS = {
    "recipes in time": {
        "uniform-time": {},
        "quadratic": {},
        "beta": {},
    },
    "recipes in the noise": {
        "uniform-log-snr": {},
        "karras": {},
        "polyexponential": {"rho": 2.0},
        "cosine": {},
        "flow-shift": {},
    },
    "recipes on a chain's instants": {
        "leading": {},
        "linspace": {},
        "trailing": {},
        "quad": {},
    },
}
WHAT = {
    "clean": f"{FEW} noisy levels, then the data: {FEW} evaluations",
    "min": f"hands out the noise of the last level: {FEW} evaluations",
    "denoised": f"as min, then the data: {FEW + 1} evaluations",
    "replaced": f"as min, the data in place of the last: {FEW} evaluations",
}


def height(level: NoiseLevel) -> float:
    return level.noise_ratio if level.sigma > 0.0 else CLEAN_ROW


def heading(ax: Axes, title: str) -> None:
    ax.set_title(title, loc="left", fontsize=11, weight="bold", color=INK)


def noise_axis(axis) -> None:
    """Ticks of sigma/alpha, with the data below a gap."""
    axis.set_major_locator(FixedLocator([CLEAN_ROW, 0.01, 0.1, 1, 10, 100]))
    axis.set_major_formatter(FixedFormatter(["0", "0.01", "0.1", "1", "10", "100"]))
    axis.set_minor_locator(NullLocator())


def curves(ax: Axes, title: str, grids: dict[str, dict]) -> None:
    """sigma/alpha of each grid against the step."""
    for (name, options), colour in zip(grids.items(), PALETTE, strict=False):
        made = levels(name, PROCESS, steps=STEPS, **options)
        heights, last = [height(level) for level in made], len(made) - 1
        told = ", ".join(f"{key} = {value:g}" for key, value in options.items())
        label = f"{name}, {told}" if told else name
        ax.plot(heights[:-1], color=colour, lw=1.4, marker="o", ms=3.2, label=label)
        ax.plot([last - 1, last], heights[-2:], color=colour, lw=1.0, ls=(0, (2, 2)))
    ax.plot(STEPS, CLEAN_ROW, marker="o", ms=5, mfc="white", mec=INK, mew=1.2, zorder=5)
    heading(ax, title)
    ax.set_yscale("log")
    ax.set_ylim(0.0016, 330)
    ax.set_xlim(-0.8, STEPS + 0.8)
    ax.set_xticks(range(0, STEPS + 1, 5))
    ax.set_xlabel("step", color=QUIET)
    noise_axis(ax.yaxis)
    ax.legend(loc="lower left", frameon=False, fontsize=9, handlelength=1.5, labelspacing=0.35)


def finals(ax: Axes) -> None:
    """The four finals as rows of one grid's levels."""
    for row, final in enumerate(FINALS):
        made = levels("uniform-log-snr", PROCESS, steps=FEW, final=final)
        places, y = [height(level) for level in made], -row
        colour = PALETTE[row]
        ax.plot(places, [y] * len(places), color=colour, lw=1.2, zorder=1)
        ax.scatter(places[:-1], [y] * (len(places) - 1), s=34, color=colour, zorder=2)
        ax.scatter(places[-1:], [y], s=52, facecolor="white", edgecolor=colour, lw=1.6, zorder=3)
        ax.text(1.02, y, WHAT[final], transform=ax.get_yaxis_transform(), va="center", color=INK)
    last = PROCESS.at(PROCESS.t_min).noise_ratio
    ax.axvline(last, color=QUIET, lw=0.9, ls=":", zorder=0)
    ax.text(last, 0.62, "last level with noise", ha="center", fontsize=8.5, color=QUIET)
    ax.set_xscale("log")
    ax.set_xlim(330, 0.0016)
    ax.set_ylim(1 - len(FINALS) - 0.6, 1.0)
    ax.set_yticks([-row for row in range(len(FINALS))], FINALS)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("sigma / alpha", color=QUIET)
    noise_axis(ax.xaxis)
    heading(ax, f"the final step (uniform-log-snr, steps = {FEW}; the ring is what is handed out)")


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=PAGE, show_default=True)
def main(out: Path) -> None:
    """Draw the picture."""
    figure = Figure(figsize=(11.6, 8.0), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.02, 0.962, "Grids of 20 steps", size=15, weight="bold", color=INK)
    about = "the linear chain of 1,000 instants; dots are evaluations, the ring is the data"
    figure.text(0.02, 0.934, about, size=10, color=QUIET)
    for column, (title, grids) in enumerate(PANELS.items()):
        ax = figure.add_axes((0.06 + 0.318 * column, 0.40, 0.290, 0.485))
        curves(ax, title, grids)
        if column == 0:
            ax.set_ylabel("sigma / alpha", color=QUIET)
        else:
            ax.tick_params(labelleft=False)
    finals(figure.add_axes((0.085, 0.065, 0.583, 0.215)))
    for ax in figure.axes:
        ax.grid(color=FAINT, lw=0.6)
        ax.set_axisbelow(True)
        ax.tick_params(colors=QUIET, length=0)
        for spine in ax.spines.values():
            spine.set_color(FAINT)
    figure.axes[-1].tick_params(axis="y", labelcolor=INK, labelsize=10)
    figure.savefig(out)
    click.echo(f"wrote {out}")


if __name__ == "__main__":
    main()
