"""A variance-preserving process whose schedule is learned."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from scoresde.errors import NonFiniteError, OptionError
from scoresde.processes.base import Process
from scoresde.processes.level import NoiseLevel

Steer = Callable[[Tensor], None]

_ROUNDING = 4.0 * torch.finfo(torch.float64).eps


class LearnedVP(Process, nn.Module):
    r"""sigma^2 = sigmoid(gamma), alpha^2 = sigmoid(-gamma), gamma = (1 - w) gamma_0 + w gamma_1.

    w(t) = (m(t) - m(0))/(m(1) - m(0)) with m(t) = t + sum_j h_j sigmoid(a_j (t - p_j)) and h_j,
    a_j > 0: w rises from exactly 0 at t = 0 to exactly 1 at t = 1 for every value of the
    parameters (log h, log a, p), so for averages of them too. Beyond [0, 1] gamma goes on along
    its tangents. log SNR = -gamma, and SNR(0) is finite: t_min = 0. (Kingma et al. 2021,
    Variational diffusion models, sec. 3.2 and appendix H.)

    The functions of a process take the schedule as it stands: no gradient reaches its parameters
    through them, so a loss of any other purpose leaves it alone. `training_level` is where it
    learns. Parameters stay float64 whatever dtype the module is moved to.

    width       number of sigmoids
    gamma_min   gamma_0 = -log SNR(0) before training
    gamma_max   gamma_1 = -log SNR(1) before training; the paper begins at 5, alpha_1 = 0.08
    learn_ends  whether gamma_0 and gamma_1 learn
    """

    t_min = 0.0

    def __init__(
        self,
        *,
        width: int = 32,
        gamma_min: float = -13.3,
        gamma_max: float = 10.0,
        learn_ends: bool = True,
    ):
        super().__init__()
        if isinstance(width, bool) or not 1 <= width <= 65_536:
            raise OptionError(f"width of a learned schedule lies in 1..65536, got {width}")
        if not -700.0 <= gamma_min < gamma_max <= 700.0:
            raise OptionError(
                "gamma_min and gamma_max need -700 <= gamma_min < gamma_max <= 700, "
                f"got {gamma_min} and {gamma_max}"
            )
        ends = [torch.tensor(float(g), dtype=torch.float64) for g in (gamma_min, gamma_max)]
        for name, end in zip(("gamma_0", "gamma_1"), ends, strict=True):
            if learn_ends:
                setattr(self, name, nn.Parameter(end))
            else:
                self.register_buffer(name, end)
        # even places, sigmoids that overlap: nearly the straight line
        places = (torch.arange(width, dtype=torch.float64) + 0.5) / width
        self.log_height = nn.Parameter(torch.full_like(places, -math.log(width)))
        self.log_rise = nn.Parameter(torch.full_like(places, math.log(width)))
        self.place = nn.Parameter(places)

    def _apply(self, fn, recurse=True):
        def kept(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        return super()._apply(kept, recurse)

    def _ends(self, device) -> tuple[Tensor, Tensor]:
        return self.gamma_0.to(device), self.gamma_1.to(device)

    def _shape(self, device) -> tuple[Tensor, Tensor, Tensor]:
        return tuple(p.to(device) for p in (self.log_height, self.log_rise, self.place))

    def _frozen(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(gamma, gamma'), without a gradient to the parameters."""
        t = t.to(torch.float64)
        ends = (end.detach() for end in self._ends(t.device))
        shape = (p.detach() for p in self._shape(t.device))
        return _gamma(t, *ends, *rising(t.clamp(0.0, 1.0), *shape))

    def gamma(self, t: Tensor) -> Tensor:
        """-log SNR."""
        return self._frozen(t)[0]

    def gamma_rate(self, t: Tensor) -> Tensor:
        """gamma' > 0."""
        return self._frozen(t)[1]

    def log_snr(self, t: Tensor) -> Tensor:
        return -self.gamma(t)

    def alpha(self, t: Tensor) -> Tensor:
        return sigmoid(-self.gamma(t)).sqrt()

    def sigma(self, t: Tensor) -> Tensor:
        return sigmoid(self.gamma(t)).sqrt()

    def alpha_rate(self, t: Tensor) -> Tensor:
        return _rates(*self._frozen(t))[0]

    def sigma_rate(self, t: Tensor) -> Tensor:
        return _rates(*self._frozen(t))[1]

    def time(self, log_snr: Tensor) -> Tensor:
        """The t at which -gamma(t) = log_snr, to rounding; differentiable in log_snr."""
        gamma = -log_snr.to(torch.float64)
        with torch.no_grad():
            t = self._solve(gamma)
        value, slope = self._frozen(t)
        return torch.where(torch.isfinite(gamma), t - (value - gamma) / slope, t)

    def _solve(self, gamma: Tensor) -> Tensor:
        """Newton's method, with bisection where it leaves its bracket or slows down."""
        ends, slopes = self._frozen(torch.tensor([0.0, 1.0], device=gamma.device))
        target = gamma.clamp(ends[0], ends[1])
        outside = (gamma - target) / torch.where(gamma < target, slopes[0], slopes[1])
        low, high = torch.zeros_like(target), torch.ones_like(target)
        t, step = (target - ends[0]) / (ends[1] - ends[0]), torch.ones_like(target)
        for _ in range(200):
            value, slope = self._frozen(t)
            missed = (value - target).abs() > _ROUNDING * (1.0 + target.abs())
            if not bool(missed.any()):
                break
            low, high = torch.where(value > target, low, t), torch.where(value > target, t, high)
            newton = (target - value) / slope
            to = t + newton
            wild = (to < low) | (to > high) | (2.0 * newton.abs() > step.abs())
            to = torch.where(wild, 0.5 * (low + high), to)
            step = torch.where(missed, to - t, 0.0)
            t = torch.where(missed, to, t)
        return t + outside

    def training_level(self, t: Tensor, like: Tensor) -> tuple[NoiseLevel, Steer]:
        r"""As `level`, differentiable in the parameters, with the means to steer the shape.

        What the loss depends on through gamma_0 and gamma_1 learns by the loss. Its mean over t
        does not depend on w, and its variance does: `steer(l)`, called with the losses l (batch,)
        of these levels before the backward pass, multiplies what reaches datum i's w and w' by 2
        l_i, so that where gamma_0, gamma_1 and the network receive the gradient of mean(l), w
        receives that of mean(l^2). Each datum has its own factor, so the parts of a batch add up
        to the whole. (Kingma et al. 2021, appendix I.)

        Raises `NonFiniteError` where learning has taken gamma_0 past gamma_1.
        """
        gamma_0, gamma_1 = self._ends(t.device)
        if not bool(gamma_0 < gamma_1):
            raise NonFiniteError(
                f"the learned schedule's ends have crossed: gamma_0 = {gamma_0.item():.4g}, "
                f"gamma_1 = {gamma_1.item():.4g}; lower the learning rate, or keep the ends fixed "
                "by learn_ends = false"
            )
        t = t.to(torch.float64).reshape(-1, *[1] * (like.ndim - 1))
        w, w_rate = rising(t.clamp(0.0, 1.0), *self._shape(t.device))
        gamma, rate = _gamma(t, gamma_0, gamma_1, w, w_rate)
        alpha, sigma = sigmoid(-gamma).sqrt(), sigmoid(gamma).sqrt()
        level = NoiseLevel(t, alpha, sigma, *_rates(gamma, rate), process=self)

        def steer(losses: Tensor) -> None:
            factor = 2.0 * losses.detach().to(torch.float64).reshape(t.shape)
            for value in (w, w_rate):
                if value.requires_grad:
                    value.register_hook(lambda gradient: gradient * factor)

        return level.cast(like.dtype), steer


def sigmoid(v: Tensor) -> Tensor:
    """1/(1 + e^-v) without overflow; the same for a value whatever stands beside it.

    torch's own differs by an ulp between a vector's body and its tail, and so would a level.
    """
    positive = v >= 0.0
    small = torch.exp(-torch.where(positive, v, -v))
    return torch.where(positive, 1.0, small) / (1.0 + small)


def rising(t: Tensor, log_height: Tensor, log_rise: Tensor, place: Tensor):
    r"""(w, w') at t in [0, 1], from parameters (width,), exact at both ends.

    sigmoid(u) - sigmoid(v) = sigmoid(u) sigmoid(-v) (1 - e^(v - u)) keeps m(t) - m(0) and m(1) -
    m(t) free of cancellation; each is exactly zero at its own end, where its gradient is too.
    """
    height, rise, x = log_height.exp(), log_rise.exp(), t[..., None]
    above, below = sigmoid(rise * (x - place)), sigmoid(rise * (place - x))
    start, end = sigmoid(rise * place), sigmoid(rise * (1.0 - place))
    since = t - (height * start * above * torch.expm1(-rise * x)).sum(-1)
    until = (1.0 - t) - (height * end * below * torch.expm1(-rise * (1.0 - x))).sum(-1)
    total = since + until
    w = torch.where(t < 0.5, since / total, 1.0 - until / total)
    return w, (1.0 + (height * rise * above * below).sum(-1)) / total


def _gamma(t: Tensor, gamma_0: Tensor, gamma_1: Tensor, w: Tensor, w_rate: Tensor):
    """(gamma, gamma') at t, from w and w' at the nearest time in [0, 1]."""
    rate = (gamma_1 - gamma_0) * w_rate
    return torch.lerp(gamma_0, gamma_1, w) + rate * (t - t.clamp(0.0, 1.0)), rate


def _rates(gamma: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    """alpha' = -gamma' alpha sigma^2/2, sigma' = gamma' sigma alpha^2/2."""
    clean, noisy = sigmoid(-gamma), sigmoid(gamma)
    return -0.5 * rate * clean.sqrt() * noisy, 0.5 * rate * noisy.sqrt() * clean
