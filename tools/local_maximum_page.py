"""The table and the picture of docs/local_maximum.md: EM in a bad maximum, and out of it.

python tools/local_maximum_page.py
"""

from __future__ import annotations

import math
from pathlib import Path

import click
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from scoresde.compare.panels import FAINT, INK, PALETTE, QUIET
from scoresde.densities import GaussianMixture
from scoresde.estimators import EM, GMM
from scoresde.kernels import Purpose, uniform

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- local maximum: begin -->", "<!-- local maximum: end -->"
GAMMA, RADII, DATA = 20.0, (2.0, 4.0, 8.0, 16.0), 30_000
STARTS, FEW = 400, 600  # random starts, on so many data
CONSTANT = math.log(3.0 * math.sqrt(2.0 * math.pi))
MEANS = EM(update=("means",), max_iterations=500, tolerance=1e-10)
FLOOR = 1e-6


def mixture(means) -> GaussianMixture:
    """Three components of unit variance and weight 1/3 on the line."""
    means = torch.as_tensor(means, dtype=torch.float64)
    return GaussianMixture(means=means[:, None], covariances=torch.ones(3))


def truth(radius: float, gamma: float = GAMMA) -> GaussianMixture:
    return mixture([-radius, radius, gamma * radius])


def trapped(radius: float, gamma: float = GAMMA) -> GaussianMixture:
    return mixture([0.0, gamma * radius, gamma * radius])


def likelihood(model: GaussianMixture, radius: float) -> float:
    """E log p(x) under the truth, by Gauss-Hermite quadrature around each of its centres."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = torch.tensor(weights / weights.sum())
    x = truth(radius).means + torch.tensor(nodes)
    values = model.log_prob(x.reshape(-1, 1)).reshape(x.shape)
    return float((weights * values).sum(-1).mean())


def at_the_start(radius: float) -> float:
    """lim L(0, gamma R, gamma R), gamma -> infinity."""
    return -(2.0 * radius**2 + 3.0 - 2.0 * math.log(2.0)) / 6.0 - CONSTANT


def with_free_variances(radius: float) -> float:
    """The same for weights (2/3, 1/6, 1/6) and variances (1 + R^2, 1, 1)."""
    gap = (math.log(1.0 + radius**2) - 2.0 * math.log(2.0)) / 3.0
    return -0.5 - CONSTANT - gap


def told(model: GaussianMixture, x: Tensor) -> tuple[float, float]:
    """Mean log-likelihood of data and its standard error."""
    each = model.log_prob(x)
    return float(each.mean()), float(each.std() / math.sqrt(len(each)))


def measured(radius: float) -> dict[str, tuple[float, float]]:
    """What each fit reaches on one sample."""
    x = truth(radius).sample(torch.arange(DATA), seed=1)
    start = trapped(radius)
    found = {
        "truth": truth(radius),
        "means": MEANS.climb(x, start, floor=FLOOR).mixture,
        "all": EM(max_iterations=500).climb(x, start, floor=FLOOR).mixture,
        "restarts": GMM(k=3, structure="spherical", start="k-means++", restarts=5).fit(x).density,
    }
    out = {name: told(model, x) for name, model in found.items()}
    gap = found["restarts"].log_prob(x) - found["truth"].log_prob(x)
    out["gap"] = (float(gap.mean()), float(gap.std() / math.sqrt(DATA)))
    return out


def trapped_share(radius: float = 4.0) -> tuple[float, float]:
    """How often three random data as means end in the bad maximum, and the standard error."""
    x = truth(radius).sample(torch.arange(FEW), seed=2)
    rows = (uniform(0, Purpose.FIT, 0, torch.arange(STARTS), (3,)) * FEW).long()
    between = 0.5 * (at_the_start(radius) - 0.5 - CONSTANT)
    lost = sum(
        MEANS.climb(x, mixture(x[chosen, 0]), floor=FLOOR).trace[-1] < between for chosen in rows
    )
    share = lost / STARTS
    return share, math.sqrt(share * (1.0 - share) / STARTS)


def table(rows: dict[float, dict[str, tuple[float, float]]]) -> str:
    head = (
        "| R | L(μ*) | L(0, γR, γR) | EM, means alone | EM, all parameters | its limit | "
        "5 × k-means++ | the same minus truth, 10⁻⁴ |"
    )
    lines = [head, "|" + "---|" * 8]
    for radius, row in rows.items():
        cells = [
            f"{radius:g}",
            f"{likelihood(truth(radius), radius):.4f}",
            f"{likelihood(trapped(radius), radius):.4f}",
            *(f"{row[name][0]:.3f} ± {row[name][1]:.3f}" for name in ("means", "all")),
            f"{with_free_variances(radius):.3f}",
            f"{row['restarts'][0]:.3f} ± {row['restarts'][1]:.3f}",
            f"{1e4 * row['gap'][0]:.1f} ± {1e4 * row['gap'][1]:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    share, error = trapped_share()
    lines.append(
        f"\nOf {STARTS} starts at three random data (R = 4, means alone), {100 * share:.0f} ± "
        f"{100 * error:.0f} % end in the bad maximum; 7/27 = 26 % have two or three means in C."
    )
    return "\n".join(lines)


def likelihoods(ax: Axes, rows: dict[float, dict[str, tuple[float, float]]]) -> None:
    """Against R: closed forms as lines, fits as dots with two standard errors."""
    radii = np.geomspace(1.7, 19.0, 60)
    lines = {
        "restarts": ("restarts with k-means++", [-0.5 - CONSTANT for _ in radii], PALETTE[2]),
        "all": ("trapped, all parameters", [with_free_variances(r) for r in radii], PALETTE[1]),
        "means": ("trapped, means alone", [at_the_start(r) for r in radii], PALETTE[0]),
    }
    for name, (label, curve, colour) in lines.items():
        ax.plot(radii, [-value for value in curve], color=colour, lw=1.4)
        values = [-rows[r][name][0] for r in rows]
        errors = [2.0 * rows[r][name][1] for r in rows]
        ax.errorbar(list(rows), values, errors, fmt="o", ms=4.5, color=colour, label=label)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_ylim(130.0, 2.0)  # upside down: the ticks tell the log-likelihood itself
    ax.set_xticks(list(rows), [f"{r:g}" for r in rows])
    ax.set_yticks([100, 30, 10, 5, 2.5], ["-100", "-30", "-10", "-5", "-2.5"])
    ax.set_xlabel("R", color=QUIET)
    ax.set_ylabel("log-likelihood, nats per datum", color=QUIET)
    ax.legend(loc="lower left", frameon=False, fontsize=9)
    ax.set_title("How bad it gets", loc="left", fontsize=11, weight="bold", color=INK)


def densities(ax: Axes) -> None:
    """R = 4, gamma = 5: data, and both fits of the means."""
    radius, gamma = 4.0, 5.0
    x = truth(radius, gamma).sample(torch.arange(DATA), seed=1)
    ax.hist(x[:, 0].numpy(), bins=120, density=True, color=FAINT)
    at = torch.linspace(-9.0, 25.0, 800, dtype=torch.float64)[:, None]
    starts = {"trapped": trapped(radius, gamma), "found": mixture([-1.0, 1.0, gamma * radius])}
    for (name, start), colour in zip(starts.items(), (PALETTE[0], PALETTE[2]), strict=True):
        model = MEANS.climb(x, start, floor=FLOOR).mixture
        ax.plot(at[:, 0], model.log_prob(at).exp(), color=colour, lw=1.5, label=name)
        heights = [-0.008 if name == "trapped" else -0.016] * 3
        ax.plot(model.means[:, 0], heights, ls="", marker="^", ms=6, color=colour, clip_on=False)
    ax.set_ylim(-0.024, None)
    ax.set_yticks([])
    ax.set_xlabel("x", color=QUIET)
    ax.legend(loc="upper center", frameon=False, fontsize=9)
    title = "Data and both maxima (R = 4, γ = 5)"
    ax.set_title(title, loc="left", fontsize=11, weight="bold", color=INK)


def draw(rows: dict[float, dict[str, tuple[float, float]]], path: Path) -> None:
    figure = Figure(figsize=(9.6, 3.7), dpi=100, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    likelihoods(left, rows)
    densities(right)
    for ax in (left, right):
        ax.grid(color=FAINT, lw=0.6)
        ax.set_axisbelow(True)
        ax.tick_params(colors=QUIET, length=0)
        ax.minorticks_off()
        for spine in ax.spines.values():
            spine.set_color(FAINT)
    figure.savefig(path)


@click.command()
@click.option("--docs", type=click.Path(path_type=Path), default=DOCS, show_default=True)
def main(docs: Path) -> None:
    """Write the table into the page and draw the picture."""
    rows = {radius: measured(radius) for radius in RADII}
    page = docs / "local_maximum.md"
    before, rest = page.read_text().split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{after}")
    draw(rows, docs / "local_maximum.png")
    click.echo(f"wrote {page} and its picture")


if __name__ == "__main__":
    main()
