"""Shared by the tests of guidance: labelled mixtures, levels, closed forms by autograd."""

import torch

from scoresde.densities import GaussianMixture
from scoresde.processes import PROCESSES, NoiseLevel

MEANS = [[-2.0, 1.0], [0.3, 1.2], [1.5, 1.0], [-1.0, -1.0], [0.9, -0.8]]
SPREADS = [0.3, 0.1, 0.2, 0.4, 0.15]
WEIGHTS = [0.3, 0.1, 0.2, 0.15, 0.25]
CLASSES = (0, 0, 1, 1, 2)
DENSITY = GaussianMixture(means=MEANS, covariances=SPREADS, weights=WEIGHTS, labels=CLASSES)
# another law on the same events, worse by wider components
BAD = GaussianMixture(
    means=MEANS, covariances=[v + 0.5 for v in SPREADS], weights=WEIGHTS, labels=CLASSES
)
MIXTURE = {
    "name": "gaussian-mixture",
    "means": MEANS,
    "covariances": SPREADS,
    "weights": WEIGHTS,
    "labels": list(CLASSES),
}
METHOD = {"sampler": "dpmpp-2m", "grid": {"name": "uniform-log-snr", "steps": 8}}
LABELS = torch.tensor([0, 1, 2, 2, 1, 0, -1, 1])


def levels_of(name: str) -> list[NoiseLevel]:
    """Four levels of a process, from near the data to near the noise."""
    process = PROCESSES[name]()
    times = torch.linspace(process.t_min, 1.0, 5, dtype=torch.float64)[:-1]
    return list(process.levels(times))


def states(level: NoiseLevel, n: int = len(LABELS)) -> torch.Tensor:
    eps = torch.randn(n, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return level.alpha * DENSITY.sample(torch.arange(n)) + level.sigma * eps


def log_prob(z: torch.Tensor, level: NoiseLevel, labels=None, means=MEANS, spreads=SPREADS):
    """log q(z) or log q(z|c) row by row (c = -1: log q), written out for these mixtures."""
    mu = torch.tensor(means, dtype=torch.float64)
    total = level.alpha**2 * torch.tensor(spreads, dtype=torch.float64) + level.sigma**2
    weights = torch.tensor(WEIGHTS, dtype=torch.float64).expand(len(z), -1)
    if labels is not None:
        own = torch.tensor(CLASSES) == labels[:, None]
        weights = torch.where((labels < 0)[:, None] | own, weights, 0.0)
        weights = weights / weights.sum(1, keepdim=True)
    square = (z[:, None] - level.alpha * mu).square().sum(-1)
    normal = -0.5 * square / total - torch.log(total)  # d = 2, up to a constant
    return (weights.log() + normal).logsumexp(1)


def gradient(function, z: torch.Tensor) -> torch.Tensor:
    """The gradient of a function (batch,) of states, row by row."""
    z = z.detach().requires_grad_()
    (out,) = torch.autograd.grad(function(z).sum(), z)
    return out


def close(got: torch.Tensor, wanted: torch.Tensor, rtol: float = 1e-9) -> None:
    torch.testing.assert_close(got, wanted, rtol=rtol, atol=rtol * float(wanted.abs().max()))
