r"""Affine images x = A u + b of densities, diffused exactly.

Equal noise on x is equal noise on u only under a similarity, A = c Q with Q orthogonal; then
q_x(z; sigma) = q_u(Q^T (z - alpha b) / c; sigma / c) / |c|^d for any law of u. Under any other A
Gaussians and their mixtures alone stay in their family: N(A mu + b, A Sigma A^T).
"""

from __future__ import annotations

import copy
import math
from typing import Self

from torch import Tensor

from scoresde.densities.base import Density
from scoresde.densities.derived import Derived, plain
from scoresde.densities.gaussian import Gaussian
from scoresde.densities.gaussian_image import gaussian_image, kde_image, mixture_image
from scoresde.densities.kde import KDE
from scoresde.densities.linear_map import Map, checked_map
from scoresde.densities.mixture import GaussianMixture
from scoresde.densities.mixture_of import MixtureOf
from scoresde.errors import CapabilityError, OptionError


class Similarity(Density):
    """A law under x = c Q u + b, by change of variables; made by `affine`."""

    def __init__(self, base: Density, of: Map, ratio: float, event_shape: tuple[int, ...]):
        self.base, self.of, self.ratio, self.event_shape = base, of, ratio, event_shape
        self.degenerate = base.degenerate

    def _back(self, x: Tensor, alpha, sigma):
        u = self.of.turn_back(x - alpha * self.of.shift) / self.ratio**2
        return u, alpha, sigma / self.ratio

    def _log_prob(self, x: Tensor, alpha, sigma) -> Tensor:
        return self.base._log_prob(*self._back(x, alpha, sigma)) - self.dim * math.log(self.ratio)

    def _score(self, x: Tensor, alpha, sigma) -> Tensor:
        return self.of.turn(self.base._score(*self._back(x, alpha, sigma))) / self.ratio**2

    def _posterior(self, x: Tensor, alpha, sigma) -> tuple[Tensor, Tensor]:
        u0, eps = self.base._posterior(*self._back(x, alpha, sigma))
        return self.of.turn(u0) + self.of.shift, self.of.turn(eps) / self.ratio

    def _sample(self, ids: Tensor, seed: int) -> Tensor:
        return self.of.turn(self.base._sample(ids, seed).reshape(len(ids), -1)) + self.of.shift


def affine(density: Density, *, scale=1.0, matrix=None, shift=None, event_shape=None) -> Density:
    """The law of x = A u + b for u from the density, on the flattened events.

    A = diag(scale) matrix: scale is one number or one an axis of x, matrix (d', d) any real
    matrix (d' < d projects, d' > d embeds), shift b one number or (d',). A Gaussian gives a
    Gaussian and a Gaussian mixture a Gaussian mixture, of the leanest structure that holds its
    covariances; a kernel density estimate another where A A^T = c^2 I, else a tied mixture; any
    other law an `Affine`.

    Raises `CapabilityError` for a law other than Gaussians and mixtures of them under an A that is
    no similarity, `OptionError` for options that do not fit each other.
    """
    law = Affine(base=density, scale=scale, matrix=matrix, shift=shift, event_shape=event_shape)
    return law.density if isinstance(law.density, Gaussian | GaussianMixture | KDE) else law


def _image(density: Density, of: Map, event_shape) -> Density:
    law, out = plain(density), len(of.scale)
    if event_shape is None:
        event_shape = density.event_shape if out == density.dim else (out,)
    event_shape = tuple(event_shape)
    if math.prod(event_shape) != out:
        raise OptionError(f"x has {out} numbers, event_shape {event_shape} has not")
    if isinstance(law, Gaussian):
        return gaussian_image(law, of, event_shape)
    if isinstance(law, GaussianMixture):
        return mixture_image(law, of, event_shape)
    if isinstance(law, KDE):
        return kde_image(law, of, event_shape)
    if isinstance(law, MixtureOf):
        parts = tuple(_image(part, of, event_shape) for part in law.parts)
        return MixtureOf(parts=parts, weights=law.weights)
    c2 = of.row_square() if out == density.dim else None
    if c2 is None:
        raise CapabilityError(
            f"x = A u + b of a {type(law).__name__} is diffused exactly where A is a similarity "
            "alone (one scale times an orthogonal matrix): under this A equal noise on x is not "
            "equal on u; scale all axes alike, or take a Gaussian or a Gaussian mixture as base"
        )
    return Similarity(law, of, math.sqrt(c2), event_shape)


class Affine(Derived):
    """The law of x = A u + b, u from `base`; options and errors as `affine`.

    Sample i is the image of the base's sample i.
    """

    def __init__(
        self,
        *,
        base: Density,
        scale=1.0,
        matrix=None,
        shift=None,
        event_shape: tuple[int, ...] | None = None,
    ):
        if not isinstance(base, Density):
            raise OptionError(f"base is a density, got {type(base).__name__}")
        self.base = base
        self.of = checked_map(base.dim, scale, matrix, shift)
        self.density = _image(base, self.of, event_shape)
        self.event_shape = self.density.event_shape

    def arguments(self) -> dict:
        return {
            "base": self.base,
            "scale": self.of.scale,
            "matrix": self.of.matrix,
            "shift": self.of.shift,
            "event_shape": self.event_shape,
        }

    def given(self, labels: Tensor | None) -> Self:
        bound = copy.copy(self)
        bound.base, bound.density = self.base.given(labels), self.density.given(labels)
        return bound

    def _sample(self, ids: Tensor, seed: int) -> Tensor:
        return self.of.turn(self.base._sample(ids, seed).reshape(len(ids), -1)) + self.of.shift
