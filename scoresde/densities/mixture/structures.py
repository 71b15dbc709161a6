"""The components that a mixture's parameters stand for."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from scoresde.densities.mixture.aligned import Diagonal, Spherical
from scoresde.densities.mixture.components import Components
from scoresde.densities.mixture.low_rank import LowRank
from scoresde.densities.mixture.rotated import Full, Tied
from scoresde.errors import OptionError

Structure = Literal["spherical", "diagonal", "tied", "full", "low-rank"]
_BY_RANK = {1: "spherical", 2: "diagonal", 3: "full"}


def structure_of(
    structure: str | None,
    covariances: Tensor | None,
    factors: Tensor | None,
    variances: Tensor | None,
) -> Structure:
    """The structure named, or the one that the parameters tell; raises `OptionError`."""
    if structure is not None and structure not in get_args(Structure):
        known = ", ".join(get_args(Structure))
        raise OptionError(f"structure is one of {known}, got {structure!r}")
    parameters = {"covariances": covariances, "factors": factors, "variances": variances}
    given = [name for name, value in parameters.items() if value is not None]
    if given == ["factors", "variances"] and structure in (None, "low-rank"):
        return "low-rank"
    if given == ["covariances"] and structure != "low-rank":
        return structure or _BY_RANK[covariances.ndim]
    wanted = {None: "covariances, or factors and variances", "low-rank": "factors and variances"}
    raise OptionError(
        f"a {structure or 'mixture'}{' mixture' if structure else ''} takes "
        f"{wanted.get(structure, 'covariances')}; got {' and '.join(given) or 'none of them'}"
    )


def components(
    structure: Structure,
    means: Tensor,
    covariances: Tensor | None,
    factors: Tensor | None,
    variances: Tensor | None,
) -> Components:
    """The components of that structure; raises `OptionError` for parameters that are none."""
    k, d = means.shape
    if structure == "low-rank":
        return low_rank(means, factors, variances)
    shape = {"spherical": (k,), "diagonal": (k, d), "tied": (d, d), "full": (k, d, d)}[structure]
    if tuple(covariances.shape) != shape:
        raise OptionError(
            f"covariances have shape {tuple(covariances.shape)}, taken for {structure}; {k} "
            f"components in {d} dimensions need ({k},) spherical, ({k}, {d}) diagonal, "
            f"({k}, {d}, {d}) full, or ({d}, {d}) with structure = 'tied'"
        )
    if structure == "tied":
        return Tied(means, covariances)
    if structure == "full":
        return Full(means, covariances)
    kind = Spherical if structure == "spherical" else Diagonal
    return kind(means, not_negative("covariances", covariances))


def low_rank(means: Tensor, factors: Tensor, variances: Tensor) -> Components:
    """Components W_k W_k^T + r_k I; with as many factors as dimensions they are full."""
    k, d = means.shape
    m = factors.shape[-1]
    if factors.shape != (k, d, m) or not 0 < m <= d:
        raise OptionError(
            f"factors have shape {tuple(factors.shape)}; {k} components in {d} dimensions need "
            f"({k}, {d}, m) with m from 1 to {d}"
        )
    if variances.shape != (k,):
        raise OptionError(f"variances have shape {tuple(variances.shape)}, need ({k},)")
    variances = not_negative("variances", variances)
    if m < d:
        return LowRank(means, factors, variances)
    rest = variances.unsqueeze(-1).expand_as(means).diag_embed()
    return Full(means, factors @ factors.mT + rest)


def not_negative(name: str, values: Tensor) -> Tensor:
    """Variances with rounding below zero taken for zero."""
    smallest, largest = float(values.detach().min()), float(values.detach().max())
    if smallest < -1e-10 * max(largest, 1e-300):
        raise OptionError(f"{name} holds a negative variance, {smallest:.3g}")
    return values.clamp(min=0.0)
