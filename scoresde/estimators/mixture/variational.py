"""What CAVI and SVI share: the priors, and where they start."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.data.dataset import Rows
from scoresde.densities import GaussianMixture
from scoresde.densities.base import as_float64
from scoresde.errors import CapabilityError, DataError, OptionError
from scoresde.estimators.mixture.method import Method
from scoresde.estimators.mixture.normal_wishart import NormalWishart
from scoresde.estimators.mixture.posterior import Posterior
from scoresde.estimators.mixture.statistics import Statistics, gather
from scoresde.estimators.mixture.wishart import MATRICES, STRUCTURES, Wishart


@dataclass(frozen=True, kw_only=True)
class Variational(Method):
    """Priors in common; abstract.

    pi ~ Dir(a0, ..., a0), a0 = `weight_concentration`, 1/K where None: the smaller, the more
    components are left without data. mu_k | Lambda_k ~ N(m0, (b0 Lambda_k)^-1) with m0 the mean of
    the data and b0 = `mean_precision`. Lambda ~ W(S0^-1, n0): n0 = `degrees_of_freedom`, above
    d - 1 for full and tied precisions (None: d) and above 0 for others (None: 1); S0 is
    `covariance_scale` times the data's covariance (divisor n; diagonal: its diagonal; spherical:
    its mean diagonal) plus the floor of variances.

    A component that loses its data falls back to the prior and keeps the weight a0/(K a0 + n).
    """

    weight_concentration: float | None = None
    mean_precision: float = 1.0
    degrees_of_freedom: float | None = None
    covariance_scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        ways = {
            "weight_concentration": "0.01 empties components, 1 is uniform",
            "mean_precision": "1 is a prior worth one datum",
            "degrees_of_freedom": "leave it out for the least informative whole number",
            "covariance_scale": "1 takes the data's covariance",
        }
        for name, way in ways.items():
            value = getattr(self, name)
            if value is None and name in ("weight_concentration", "degrees_of_freedom"):
                continue
            if not (is_number(value) and 0.0 < value < math.inf):
                own = type(self).__name__
                raise OptionError(f"{name} of {own} is a finite number > 0, got {value!r}; {way}")

    def prior(self, x: Tensor | Rows, start: GaussianMixture, *, floor: float = 0.0) -> Posterior:
        """The prior for data x (n, *event), in the structure and with the K of `start`.

        Raises:
            CapabilityError: a start of low-rank covariances, which have no conjugate prior.
            OptionError: degrees of freedom of a law that cannot be normalised.
            DataError: data without spread in some direction where the floor is 0.
        """
        structure = start.structure
        if structure not in STRUCTURES:
            raise CapabilityError(
                f"{structure} covariances have no conjugate prior for variational Bayes; take one "
                f"of {', '.join(STRUCTURES)}, or climb by em"
            )
        k, d = start.means.shape
        order = d if structure in MATRICES else 1
        degrees = float(order) if self.degrees_of_freedom is None else self.degrees_of_freedom
        if not degrees > order - 1:
            raise OptionError(
                f"degrees_of_freedom of {structure} precisions in {d} dimensions exceed "
                f"{order - 1}, got {degrees:g}; leave it out for {order}"
            )
        mean, scatters = self._moments(x, start, floor)
        full = start.means.new_full
        return Posterior(
            concentrations=full(
                (k,), 1.0 / k if self.weight_concentration is None else self.weight_concentration
            ),
            components=NormalWishart(
                means=mean.expand(k, d),
                mean_precisions=full((k,), float(self.mean_precision)),
                precisions=Wishart(
                    structure=structure,
                    scatters=scatters,
                    degrees=full(() if structure == "tied" else (k,), degrees),
                ),
            ),
        )

    def _moments(
        self, x: Tensor | Rows, start: GaussianMixture, floor: float
    ) -> tuple[Tensor, Tensor]:
        """The data's mean (d,), and S0 in the structure of `start`."""
        structure, d = start.structure, start.means.shape[1]
        own = "tied" if structure == "full" else structure
        centre = (start.weights @ start.means)[None]
        data = gather(x, lambda part: part.new_zeros(len(part), 1), own, centre)
        mean = centre[0] + data.sums[0] / data.rows
        within = self.covariance_scale * data.recentred(mean[None]).squares / data.rows
        if own == "tied":
            least = float(torch.linalg.eigvalsh(within)[0])
            scatter = within + floor * torch.eye(d, dtype=torch.float64, device=within.device)
            definite = int(torch.linalg.cholesky_ex(scatter).info) == 0
        else:
            within = within / d if own == "spherical" else within
            least = float(within.min())
            scatter = within + floor
            definite = bool((scatter > 0.0).all())
        if not definite:
            raise DataError(
                f"the data have no spread in some direction (least variance {least:.3g}), so the "
                f"prior of the precisions is improper; raise the variance floor above {floor:g}"
            )
        shape = {"full": (len(start.means), d, d), "tied": (d, d)}
        return mean, scatter.expand(shape.get(structure, (len(start.means), *scatter.shape[1:])))

    def started(self, x: Tensor | Rows, start: GaussianMixture) -> Statistics:
        """The statistics of len(x) data that fit `start` exactly: N w_k, 0 and N w_k Sigma_k."""
        counts = len(x) * start.weights
        own = as_float64("covariances", start.arguments()["covariances"], (1, 2, 3))
        own = own.to(counts.device)
        if start.structure == "spherical":
            own = own * start.means.shape[1]
        if start.structure == "tied":
            squares = counts.sum() * own
        else:
            squares = counts.reshape(-1, *[1] * (own.ndim - 1)) * own
        return Statistics(
            structure=start.structure,
            counts=counts,
            sums=torch.zeros_like(start.means),
            squares=squares,
            log_normaliser=0.0,
            rows=len(x),
            centres=start.means,
        )


def is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
