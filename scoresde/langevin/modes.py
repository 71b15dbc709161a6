r"""Modes of a law: where noise-free ascents end, told apart by the Hessian of log p.

Ascents run in coordinates that the covariance within the law's components makes white; those that
are long in coming, and every end, in coordinates that the Hessian where they are makes white.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scoresde.densities import Density
from scoresde.densities.kde import FarFromDataWarning
from scoresde.errors import OptionError
from scoresde.langevin.ascent import Ascent, ascend, check_states, evaluated
from scoresde.langevin.coordinates import FLAT, Coordinates, inverted, sharpened, times, white
from scoresde.langevin.starts import first_states
from scoresde.processes import CLEAN, NoiseLevel
from scoresde.score import ExactScore, ScoreModel

_LOCAL = 64  # dimensions up to which each ascent may have coordinates of its own
_ROUND = 100  # iterations before an ascent is given new ones
_BLOCK = 2**19  # numbers in the starts that climb at once: 4 MB of float64
_PUSH = 1e-2  # of the local length, off a point that may be a saddle


@dataclass(frozen=True, kw_only=True, eq=False)
class Modes:
    """Maxima of a law, by falling log-density where the model offers one, else by basin.

    `x` (modes, *event); `log_density` (modes,) or None; `score_norm` (modes,); `curvature`
    (modes,), the largest eigenvalue of the Hessian of log p, negative (a flat top has one that
    rounds to zero); `basin` (modes,), how many starts ended there. Of `starts` starts, `saddles`
    ended at stationary points that are no maxima and `unconverged` nowhere within the iterations.
    """

    x: Tensor
    log_density: Tensor | None
    score_norm: Tensor
    curvature: Tensor
    basin: Tensor
    starts: int
    saddles: int
    unconverged: int


def modes(
    model: ScoreModel | Density,
    starts: Tensor | None = None,
    *,
    level: NoiseLevel = CLEAN,
    n: int = 64,
    seed: int = 0,
    tolerance: float = 1e-8,
    max_iterations: int = 2000,
    merge: float = 1e-3,
    on_climbed: Callable[[int, int], None] | None = None,
) -> Modes:
    r"""The maxima of log p that ascents from `starts` (starts, *event) reach, at a level.

    Without starts, those of an exact density are the means of its components (at most 1024, the
    heaviest) and n draws of its law at the level, by (seed, id). There may be more modes than
    components in two dimensions and above; more starts find more.

    Ascents run in y, x = x_0 + L y, L L^T the covariance within the components of a Gaussian or
    a mixture at the level, sum_k w_k C_k (its diagonal above 1024 dimensions, or where it is
    singular), else of one variance; up to 64 dimensions an ascent that is not done has new
    coordinates by the Hessian every 100 iterations, L' = L |H|^{-1/2}, and so the Newton step
    along |H| (Nocedal & Wright 2006, 3.4) for its first. Every end climbs on by its own Hessian:
    it has arrived where it moves no more.

    Ends x, x' are one mode where (x - x')^T |H| (x - x') <= `merge`^2, |H| the Hessian at x with
    its eigenvalues made positive: their distance in local standard deviations. H is the
    symmetric part of the score's central difference in y (2d evaluations a mode), so a network
    serves as well. A point with an eigenvalue above -1e-6 of the steepest, in coordinates that
    H has made white but for 1e-6, is pushed off along it, both ways, and climbs again: it is a
    saddle if a way leads on from there, else a maximum. A saddle is dropped for the maxima that
    the two ways lead to (with a basin of no starts where it is their only witness).

    Starts climb in blocks; `on_climbed` is told how many have, and of how many.

    Raises `OptionError` where there are no starts, for more draws than memory should hold and for
    a model bound to labels; else as `ascend`.
    """
    if isinstance(model, Density):
        model = ExactScore(model)
    if getattr(model, "condition", None) is not None:
        raise OptionError(
            "modes are of one law, and the model is given a label a row; take the law of one class"
        )
    if not 0.0 < merge < math.inf:
        raise OptionError(f"merge is positive and finite, got {merge}")
    if starts is None:
        starts = first_states(model, level, n, seed)
    check_states(model, starts)
    if isinstance(model, ExactScore):
        model = ExactScore(copy.copy(model.density))  # warned of trials, it would not warn again
    climb = {"level": level, "tolerance": tolerance, "max_iterations": max_iterations}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FarFromDataWarning)  # of trials, which are then refused
        search = _Search(model, white(model, level).to(starts.device), climb, merge)
        ends = search.in_blocks(starts, on_climbed)
        order = torch.arange(len(starts), device=ends.x.device)
        if ends.log_density is not None:
            order = ends.log_density.argsort(descending=True, stable=True)
        found, saddles, lost = search.told_apart(ends, order[ends.converged[order]])
    return _table(ends, found, saddles, lost)


@dataclass(eq=False)
class Mode:
    """A point where ascents ended, with its Hessian H in coordinates of root L.

    `whiten` |H|^{1/2} L^{-1} takes offsets to local standard deviations; `push` (*event) leads
    off along the flattest axis, |L^{-1} push| = `pushed`; `flat` where H may be no maximum's.
    """

    x: Tensor
    value: Tensor | None
    score_norm: Tensor
    curvature: Tensor
    whiten: Tensor
    root: Tensor
    push: Tensor
    pushed: float
    flat: bool
    basin: int = 0

    def near(self, x: Tensor, merge: float) -> Tensor:
        return times(self.whiten, self.off(x)).square().sum(1) <= merge**2

    def off(self, x: Tensor) -> Tensor:
        return (x.to(torch.float64) - self.x.to(torch.float64)).flatten(1)


@dataclass(frozen=True)
class _Search:
    model: ScoreModel
    root: Tensor  # (d,) or (d, d), of the coordinates that ascents begin in
    climb: dict
    merge: float

    def ascent(self, x: Tensor, root: Tensor, most: int) -> Ascent:
        """As `ascend` in coordinates of a root about each row, the ends in x."""
        at = Coordinates(self.model, x, root)
        ends = ascend(at, torch.zeros_like(x), **{**self.climb, "max_iterations": most})
        return replace(ends, x=at.x(ends.x))

    def in_blocks(self, x: Tensor, on_climbed: Callable[[int, int], None] | None) -> Ascent:
        """As `climbed`, a block of rows at a time."""
        step, parts = max(1, _BLOCK // x[0].numel()), []
        for begin in range(0, len(x), step):
            parts.append(self.climbed(x[begin : begin + step]))
            if on_climbed is not None:
                on_climbed(min(begin + step, len(x)), len(x))
        return Ascent.joined(parts)

    def climbed(self, x: Tensor) -> Ascent:
        """Where ascents from x end, each given new coordinates every so often."""
        local, most = x[0].numel() <= _LOCAL, self.climb["max_iterations"]
        ends = self.ascent(x, self.root, min(most, _ROUND) if local else most)
        roots = {}
        for spent in range(_ROUND, most if local else 0, _ROUND):
            left = (~ends.converged).nonzero()[:, 0]
            if len(left) == 0:
                break
            for i in left.tolist():
                root = roots.get(i, self.root)
                roots[i] = sharpened(root, *self.hessian(ends.x[i], root))
            some = torch.stack([roots[i] for i in left.tolist()])
            again = self.ascent(ends.x[left], some, min(_ROUND, most - spent))
            ends.x[left], ends.converged[left] = again.x, again.converged
            if ends.log_density is not None:
                ends.log_density[left] = again.log_density
        return ends

    def told_apart(self, ends: Ascent, order: Tensor) -> tuple[list[Mode], int, int]:
        """Distinct maxima among the rows in `order`, and beyond the saddles there.

        With them how many rows ended at saddles, and how many had not arrived after all.
        """
        left, found, beyond, saddles, lost = order, [], [], 0, 0
        while len(left):
            mode = self.mode(ends.x[left[0]])
            same = left == left[0]
            if mode is not None:
                same |= mode.near(ends.x[left], self.merge)
            basin, left = int(same.sum()), left[~same]
            if mode is None:
                lost += basin
                continue
            known = self.known(found, mode.x)
            if known is not None:
                known.basin += basin
                continue
            mode.basin = basin
            pushed = self.pushed(mode)
            if pushed is None:
                found.append(mode)
            else:
                saddles += mode.basin
                beyond += list(pushed.x[pushed.converged])
        for x in beyond:
            mode = None if self.known(found, x) else self.mode(x)
            if mode and not self.known(found, mode.x) and self.pushed(mode) is None:
                found.append(mode)
        return found, saddles, lost

    def known(self, found: list[Mode], x: Tensor) -> Mode | None:
        return next((old for old in found if bool(old.near(x[None], self.merge))), None)

    def mode(self, x: Tensor) -> Mode | None:
        """The point that an end x leads to in coordinates of its own; None where it drifts on."""
        for _ in range(4):
            root = self.root
            values, axes = self.hessian(x, root)
            if bool((values.abs() < FLAT * values.abs().max()).any()):
                root = sharpened(root, values, axes)
                values, axes = self.hessian(x, root)
            end = self.ascent(x[None], sharpened(root, values, axes)[None], _ROUND)
            mode = self.described(end.x[0], root, values, axes)
            if bool(mode.near(x[None], self.merge)):
                return mode
            x = end.x[0]
        return None

    def hessian(self, x: Tensor, root: Tensor) -> tuple[Tensor, Tensor]:
        return Coordinates(self.model, x[None], root).hessian(self.climb["level"])

    def described(self, x: Tensor, root: Tensor, values: Tensor, axes: Tensor) -> Mode:
        value, score = evaluated(self.model, x[None], self.climb["level"])
        steepest = float(values.abs().max())
        inverse = inverted(root)
        back = axes.T * inverse if inverse.ndim == 1 else axes.T @ inverse
        if root.ndim == 1 and bool((root == root[0]).all()):
            curvature = values[-1] / root[0].square()
        elif float(values[-1]) < 0.0:  # exact to rounding by way of the inverse
            curvature = -(torch.linalg.matrix_norm(sharpened(root, values, axes, 0.0), 2) ** -2)
        else:
            curvature = torch.linalg.eigvalsh(back.T @ (values[:, None] * back))[-1]
        pushed = _PUSH * (steepest or 1.0) ** -0.5
        return Mode(
            x=x,
            value=None if value is None else value[0].to(torch.float64),
            score_norm=score.to(torch.float64).norm(),
            curvature=curvature,
            whiten=values.abs().sqrt()[:, None] * back,
            root=root,
            push=(pushed * times(root, axes[:, -1][None])).reshape(x.shape).to(x.dtype),
            pushed=pushed,
            flat=float(values[-1]) > -FLAT * steepest or steepest == 0.0,
        )

    def pushed(self, mode: Mode) -> Ascent | None:
        """Where ascents end from both sides of a point that may be no maximum; None at one."""
        if not mode.flat:
            return None
        ends = self.climbed(torch.stack([mode.x + mode.push, mode.x - mode.push]))
        away = times(inverted(mode.root), mode.off(ends.x)).norm(dim=1)
        led = away > 1.5 * mode.pushed
        if mode.value is not None:
            led &= ends.log_density > mode.value
        return ends if bool(led.any()) else None


def _table(ends: Ascent, found: list[Mode], saddles: int, lost: int) -> Modes:
    valued = ends.log_density is not None
    found = sorted(found, key=lambda mode: -float(mode.value) if valued else -mode.basin)
    none = ends.score_norm[:0]
    return Modes(
        x=torch.stack([mode.x for mode in found]) if found else ends.x[:0],
        log_density=torch.stack([mode.value for mode in found] or [none.sum()])[: len(found)]
        if valued
        else None,
        score_norm=torch.stack([mode.score_norm for mode in found]) if found else none,
        curvature=torch.stack([mode.curvature for mode in found]) if found else none,
        basin=torch.tensor([mode.basin for mode in found], dtype=torch.int64),
        starts=len(ends.x),
        saddles=saddles,
        unconverged=int((~ends.converged).sum()) + lost,
    )
