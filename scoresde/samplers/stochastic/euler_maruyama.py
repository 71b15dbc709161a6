"""Euler–Maruyama on the reverse SDE."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scoresde.errors import OptionError
from scoresde.samplers.eta import WithEta
from scoresde.samplers.last_step import check_last, last_time


@dataclass(frozen=True, kw_only=True)
class EulerMaruyama(WithEta):
    r"""x_s = x - h [f x - (1 + eta^2)/2 g^2 score] + eta g sqrt(h) z,  h = t - s.

    The reverse SDE dz = [f z - (1 + eta^2)/2 g^2 score] dt + eta g dw of the same marginals for
    every eta: 1 is the reverse SDE, 0 the probability flow. Steps are in the process's own time.
    A step to sigma = 0 adds no noise; with `last` = "posterior-mean" it is x_s = alpha_s x0, with
    "step" the mean of the step above, down to t = 0, where score_sde's predictor ends with
    denoise = True (eps = 1/N there; under VE, whose sigma is not 0 at t = 0, that is as far as it
    goes). Weak order 1, one evaluation a step. (Anderson 1982; Song et al. 2021, Score-based
    generative modeling through SDEs, eq. 6.)
    """

    last: str = "posterior-mean"

    noun = "euler-maruyama"
    variants = ("eta=0",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_last(self.noun, self.last)

    def step(self, tape, x, t, s, memory):
        clean = s.sigma == 0.0
        if clean and self.last == "posterior-mean":
            return s.alpha * tape.evaluate(x, t, "x0"), None
        h = last_time(self.noun, t, s) if clean else t.t - s.t
        f, g2 = t.drift, t.diffusion_squared
        if not (math.isfinite(f) and math.isfinite(g2) and math.isfinite(h)):
            raise OptionError(
                f"euler-maruyama needs finite rates of the process, got f = {f}, g^2 = {g2} at "
                f"t = {t.t}; start the grid later (log_snr_min=-10, say)"
            )
        eps = tape.evaluate(x, t, "eps")  # score = -eps/sigma
        pull = h * 0.5 * (1.0 + self.eta**2) * g2 / t.sigma
        mean = (1.0 - h * f) * x - pull * eps
        if clean:
            return mean, None
        return mean + self.eta * math.sqrt(g2 * h) * tape.normal(between=(t, s)), None
