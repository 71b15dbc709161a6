"""Stationary laws of Langevin kernels on a Gaussian: biased as known, or not at all."""

from __future__ import annotations

import math

import torch

from scoresde.densities import Gaussian
from scoresde.kernels import Noise
from scoresde.langevin import KERNELS, ULA, Chain, LangevinKernel
from scoresde.score import ExactScore
from scoresde.verify.verdict import Check, judge

CHAINS, STEPS = 12_000, 50
STEP_SIZE = 0.3
VARIANCES = (0.5, 1.0, 2.0)
STANDARD_ERRORS = 4.0


def stationary_variance(kernel: LangevinKernel, v: float) -> float:
    """v/(1 - delta/(2 v)) for ULA; v for a kernel that leaves the target in place."""
    return v / (1.0 - kernel.step_size / (2.0 * v)) if isinstance(kernel, ULA) else v


def chain_checks(name: str, kernel: LangevinKernel) -> list[Check]:
    """The variance of many chains' last states against the kernel's stationary variance.

    Chains start from N(0, 1.5 v); measured is how many standard errors, v sqrt(2/chains), the
    sample variance lies off, coordinate by coordinate.
    """
    law = Gaussian(mean=[0.0] * len(VARIANCES), covariance=torch.diag(torch.tensor(VARIANCES)))
    x = law.sample(torch.arange(CHAINS), seed=3) * math.sqrt(1.5)
    chain = Chain(draws=1, warm_up=STEPS)
    last = chain.run(ExactScore(law), kernel, x, Noise(4)).x
    checks = []
    for variance, column in zip(VARIANCES, last.T, strict=True):
        expected = stationary_variance(kernel, variance)
        got = float(column.square().mean())
        off = (got / expected - 1.0) / math.sqrt(2.0 / CHAINS)
        detail = f"in standard errors: {got:.4f} for {expected:.4f}, step size {kernel.step_size}"
        where = f"N(0, {variance:g})"
        checks.append(judge(name, "stationary variance", where, off, 0.0, STANDARD_ERRORS, detail))
    return checks


def kernel_named(name: str, **options) -> LangevinKernel:
    """A kernel of the family, at the court's step size unless another is given."""
    return KERNELS[name](**{"step_size": STEP_SIZE, **options})
