"""Variational Bayes by coordinate ascent (CAVI): each factor of q at its best in turn."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scoresde.data.dataset import Rows
from scoresde.densities import GaussianMixture
from scoresde.estimators.base import OnIteration
from scoresde.estimators.mixture.method import Climb
from scoresde.estimators.mixture.statistics import gather
from scoresde.estimators.mixture.variational import Variational


@dataclass(frozen=True, kw_only=True)
class VariationalBayes(Variational):
    r"""Mean-field variational Bayes: q(z), then q(pi, mu, Lambda), each at its optimum.

    r_nk proportional to exp(E log pi_k + E log N(x_n; mu_k, Lambda_k^-1)), then the conjugate
    posterior given r. The objective is the whole ELBO after both, in nats per datum: it never
    falls but by rounding, and for K = 1 it is the log evidence. One pass over the data an
    iteration. The mixture is that at the posterior means, all K components kept, with the floor
    added to its variances; `Posterior.of(climb.posterior).predictive` is the exact predictive law.

    Attias 2000; Bishop 2006, 10.2. Raises as `Variational.prior`.
    """

    def climb(
        self,
        x: Tensor | Rows,
        start: GaussianMixture,
        *,
        floor: float,
        seed: int = 0,
        on_iteration: OnIteration | None = None,
    ) -> Climb:
        prior = self.prior(x, start, floor=floor)
        posterior = prior.updated(self.started(x, start))
        trace: list[float] = []
        converged = False
        while len(trace) < self.max_iterations and not converged:
            centres = posterior.components.means
            data = gather(x, posterior.log_joint, start.structure, centres, entropy=True)
            posterior = prior.updated(data)
            trace.append(float(posterior.bound(prior, data)) / len(x))
            if on_iteration is not None:
                on_iteration(len(trace), trace[-1])
            converged = len(trace) > 1 and trace[-1] - trace[-2] <= self.tolerance
        return Climb(
            mixture=posterior.mixture(floor=floor, event_shape=start.event_shape),
            trace=tuple(trace),
            iterations=len(trace),
            converged=converged,
            posterior=posterior.tensors(),
        )
