"""Densities given a linear observation y = A x + n, n ~ N(0, R): the exact posterior."""

from __future__ import annotations

import torch
from torch import Tensor

from scoresde.densities.base import Density
from scoresde.densities.derived import Derived, plain
from scoresde.densities.gaussian import Gaussian
from scoresde.densities.gaussian_image import as_mixture
from scoresde.densities.kde import KDE
from scoresde.densities.mixture import GaussianMixture
from scoresde.densities.mixture_of import MixtureOf
from scoresde.densities.observation import Observation, checked_observation, observe
from scoresde.errors import CapabilityError, OptionError

_LEAST_WEIGHT = 1e-300  # of a component that y all but excludes: its class stays a class


def condition(density: Density, matrix, y, noise=0.0) -> Density:
    r"""p(x | y) for y = A x + n, n ~ N(0, R) independent of x, on the flattened event.

    matrix A (p, d) or one row (d,); y (p,) or a number; noise R is one variance, (p,) variances or
    a covariance (p, p). Of a Gaussian it is a Gaussian; of a mixture (a kernel density estimate,
    too) a mixture of the components' posteriors with weights proportional to
    w_k N(y; A mu_k, A Sigma_k A^T + R), its labels kept; of a `MixtureOf` such, a `MixtureOf`. A
    weight that underflows is held at 1e-300.

    R = 0 is allowed where A Sigma_k A^T is regular (inpainting); the posterior is then flat along
    what was observed and has a score at sigma > 0 alone. Where such rows mix columns whose scales
    differ by more than 1e4, small columns lose digits at small sigma (rows that pick a column each
    do not): scale the columns first. Raises `OptionError` for A Sigma_k A^T + R without an inverse
    and for shapes that do not fit, `CapabilityError` for other laws.
    """
    law = plain(density)
    return _given(law, checked_observation(law.dim, matrix, y, noise), density.event_shape)[0]


def log_evidence(density: Density, matrix, y, noise=0.0) -> Tensor:
    """log p(y) of the observation under the density, in nats, a float64 scalar; see `condition`.

    Raises as `condition`.
    """
    law = plain(density)
    return _given(law, checked_observation(law.dim, matrix, y, noise), density.event_shape)[1]


def _given(law: Density, seen: Observation, event_shape) -> tuple[Density, Tensor]:
    if isinstance(law, KDE):
        law = as_mixture(law)
    if isinstance(law, Gaussian):
        found = observe(law, seen)
        if found.factors is None:
            shape = {"covariance": found.covariances[0]}
        else:
            shape = {"factor": found.factors[0], "variance": 0.0}
        after = Gaussian(mean=found.means[0], event_shape=event_shape, **shape)
        return after, found.log_evidence[0]
    if isinstance(law, MixtureOf):
        parts, evidence = zip(
            *(_given(plain(part), seen, event_shape) for part in law.parts), strict=True
        )
        joint = law.weights.log() + torch.stack(evidence)
        return MixtureOf(parts=parts, weights=_weights(law.weights, joint)), joint.logsumexp(0)
    if not isinstance(law, GaussianMixture):
        raise CapabilityError(
            f"a {type(law).__name__} has no posterior in closed form given y = A x + n; condition "
            "a Gaussian or a mixture of Gaussians"
        )
    found = observe(law, seen)
    joint = law.weights.log() + found.log_evidence
    options = {"structure": "full", "covariances": found.covariances}
    if found.factors is not None:
        k = len(law.means)
        factors = found.factors.expand(k, -1, -1)
        options = {"structure": "low-rank", "factors": factors, "variances": factors.new_zeros(k)}
    elif found.covariances.ndim == 2:
        options["structure"] = "diagonal"
    elif len(found.covariances) < len(law.means):
        options = {"structure": "tied", "covariances": found.covariances[0]}
    after = GaussianMixture(
        means=found.means,
        weights=_weights(law.weights, joint),
        labels=law.arguments().get("labels"),
        event_shape=event_shape,
        **options,
    )
    return after, joint.logsumexp(0)


def _weights(prior: Tensor, joint: Tensor) -> Tensor:
    return torch.where(prior > 0.0, joint.softmax(0).clamp(min=_LEAST_WEIGHT), 0.0)


class Conditioned(Derived):
    """p(x | y) of `base` given y = A x + n, n ~ N(0, noise); options and errors as `condition`."""

    def __init__(self, *, base: Density, matrix, y, noise=0.0):
        if not isinstance(base, Density):
            raise OptionError(f"base is a density, got {type(base).__name__}")
        self.base = base
        self.seen = checked_observation(base.dim, matrix, y, noise)
        self.density, self.log_evidence = _given(plain(base), self.seen, base.event_shape)
        self.event_shape = self.density.event_shape

    def arguments(self) -> dict:
        seen = self.seen
        return {"base": self.base, "matrix": seen.matrix, "y": seen.y, "noise": seen.noise}
