"""The variational bound on the log-likelihood, term by term."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.errors import DataError, OptionError
from scoresde.kernels import Purpose
from scoresde.objectives.base import Draws, Objective
from scoresde.objectives.denoising import weighted_errors
from scoresde.processes import LearnedVP, NoiseLevel, Process
from scoresde.processes.level import posterior_variance
from scoresde.score import ScoreModel
from scoresde.score.parametrization import check_kind

_ON_LATTICE = 1e-3  # of a step; float32's rounding of data in [-1, 1] is 1e-5 of an 8-bit step


@dataclass(frozen=True, kw_only=True)
class Bound(Objective):
    r"""-log p(x) <= KL(q(z_1|x)|p(z_1)) - E log p(x|z_0) + L_T(x), in nats per dimension.

    Divided by log 2 it is in bits per dimension, of model space. z_0 stands at the process's
    t_min, where its SNR is finite, and p(z_1) = N(0, alpha_1^2 + sigma_1^2).

    diffusion       T = `steps` = 0: L_inf = -1/2 E_t SNR'(t) |x0_hat - x|^2, t uniform.
                    T > 0: L_T = T/2 E_i [SNR(s) - SNR(t)] |x0_hat - x|^2 over T equal intervals
    reconstruction  p(x|z_0) ~ q(z_0|x), normalised over x: over the real line where `values` = 0
                    (a density; E over z_0 in closed form), else over the lattice of that many
                    values from `low` to `high` that the data lie on (a probability; 8-bit images
                    have 256). The lattice takes event x values numbers a datum

    Each term is unbiased. Times of a batch are spread evenly where `stratified`. Under a learned
    process gamma_0 and gamma_1 learn by the bound. So does gamma's shape where T > 0; L_inf does
    not depend on it, and there it learns by the variance of the diffusion term. (Kingma et al.
    2021, Variational diffusion models, sec. 4 and 5; Sohl-Dickstein et al. 2015 for L_T.)
    """

    kind: str = "eps"
    steps: int = 0
    values: int = 0
    low: float = -1.0
    high: float = 1.0
    stratified: bool = True

    def __post_init__(self) -> None:
        check_kind(self.kind)
        if isinstance(self.steps, bool) or not 0 <= self.steps <= 10_000_000:
            raise OptionError(
                f"steps of the bound lie in 0..10000000, 0 being continuous time, got {self.steps}"
            )
        if isinstance(self.values, bool) or not (self.values == 0 or 2 <= self.values <= 65_536):
            raise OptionError(
                "values of the bound are 2..65536 values of a lattice, or 0 for real data, "
                f"got {self.values}"
            )
        if not -math.inf < self.low < self.high < math.inf:
            raise OptionError(
                f"low and high of the bound need low < high, got {self.low} and {self.high}"
            )

    def losses(self, model, process, x, draws) -> Tensor:
        return sum(self.terms(model, process, x, draws).values())

    def terms(
        self, model: ScoreModel, process: Process, x: Tensor, draws: Draws
    ) -> dict[str, Tensor]:
        """`prior`, `reconstruction`, `diffusion` of every datum, each (batch,).

        Raises `DataError` for data off the lattice, `OptionError` where T > 0 and the kind does
        not determine x0 at t = 1.
        """
        pair = (2, *x.shape[1:]) if self.values else (1, *x.shape[1:])
        eps = draws.normal(Purpose.TRAIN, pair).to(x.dtype)
        u = draws.stratified(Purpose.TIME) if self.stratified else draws.uniform(Purpose.TIME)
        ends = torch.tensor([process.t_min, 1.0], dtype=torch.float64, device=x.device)
        first, last = (_level(process, end.reshape(1), x)[0] for end in ends)
        return {
            "prior": _prior(x, last),
            "reconstruction": self._reconstruction(x, eps[:, -1], first),
            "diffusion": self._diffusion(model, process, x, eps[:, 0], u),
        }

    def _reconstruction(self, x: Tensor, eps: Tensor, level: NoiseLevel) -> Tensor:
        if self.values:
            return self._on_lattice(x, eps, level.noise_ratio)
        # -log N(x; z_0/alpha_0, r^2) with x - z_0/alpha_0 = -r eps, E eps^2 = 1
        mean = 0.5 * (1.0 + math.log(2.0 * math.pi) - level.log_snr)
        return mean.to(x.dtype).reshape(1).expand(len(x))

    def _on_lattice(self, x: Tensor, eps: Tensor, ratio: Tensor) -> Tensor:
        r"""log sum_k exp(-(i - k)^2 ...): -log p(x_i|z_0), p ~ exp(-(z_0/alpha_0 - x_k)^2/2r^2).

        z_0/alpha_0 - x_k = (i - k) step + r eps, which does not cancel.
        """
        step = (self.high - self.low) / (self.values - 1)
        place = (x - self.low) / step
        index = place.round()
        on = ((place - index).abs() <= _ON_LATTICE) & (index >= 0) & (index < self.values)
        if not bool(on.all()):
            raise DataError(
                f"the value {x[~on][0].item():.6g} of the data is none of {self.values} even "
                f"values from {self.low:g} to {self.high:g}; set the objective's values, low and "
                "high to what the data are in model space, or values = 0 for real data"
            )
        k = torch.arange(self.values, dtype=x.dtype, device=x.device)
        gap = (index[..., None] - k) * (step / ratio).to(x.dtype)[..., None] + eps[..., None]
        nats = torch.logsumexp(-0.5 * gap.square(), dim=-1) + 0.5 * eps.square()
        return nats.flatten(1).mean(1)

    def _diffusion(self, model, process, x: Tensor, eps: Tensor, u: Tensor) -> Tensor:
        low = process.t_min
        span = 1.0 - low
        if not self.steps:
            level, steer = _level(process, low + span * u, x)
            losses = weighted_errors(model, self.kind, x, eps, level, -0.5 * span * level.snr_rate)
            steer(losses)
            return losses
        i = torch.floor(u * self.steps)
        s, _ = _level(process, low + span * (i / self.steps), x)
        t, _ = _level(process, (low + span * ((i + 1.0) / self.steps)).clamp(max=1.0), x)
        if self.kind in ("eps", "score") and not bool((t.alpha > 0.0).all()):
            raise OptionError(
                f"the kind {self.kind!r} does not determine x0 at t = 1 of "
                f"{type(process).__name__}, where alpha = 0: take the kind v or F, or steps = 0"
            )
        # SNR(s) - SNR(t) = SNR(s) (1 - SNR(t)/SNR(s))
        share = posterior_variance(t, s)[0] / t.sigma**2
        weight = 0.5 * self.steps * share / s.noise_ratio**2
        return weighted_errors(model, self.kind, x, eps, t, weight)


def _level(process: Process, t: Tensor, x: Tensor) -> tuple[NoiseLevel, Callable[[Tensor], None]]:
    """The level of times (batch,) in float64; a learned process's carries gradients."""
    like = torch.empty([1] * x.ndim, dtype=torch.float64, device=x.device)
    if isinstance(process, LearnedVP):
        return process.training_level(t, like)
    return process.level(t, like), lambda losses: None


def _prior(x: Tensor, level: NoiseLevel) -> Tensor:
    """KL(N(alpha x, sigma^2)|N(0, s^2)) = (u x^2 - u)/2 - log(sigma/s), u = alpha^2/s^2."""
    share = (level.alpha / level.scale) ** 2
    constant = -0.5 * share - torch.log(level.sigma / level.scale)
    square = x.square().flatten(1).mean(1)
    return 0.5 * share.to(x.dtype).reshape(1) * square + constant.to(x.dtype).reshape(1)
