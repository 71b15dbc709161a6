r"""Gaussians and their mixtures under x = A u + b: N(A mu + b, A Sigma A^T) by component.

The image keeps the leanest structure that holds it: where A A^T = c^2 I a spherical or low-rank
covariance stays one; where A is diagonal so does a diagonal one; components that share a
covariance go on sharing it; more axes than before make a low-rank one of no variance beside it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoresde.densities.gaussian import Gaussian
from scoresde.densities.kde import KDE
from scoresde.densities.linear_map import Map
from scoresde.densities.mixture import GaussianMixture
from scoresde.densities.principal import principal_axes


def dense(law: Gaussian | GaussianMixture) -> Tensor:
    """Covariances (K, d, d), or (1, d, d) where the components share theirs."""
    given = law.arguments()
    if isinstance(law, Gaussian):
        if given.get("covariance") is not None:
            return given["covariance"][None]
        factors, variances = given["factor"][None], law.mean.new_tensor([given["variance"]])
    elif law.structure == "low-rank":
        factors, variances = given["factors"], given["variances"]
    else:
        held = given["covariances"]
        if law.structure in ("tied", "full"):
            return held.reshape(-1, law.dim, law.dim)
        held = held[:1] if bool((held == held[:1]).all()) else held
        return (held.reshape(len(held), -1) * held.new_ones(law.dim)).diag_embed()
    return factors @ factors.mT + (variances[:, None] * factors.new_ones(law.dim)).diag_embed()


def as_mixture(law: KDE) -> GaussianMixture:
    """A kernel density estimate as the mixture that it is, one spherical component a datum."""
    given = law.arguments()
    points = given["points"].to(torch.float64).reshape(-1, law.dim)
    return GaussianMixture(
        means=points,
        covariances=points.new_full((len(points),), float(given["bandwidth"]) ** 2),
        weights=given.get("weights"),
        labels=given.get("labels"),
        event_shape=law.event_shape,
    )


def kde_image(law: KDE, of: Map, event_shape: tuple[int, ...]) -> KDE | GaussianMixture:
    """One of bandwidth c h where A A^T = c^2 I, else a tied mixture of a component a datum."""
    c2 = of.row_square()
    if c2 is None:
        return mixture_image(as_mixture(law), of, event_shape)
    given = {**law.arguments(), "event_shape": event_shape}
    points = given["points"].to(torch.float64).reshape(-1, law.dim)
    given["points"] = of.turn(points) + of.shift
    given["bandwidth"] = c2**0.5 * float(given["bandwidth"])
    return KDE(**given)


def symmetric(matrices: Tensor) -> Tensor:
    """The symmetric part, which rounding takes a product L C L^T out of."""
    return 0.5 * (matrices + matrices.mT)


def _roots(matrices: Tensor) -> Tensor:
    values, axes = principal_axes(matrices)
    return axes * values.clamp(min=0.0).sqrt().unsqueeze(-2)


def gaussian_image(law: Gaussian, of: Map, event_shape: tuple[int, ...]) -> Gaussian:
    """The Gaussian of x = A u + b."""
    mean, given, c2 = of.turn(law.mean[None])[0] + of.shift, law.arguments(), of.row_square()
    keep = {"mean": mean, "event_shape": event_shape}
    if given.get("factor") is not None and given["factor"].shape[1] <= len(mean):
        rest = float(given["variance"])
        if c2 is not None or rest == 0.0:
            rest = rest and c2 * rest
            return Gaussian(factor=of.turn(given["factor"].T).T, variance=rest, **keep)
    covariance = dense(law)[0]
    if len(mean) > law.dim:
        return Gaussian(factor=of.linear @ _roots(covariance), variance=0.0, **keep)
    return Gaussian(covariance=_between(of, covariance), **keep)


def mixture_image(law: GaussianMixture, of: Map, event_shape: tuple[int, ...]) -> GaussianMixture:
    """The mixture of x = A u + b, its weights and labels as they were."""
    given = law.arguments()
    keep = {name: given.get(name) for name in ("weights", "labels")}
    keep |= {"means": of.turn(law.means) + of.shift, "event_shape": event_shape}
    return GaussianMixture(**_spread(law, given, of), **keep)


def _spread(law: GaussianMixture, given: dict, of: Map) -> dict:
    """The options that tell the covariances of the image."""
    c2, out = of.row_square(), len(of.scale)
    if law.structure == "low-rank" and given["factors"].shape[-1] <= out:
        rests = given["variances"]
        if c2 is not None or not bool(rests.any()):
            factors = of.linear @ given["factors"]
            rests = rests if c2 is None else c2 * rests
            return {"structure": "low-rank", "factors": factors, "variances": rests}
    if law.structure == "spherical" and c2 is not None:
        return {"structure": "spherical", "covariances": c2 * given["covariances"]}
    if law.structure in ("spherical", "diagonal") and of.matrix is None:
        held = given["covariances"].reshape(len(law.means), -1) * of.scale.square()
        return {"structure": "diagonal", "covariances": held}
    held = dense(law)
    if out > law.dim:
        factors = (of.linear @ _roots(held)).expand(len(law.means), -1, -1)
        rests = held.new_zeros(len(law.means))
        return {"structure": "low-rank", "factors": factors, "variances": rests}
    held = _between(of, held)
    if len(held) == 1 and len(law.means) > 1:
        return {"structure": "tied", "covariances": held[0]}
    return {"structure": "full", "covariances": held}


def _between(of: Map, covariance: Tensor) -> Tensor:
    """A C A^T."""
    if of.matrix is None:
        return of.scale[:, None] * covariance * of.scale
    return symmetric(of.linear @ covariance @ of.linear.T)
