r"""Modes of a law: where noise-free ascents end, told apart by the Hessian of log p."""

from __future__ import annotations

import copy
import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.densities import Density
from scoresde.densities.derived import plain
from scoresde.densities.kde import FarFromDataWarning
from scoresde.errors import OptionError
from scoresde.kernels import Purpose, normal
from scoresde.langevin.ascent import Ascent, ascend
from scoresde.processes import CLEAN, NoiseLevel
from scoresde.score import ExactScore, ScoreModel

_CENTRES = 1024  # means of components, the heaviest, that ascents start from
_ROWS = 256  # states evaluated at once for a Hessian
_FLAT = 1e-6  # of the steepest curvature: below it an eigenvalue is not told from zero
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
) -> Modes:
    r"""The maxima of log p that ascents from `starts` (starts, *event) reach, at a level.

    Without starts, those of an exact density are the means of its components (at most 1024, the
    heaviest) and n draws of its law at the level, by (seed, id). There may be more modes than
    components in two dimensions and above; more starts find more.

    Ends x, x' are one mode where (x - x')^T |H| (x - x') <= `merge`^2, |H| the Hessian at x with
    its eigenvalues made positive: their distance in local standard deviations. H is the
    symmetric part of the score's central difference (2d evaluations a mode), so a network serves
    as well. A point with an eigenvalue above -1e-6 of the steepest is pushed off along it, both
    ways, and climbs again: it is a maximum if both ways lead back, else a saddle, which is dropped
    for the maxima that the two ways lead to (with a basin of no starts where it is their only
    witness).

    Raises `OptionError` where there are no starts and for a model bound to labels; else as
    `ascend`.
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
    if isinstance(model, ExactScore):
        model = ExactScore(copy.copy(model.density))  # warned of trials, it would not warn again
    climb = {
        "level": level,
        "tolerance": tolerance,
        "max_iterations": max_iterations,
        "step_size": first_step(model, level),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FarFromDataWarning)  # of trials, which are then refused
        ends = ascend(model, starts, **climb)
        order = torch.arange(len(starts), device=ends.x.device)
        if ends.log_density is not None:
            order = ends.log_density.argsort(descending=True, stable=True)
        search = _Search(model, climb, merge)
        found, saddles = search.told_apart(ends, order[ends.converged[order]])
    return _table(ends, found, saddles)


def first_states(model: ScoreModel, level: NoiseLevel, n: int, seed: int) -> Tensor:
    """The means of an exact density's components, and n draws of its law at the level."""
    if not isinstance(model, ExactScore):
        raise OptionError(
            f"modes of a {type(model).__name__} are searched from states that are given: "
            "starts=x, samples of the model, say"
        )
    if isinstance(n, bool) or n < 0:
        raise OptionError(f"n draws to start from are 0 or more, got {n}")
    density, law = model.density, plain(model.density)
    means = getattr(law, "means", getattr(law, "points", None))
    ids = torch.arange(n, device=None if means is None else means.device)
    noise = normal(seed, Purpose.START, 0, ids, tuple(density.event_shape))
    drawn = level.alpha * density.sample(ids, seed) + level.sigma * noise
    if means is not None:
        if len(means) > _CENTRES:
            means = means[law.weights.argsort(descending=True, stable=True)[:_CENTRES]]
        centres = means.to(torch.float64).reshape(-1, *density.event_shape)
        drawn = torch.cat([level.alpha * centres, drawn])
    if len(drawn) == 0:
        raise OptionError("there is no start: give n at least 1")
    return drawn


def first_step(model: ScoreModel, level: NoiseLevel) -> float:
    """The least variance of a component at the level, sigma^2 of a law that tells none, else 1."""
    law = plain(model.density) if isinstance(model, ExactScore) else None
    variances = getattr(law, "variances", None)
    least = getattr(law, "bandwidth", 0.0) ** 2 if variances is None else float(variances.min())
    return level.alpha**2 * least + level.sigma**2 or 1.0


@dataclass(eq=False)
class Mode:
    """A point where ascents ended, with the eigenvalues and axes of its Hessian."""

    x: Tensor
    value: Tensor | None
    score_norm: Tensor
    values: Tensor
    axes: Tensor
    basin: int = 0

    def near(self, x: Tensor, merge: float) -> Tensor:
        along = (x - self.x).to(torch.float64).flatten(1) @ self.axes
        return (along.square() * self.values.abs()).sum(1) <= merge**2


@dataclass(frozen=True)
class _Search:
    model: ScoreModel
    climb: dict
    merge: float

    def told_apart(self, ends: Ascent, order: Tensor) -> tuple[list[Mode], int]:
        """Distinct maxima among the rows in `order`, and how many rows ended at other points.

        From those, both ways down the ridge lead to maxima as well.
        """
        left, found, beyond, saddles = order, [], [], 0
        while len(left):
            i = left[0]
            mode = self.mode(ends, i)
            same = mode.near(ends.x[left], self.merge)
            same[0] = True
            mode.basin = int(same.sum())
            pushed = self.pushed(mode)
            if pushed is None:
                found.append(mode)
            else:
                saddles += mode.basin
                beyond += [self.mode(pushed, j) for j in (0, 1) if bool(pushed.converged[j])]
            left = left[~same]
        for mode in beyond:
            known = any(bool(old.near(mode.x[None], self.merge)) for old in found)
            if not known and self.pushed(mode) is None:
                found.append(mode)
        return found, saddles

    def mode(self, ends: Ascent, i) -> Mode:
        values, axes = self.hessian(ends.x[i], float(ends.length[i]))
        value = None if ends.log_density is None else ends.log_density[i]
        return Mode(ends.x[i], value, ends.score_norm[i], values, axes)

    def hessian(self, x: Tensor, length: float) -> tuple[Tensor, Tensor]:
        """Eigenvalues, rising, and axes of the Hessian of log p at x, by central differences.

        The step is eps^(1/3) of the local length, which the Hessian tells in turn.
        """
        for _ in range(6):
            matrix = self.differences(x, length if math.isfinite(length) else 1.0)
            values, axes = torch.linalg.eigh(0.5 * (matrix + matrix.T))
            steepest, before = float(values.abs().max()), length
            length = steepest**-0.5 if steepest > 0.0 else math.nan
            if not length < 0.1 * before and math.isfinite(before):
                break
        return values, axes

    def differences(self, x: Tensor, length: float) -> Tensor:
        eps = torch.finfo(x.dtype).eps
        step = max(eps ** (1 / 3) * length, 64 * eps * float(x.abs().max()))
        rows = []
        for some in torch.eye(x.numel(), dtype=x.dtype, device=x.device).split(_ROWS // 2):
            offsets = (step * some).reshape(-1, *x.shape)
            both = torch.cat([x + offsets, x - offsets])
            with torch.no_grad():
                score = self.model.predict(both, self.climb["level"], "score").flatten(1)
            up, down = score.to(torch.float64).chunk(2)
            rows.append((up - down) / (2.0 * step))
        return torch.cat(rows)

    def pushed(self, mode: Mode) -> Ascent | None:
        """Where ascents end from both sides of a point that may be no maximum; None at one."""
        values, x = mode.values, mode.x
        steepest = float(values.abs().max())
        if float(values[-1]) <= -_FLAT * steepest and steepest > 0.0:
            return None
        push = mode.axes[:, -1].reshape(x.shape).to(x.dtype)
        push = push * (_PUSH * (steepest or 1.0) ** -0.5)
        ends = ascend(self.model, torch.stack([x + push, x - push]), **self.climb)
        away = (ends.x - x).flatten(1).norm(dim=1)
        return None if bool((ends.converged & (away <= push.norm())).all()) else ends


def _table(ends: Ascent, found: list[Mode], saddles: int) -> Modes:
    valued = ends.log_density is not None
    found = sorted(found, key=lambda mode: -float(mode.value) if valued else -mode.basin)
    none = ends.score_norm[:0]
    return Modes(
        x=torch.stack([mode.x for mode in found]) if found else ends.x[:0],
        log_density=torch.stack([mode.value for mode in found] or [none.sum()])[: len(found)]
        if valued
        else None,
        score_norm=torch.stack([mode.score_norm for mode in found]) if found else none,
        curvature=torch.stack([mode.values[-1] for mode in found]) if found else none,
        basin=torch.tensor([mode.basin for mode in found], dtype=torch.int64),
        starts=len(ends.x),
        saddles=saddles,
        unconverged=int((~ends.converged).sum()),
    )
