"""A third party's package: a sampler by its entry point in the group scoresde.samplers."""

from dataclasses import dataclass

from scoresde.samplers import GridSampler


@dataclass(frozen=True, kw_only=True)
class LogEuler(GridSampler):
    """x_s/alpha_s = x_t/alpha_t + (r_s - r_t) eps, r = sigma/alpha, times `gain`."""

    gain: float = 1.0
    order = order_cold = 1

    def step(self, tape, x, t, s, memory):
        eps = tape.evaluate(x, t, "eps")
        rise = self.gain * (s.sigma - t.sigma * s.alpha / t.alpha)
        return (s.alpha / t.alpha) * x + rise * eps, None


class FalselySecond(LogEuler):
    """The same, and a false declaration of order 2."""

    order = order_cold = 2
