"""The picture of a fit: data, the law's regions, and what it is made of."""

from __future__ import annotations

import io
import math
import os
import warnings

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scoresde.compare.panels import FAINT, INK, PALETTE, QUIET, draw_samples
from scoresde.compare.report import save_picture
from scoresde.data import Scaling
from scoresde.densities import Density, FarFromDataWarning, Gaussian, GaussianMixture
from scoresde.errors import CapabilityError, UsageError
from scoresde.fit.job import Fitting
from scoresde.io.failure import explain
from scoresde.io.placement import staged, write_at

SHARES = (0.5, 0.9, 0.99)  # of the law's mass that a contour holds
_DPI, _SIDE, _GRID, _SHOWN = 110, 4.6, 160, 2000
_MOST_PARTS = 64


def draw_fit(
    path: str | os.PathLike, fitting: Fitting, *, seed: int = 0, force: bool = False
) -> None:
    """Write a PNG of a fit, in the units of the data.

    Of 2-D data: the data, contours that hold 50, 90 and 99 % of the model's mass, and the
    components' ellipses or the principal axes, at two deviations. Of 1-D data: their histogram
    and the density. Of other vectors: data and the model's draws on the first two principal axes
    of the data; of images: tiles of both, and of the component means. Missing entries of the data
    are filled in by the model. The file is put in place whole, and replaces another by `force`.
    Raises `UsageError` where `path` cannot be written.
    """
    density = fitting.model.density.to("cpu")
    data, draws = _rows(fitting, density, seed)
    shape = fitting.data.event_shape
    if len(shape) == 1 and shape[0] <= 2:
        figure, (axes,) = _figure(1, fitting)
        draw = _line if shape[0] == 1 else _plane
        draw(axes, density, fitting.data.scaling, data, draws)
    else:
        panels = {"data": data, "draws of the model": draws}
        if len(shape) == 3 and _is_mixture(density):
            means = density.means.reshape(-1, *shape)
            panels["component means"] = fitting.data.scaling.undo(means)
        figure, places = _figure(len(panels), fitting)
        project = None if len(shape) == 3 else _principal(data)
        for axes, (name, rows) in zip(places, panels.items(), strict=True):
            shown = (rows if project is None else project(rows)).numpy()
            first = (data if project is None else project(data)).numpy()
            draw_samples(axes, name, shown, first, None, size=9.0, invert=True)
            if project is not None:
                axes.set_xlabel("first two principal axes of the data", size=8, color=QUIET)
    _write(figure, path, force)


def _write(figure: Figure, path: str | os.PathLike, force: bool) -> None:
    picture = io.BytesIO()
    save_picture(figure, picture, _DPI)
    try:
        with staged(path, overwrite=force) as descriptor:
            write_at(descriptor, picture.getbuffer(), 0)
    except OSError as error:
        raise UsageError(f"cannot write the picture {path}: {explain(error, path)}") from error


def _rows(fitting: Fitting, density: Density, seed: int):
    """(training data, draws of the model), at most 2,000 of each, in the units of the data."""
    undo = fitting.data.scaling.undo
    data = fitting.data.train[: min(_SHOWN, fitting.rows)].to(torch.float64)
    if bool(data.isnan().any()):
        data = fitting.model.impute(data.to(fitting.device)).cpu()
    return undo(data), undo(density.sample(torch.arange(_SHOWN), seed))


def _plane(axes: Axes, density: Density, scaling: Scaling, data, draws) -> None:
    axes.scatter(*data.T.numpy(), s=3.0, color=QUIET, alpha=0.6, linewidths=0, zorder=1)
    both = torch.cat([data, draws])
    low, high = both.amin(0), both.amax(0)
    middle, reach = 0.5 * (low + high), 0.53 * float((high - low).max()) or 1.0
    ticks = [
        torch.linspace(m - reach, m + reach, _GRID, dtype=torch.float64) for m in middle.tolist()
    ]
    x, y = torch.meshgrid(*ticks, indexing="xy")
    grid = torch.stack([x, y], dim=-1).reshape(-1, 2)
    at_draws, at_grid = (_log_prob(density, scaling, rows) for rows in (draws, grid))
    if at_draws is not None and bool(torch.isfinite(at_draws).all()):
        shares = torch.tensor([1.0 - share for share in sorted(SHARES, reverse=True)])
        levels = sorted(set(torch.quantile(at_draws, shares.double()).tolist()))
        values = at_grid.clamp(min=min(levels) - 50.0).reshape(_GRID, _GRID).numpy()
        widths = (0.6, 0.9, 1.2)
        axes.contour(x, y, values, levels, colors=PALETTE[0], linewidths=widths, linestyles="-")
        told = "contours hold 50, 90 and 99 % of the model's mass"
        axes.set_xlabel(told, size=8, color=QUIET)
    if _is_mixture(density):
        means, factors = density.means, _factors(density)
        angle = torch.linspace(0.0, 2.0 * math.pi, 100, dtype=torch.float64)
        circle = torch.stack([angle.cos(), angle.sin()])
        for mean, factor in zip(means, factors, strict=True):
            ellipse = scaling.undo(mean + 2.0 * (factor @ circle).T)
            axes.plot(*ellipse.T, color=PALETTE[1], linewidth=1.0, zorder=3)
        axes.plot(*scaling.undo(means).T, "+", color=PALETTE[1], markersize=7, zorder=4)
    if isinstance(density, Gaussian):
        for axis, variance in zip(density.axes.T, density.variances, strict=True):
            ends = density.mean + 2.0 * variance.sqrt() * torch.stack([-axis, axis])
            axes.plot(*scaling.undo(ends).T, color=PALETTE[1], linewidth=1.4, zorder=3)
    axes.set_xlim(float(middle[0]) - reach, float(middle[0]) + reach)
    axes.set_ylim(float(middle[1]) - reach, float(middle[1]) + reach)


def _line(axes: Axes, density: Density, scaling: Scaling, data, draws) -> None:
    low, high = float(data.min()), float(data.max())
    margin = 0.08 * (high - low) or 1.0
    axes.hist(data[:, 0].numpy(), 60, color=FAINT, density=True)
    x = torch.linspace(low - margin, high + margin, 800, dtype=torch.float64)
    values = _log_prob(density, scaling, x[:, None])
    if values is not None:
        axes.plot(x, values.exp(), color=PALETTE[0], linewidth=1.4)


def _log_prob(density: Density, scaling: Scaling, rows) -> torch.Tensor | None:
    """log p at rows in the units of the data; None where the model has no density."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FarFromDataWarning)  # a picture looks everywhere
            values = density.log_prob(scaling.apply(rows))
    except CapabilityError:
        return None
    values = values - scaling.log_volume(tuple(density.event_shape))
    return None if bool(torch.isnan(values).any()) else values


def _is_mixture(density: Density) -> bool:
    return isinstance(density, GaussianMixture) and len(density.means) <= _MOST_PARTS


def _factors(mixture: GaussianMixture) -> torch.Tensor:
    """L_k with L_k L_k^T = Sigma_k, (K, d, d), for small d."""
    given, identity = mixture.arguments(), torch.eye(mixture.dim, dtype=torch.float64)
    match mixture.structure:
        case "spherical":
            return given["covariances"].sqrt()[:, None, None] * identity
        case "diagonal":
            return torch.diag_embed(given["covariances"].sqrt())
        case "low-rank":
            factors, rest = given["factors"], given["variances"][:, None, None]
            covariances = factors @ factors.mT + rest * identity
        case _:
            covariances = given["covariances"].expand(len(mixture.means), -1, -1)
    variances, axes = torch.linalg.eigh(covariances)
    return axes * variances.clamp(min=0.0).sqrt()[:, None, :]


def _principal(data: torch.Tensor):
    """The map of rows (n, d) to their first two principal coordinates among the data's."""
    mean = data.mean(0)
    _, _, axes = torch.linalg.svd(data - mean, full_matrices=False)
    return lambda rows: (rows - mean) @ axes[:2].T


def _figure(count: int, fitting: Fitting) -> tuple[Figure, list[Axes]]:
    wide, high = count * _SIDE + 0.3, _SIDE + 0.9
    figure = Figure(figsize=(wide, high), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    title = f"{fitting.name} fitted to {fitting.data.name}"
    told = f"held out: {fitting.held_out.told()}"
    left = 0.3 / wide
    figure.text(left, 1.0 - 0.3 / high, title, size=11, weight="bold", color=INK)
    figure.text(left, 1.0 - 0.52 / high, told, size=8, color=QUIET)
    panels = []
    for k in range(count):
        place = ((0.35 + k * _SIDE) / wide, 0.5 / high)
        axes = figure.add_axes((*place, (_SIDE - 0.4) / wide, (_SIDE - 0.4) / high))
        axes.tick_params(colors=QUIET, labelsize=7, length=2)
        for spine in axes.spines.values():
            spine.set(color=FAINT, linewidth=0.8)
        panels.append(axes)
    return figure, panels
