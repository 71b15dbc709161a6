"""A network that knows the exact answer: what perfect training under a process would give."""

import torch
from torch import nn

from scoresde.processes import NoiseLevel


class PerfectNetwork(nn.Module):
    """The output of one kind for an input of unit variance and condition = -log_snr/8.

    Written from the definitions in the training process's own variables: the normalised input is
    scaled back to its state z, the condition to a time, and the posterior means of the density
    are put together as the kind that the network was trained for.
    """

    def __init__(self, density, process, kind: str, sigma_data: float):
        super().__init__()
        self.density, self.process, self.kind = density, process, kind
        self.sigma_data = sigma_data
        self.asked: list[float] = []

    def forward(self, u: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        assert condition.shape == (len(u),)
        self.asked += condition.tolist()
        if self.kind in ("score", "velocity"):
            t = self.process.time(-8.0 * condition)
            level = self.process.level(t, u)
        else:  # these depend on log SNR alone: any process will do, and this has no ends
            ratio = torch.exp(4.0 * condition).reshape(-1, *[1] * (u.ndim - 1))
            one = torch.ones_like(ratio)
            level = NoiseLevel(t=one, alpha=one, sigma=ratio)
        a, s, d = level.alpha, level.sigma, self.sigma_data
        z = u * (a * a * d * d + s * s).sqrt()
        x0, eps = self.density.posterior(z, a, s)
        if self.kind == "x0":
            return x0
        if self.kind == "eps":
            return eps
        if self.kind == "score":
            return -eps / s
        if self.kind == "v":
            return (a * eps - s * x0) / torch.hypot(a, s)
        if self.kind == "velocity":
            return level.alpha_rate * x0 + level.sigma_rate * eps
        edm = (s * s + a * a * d * d).sqrt()  # c_skip, c_out of EDM for the noisy image z/alpha
        return s / (d * edm) * x0 - a * d / edm * eps
