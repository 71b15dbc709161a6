"""Euler–Maruyama on the reverse SDE."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scoresde.errors import OptionError
from scoresde.samplers.eta import WithEta


@dataclass(frozen=True, kw_only=True)
class EulerMaruyama(WithEta):
    r"""x_s = x - h [f x - (1 + eta^2)/2 g^2 score] + eta g sqrt(h) z,  h = t - s.

    The reverse SDE dz = [f z - (1 + eta^2)/2 g^2 score] dt + eta g dw of the same marginals for
    every eta: 1 is the reverse SDE, 0 the probability flow. Steps are in the process's own time.
    A step to sigma = 0 takes the posterior mean, x_s = alpha_s x0, without noise. Weak order 1,
    one evaluation a step. (Anderson 1982; Song et al. 2021, Score-based generative modeling
    through SDEs, eq. 6.)
    """

    noun = "euler-maruyama"
    variants = ("eta=0",)

    def step(self, tape, x, t, s, memory):
        if s.sigma == 0.0:
            return s.alpha * tape.evaluate(x, t, "x0"), None
        h, f, g2 = t.t - s.t, t.drift, t.diffusion_squared
        if not (math.isfinite(f) and math.isfinite(g2) and math.isfinite(h)):
            raise OptionError(
                f"euler-maruyama needs finite rates of the process, got f = {f}, g^2 = {g2} at "
                f"t = {t.t}; start the grid later (log_snr_min=-10, say)"
            )
        eps = tape.evaluate(x, t, "eps")  # score = -eps/sigma
        z = tape.normal(between=(t, s))
        pull = h * 0.5 * (1.0 + self.eta**2) * g2 / t.sigma
        return (1.0 - h * f) * x - pull * eps + self.eta * math.sqrt(g2 * h) * z, None
