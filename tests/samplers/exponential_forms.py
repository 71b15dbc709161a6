"""Shared by the exponential solvers' tests: runs in numpy, predictions, lambda, unequal grids."""

import math
from decimal import Decimal, getcontext

import numpy as np
import torch
from sampling_tools import Recorded, denoiser

from scoresde.processes import CLEAN, PROCESSES
from scoresde.samplers import sample
from scoresde.samplers.grids import UniformLogSNR
from scoresde.verify import named

N = 5


def begin(level) -> np.ndarray:
    return np.random.default_rng(4).standard_normal((N, 2)) * level.scale


def run(name: str, levels, model=None) -> np.ndarray:
    """The trajectory (points, batch, 2) of `name` or `name(option=value, ...)`."""
    x = torch.from_numpy(begin(levels[0]))
    result = sample(model or Recorded(), named(name), levels, x, trajectory=True)
    return result.trajectory.transpose(0, 1).numpy()


def close(got, expected, tolerance=1e-12) -> None:
    np.testing.assert_allclose(got, np.array(expected), rtol=tolerance, atol=tolerance)


def grid(name="vp-linear", final="min", steps=7):
    """Unequal intervals of log SNR, from -7."""
    process = PROCESSES[name]()
    levels = UniformLogSNR(steps=steps, final="min", log_snr_min=-7.0).levels(process)
    bent = [v.log_snr + 0.5 * math.sin(2.0 * i) for i, v in enumerate(levels[:-1])]
    levels = tuple(process.at_log_snr(v) for v in (*bent, levels[-1].log_snr))
    return (*levels[:-1], CLEAN) if final == "clean" else levels


def model(kind: str, x, level):
    x0 = denoiser(x, level.alpha, level.sigma)
    return x0 if kind == "x0" else (x - level.alpha * x0) / level.sigma


def lam(level) -> float:
    return math.log(level.alpha) - math.log(level.sigma)


def between(t, s, r: float):
    return t.process.at_log_snr(2 * (lam(t) + r * (lam(s) - lam(t))))


def factors(kind: str, t, s):
    """x_s = linear x - flat m + ramp m' - bend m'' in the forms of the papers' code."""
    h = lam(s) - lam(t)
    if kind == "x0":
        e, a = math.exp(-h) - 1, s.alpha
        return s.sigma / t.sigma, a * e, a * (e / h + 1), a * ((e + h) / h**2 - 0.5)
    e, a = math.exp(h) - 1, s.sigma
    return s.alpha / t.alpha, a * e, -a * (e / h - 1), a * ((e - h) / h**2 - 0.5)


def exact_phi(k: int, z: float) -> Decimal:
    """sum_i z^i/(i + k)! in 80 digits."""
    getcontext().prec = 80
    z, total, term = Decimal(z), Decimal(0), 1 / Decimal(math.factorial(k))
    for i in range(240):
        total += term
        term *= z / (i + k + 1)
    return total


def orders(k: int, steps: int, end: str) -> list[int]:
    """Of a multistep solver's steps, from its own start."""
    lowered = {"full": 0, "lower": steps, "euler": 1}[end]
    return [min(k, i + 1, steps - i if steps - i <= lowered else k) for i in range(steps)]
