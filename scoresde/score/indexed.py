r"""Networks on the timesteps of a discrete chain (DDPM, Improved DDPM, diffusers)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.processes import DiscreteDDPM, NoiseLevel
from scoresde.processes.level import posterior_variance
from scoresde.score.foreign import Foreign
from scoresde.score.parametrization import check_kind

INDEXED_KINDS = ("eps", "v", "x0")


class _Indexed(Foreign):
    """out = function(z, index) for the instant i = 1 + index - first_index of a chain."""

    def __init__(
        self,
        function: Callable[..., Tensor],
        event_shape: tuple[int, ...],
        process: DiscreteDDPM,
        *,
        kind: str = "eps",
        first_index: int = 0,
        whole: bool = False,
        sigma_data: float = 1.0,
        **options,
    ):
        super().__init__(function, event_shape, **options)
        if kind not in INDEXED_KINDS:
            raise OptionError(unknown("kind of an indexed network", kind, list(INDEXED_KINDS)))
        if not isinstance(process, DiscreteDDPM):
            raise OptionError(
                f"an indexed network needs the DiscreteDDPM chain that its indices count, got "
                f"{type(process).__name__}; a network of a continuous time is a VelocityField or "
                "a Denoiser"
            )
        if isinstance(first_index, bool) or not isinstance(first_index, int):
            raise OptionError(f"first_index is a whole number, mostly 0 or 1; got {first_index!r}")
        self.kind, self.process = kind, process
        self.first_index, self.whole, self.sigma_data = first_index, whole, sigma_data

    def home(self, log_snr: Tensor) -> tuple[NoiseLevel, Tensor]:
        chain = self.process
        place = chain.time(log_snr) * chain.steps
        nearest = place.round()
        # (i/T) T is not i to the last bit, and an instant of the chain is to be met exactly
        on_chain = (place - nearest).abs() < 1e-9
        place = nearest if self.whole else torch.where(on_chain, nearest, place)
        place = place.clamp(1.0, float(chain.steps))
        t = place / chain.steps
        index = place + (self.first_index - 1)
        level = NoiseLevel(t, chain.alpha(t), chain.sigma(t), process=chain)
        return level, index.to(torch.int64) if self.whole else index


class DiscreteNetwork(_Indexed):
    r"""out = function(z, index), read as `kind`: eps, v or x0.

    z = alpha_i x + sigma_i eps, of a chain with alpha_i^2 = prod_{j<=i} (1 - beta_j). The chain's
    instants are i = 1..T (i = 0 is the data); the function's index there is i - 1 + first_index:
        first_index = 0: timesteps 0..T-1, as in the code of DDPM, Improved DDPM and diffusers;
        first_index = 1: i itself, as in the papers.
    A network of tau = index/T is wrapped with that division in the function.

    Levels off the chain have a fractional index at equal log SNR (between instants log alpha is
    linear in i), which a sinusoidal embedding takes as it is; index is (batch,) floating. With
    `whole` the index is (batch,) int64: the nearest instant is asked, with the state rescaled to
    it, and v is carried over. That is exact on the discrete grid, and off it wrong by at most
    half a step in i. Levels before the first instant or past the last are asked there.

    Other options: `sigma_data`, and those of `Foreign`.
    """


class LearnedVarianceNetwork(_Indexed):
    r"""A network of 2C channels: the prediction, then u in [-1, 1] of its reverse variance.

    log Sigma = w log beta + (1 - w) log beta_tilde, w = (u + 1)/2, of the law q(z_s | z_t) of a
    step between two levels, respaced: beta = sigma^2_{t|s} and beta_tilde = sigma^2_Q of these two
    on the network's own chain. Under any other process Sigma is carried over with the state.
    (Nichol & Dhariwal 2021, Improved DDPM, eq. 15; `learned_range` elsewhere.) Options as in
    `DiscreteNetwork`.
    """

    def _output_shape(self, z: Tensor) -> tuple[int, ...]:
        return (z.shape[0], 2 * z.shape[1], *z.shape[2:])

    def _evaluate(self, x: Tensor, level: NoiseLevel) -> tuple[NoiseLevel, Tensor, Tensor]:
        home, z, out = super()._evaluate(x, level)
        return home, z, out[:, : x.shape[1]]

    def predict_with_variance(
        self, x: Tensor, level: NoiseLevel, to: NoiseLevel, kind: str
    ) -> tuple[Tensor, Tensor]:
        """(the prediction, the variance (batch, *event) of the step down to `to`), in one pass.

        Both are levels of a grid, with fields that are floats. The variance is 0 where `to` is the
        data: the last step adds no noise.
        """
        check_kind(kind)
        home, z, out = super()._evaluate(x, level)
        channels = x.shape[1]
        prediction = self._read(x, level, home, z, out[:, :channels], kind)
        if to.sigma == 0.0:
            return prediction, torch.zeros_like(x)
        beta, beta_tilde = posterior_variance(_normalised(level), _normalised(to))
        w = 0.5 * (out[:, channels:] + 1.0)
        return prediction, to.scale**2 * beta**w * beta_tilde ** (1.0 - w)


def _normalised(level: NoiseLevel) -> NoiseLevel:
    """The level of equal SNR with alpha^2 + sigma^2 = 1, as all of a chain's are."""
    return NoiseLevel(t=math.nan, alpha=level.alpha / level.scale, sigma=level.sigma / level.scale)
