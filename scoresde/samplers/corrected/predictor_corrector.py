"""Predictor-corrector sampling."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.kernels import Purpose
from scoresde.processes import NoiseLevel
from scoresde.processes.level import posterior_variance
from scoresde.samplers.base import GridSampler
from scoresde.samplers.last_step import check_last
from scoresde.samplers.plan import Move, Tape, Term
from scoresde.samplers.stochastic.ancestral import Ancestral
from scoresde.samplers.stochastic.euler_maruyama import EulerMaruyama

PREDICTORS = ("reverse-diffusion", "ancestral", "euler-maruyama", "none")
CORRECTORS = ("annealed-langevin", "langevin", "none")
NOISE_NORMS = ("expected", "drawn")
_UNIT = 1e-9  # a level whose scale is 1 to this belongs to a process that keeps the variance


@dataclass(frozen=True, kw_only=True)
class PredictorCorrector(GridSampler):
    r"""At every level t: `corrections` times x <- x + d score + sqrt(2 d) z, then a move to s.

    Correctors, with r = `snr` and a = (alpha_t/alpha_s)^2, which is 1 - beta of the chain under VP
    and 1 under VE: `annealed-langevin` d = 2 a (r sigma_t)^2; `langevin` d = 2 a (r |z|/|score|)^2
    in the sample's own norms, |z| its expectation sqrt(dim) or, with noise_norm = "drawn", that of
    the z drawn. score_sde averages both norms over the batch; with a batch of one it is "drawn".

    A step that depends on the state leaves q |score|^2 in place of q as r -> 0: a variance 1 +
    2/dim times too large on Gaussians (measured: 1.24 for 8 dimensions, 1.019 for 128). So
    `langevin` is for images; in the plane its step has no mean, and weights of a mixture come out
    wrong. The default, `annealed-langevin`, is right in any dimension.

    Predictors, with a_ts = alpha_t/alpha_s, G^2 = sigma_t^2 - a_ts^2 sigma_s^2:
    `reverse-diffusion` (2 - a_ts) x + G^2 score + G z, the discretised forward step reversed
    (beta = G^2 under VP, f = 0 under VE); `ancestral` (x + G^2 score)/a_ts with noise of variance
    G^2 under VP and G^2 sigma_s^2/sigma_t^2 under any other process; `euler-maruyama` in the
    process's time; `none` leaves x as it is.

    The move to sigma = 0 is the predictor's own mean: with the chain's every instant as grid,
    score_sde's last step at beta_1 with denoise = True. `denoise` = False adds the predictor's own
    noise to it as well, score_sde's denoise = False: sqrt(G^2) z, none for `ancestral` where its
    variance has sigma_s, g sqrt(h) z for `euler-maruyama`; the result then has about the noise of
    the last level. `euler-maruyama` takes the posterior mean alpha_s x0 there unless `last` =
    "step", its own; `none` takes the posterior mean. After `none` a last level with noise is
    corrected too. Weak order 1 without a corrector (Euler's steps by another name); with one, no
    order: more steps also mean more corrections, and the law's bias is the corrector's, a relative
    variance r^2 at most. 1 + corrections evaluations a step.
    (Song, Sohl-Dickstein, Kingma, Kumar, Ermon & Poole 2021, Score-based generative modeling
    through SDEs, algorithms 1-5 and appendices E-G.)
    """

    predictor: str = "reverse-diffusion"
    corrector: str = "annealed-langevin"
    snr: float = 0.16
    corrections: int = 1
    noise_norm: str = "expected"
    denoise: bool = True
    last: str = "posterior-mean"

    stochastic = True
    variants = ("corrector=none",)

    def __post_init__(self) -> None:
        for name, known in (
            ("predictor", PREDICTORS),
            ("corrector", CORRECTORS),
            ("noise_norm", NOISE_NORMS),
        ):
            value = getattr(self, name)
            if value not in known:
                noun = f"{name} of predictor-corrector"
                raise OptionError(unknown(noun, value, list(known)))
        if self.predictor == self.corrector == "none":
            raise OptionError(
                "predictor-corrector with neither does nothing; name a predictor or a corrector"
            )
        if not 0.0 < self.snr < 1.0:
            raise OptionError(f"snr of predictor-corrector lies in (0, 1), got {self.snr}")
        whole = isinstance(self.corrections, int) and not isinstance(self.corrections, bool)
        if not whole or not 1 <= self.corrections <= 2000:
            raise OptionError(
                "corrections of predictor-corrector are whole and lie in 1..2000, got "
                f"{self.corrections}; corrector='none' corrects nothing"
            )
        self._check_the_end()

    def _check_the_end(self) -> None:
        check_last("predictor-corrector", self.last)
        if not isinstance(self.denoise, bool):
            raise OptionError(
                f"denoise of predictor-corrector is True or False, got {self.denoise!r}"
            )
        if self.last == "step" and self.predictor != "euler-maruyama":
            raise OptionError(
                "last='step' of predictor-corrector is for predictor='euler-maruyama', got "
                f"{self.predictor!r}, which has but one last step; leave last out"
            )
        own = self.last == "step" or self.predictor not in ("euler-maruyama", "none")
        if not self.denoise and not own:
            raise OptionError(
                f"denoise=False of predictor-corrector adds the noise of a step, and predictor="
                f"{self.predictor!r} ends with the posterior mean; take another predictor, or "
                "'euler-maruyama' with last='step'"
            )

    @property
    def weak_order(self) -> int | None:
        return 1 if self.corrector == "none" else None

    @property
    def strong_order(self) -> float | None:
        return 1.0 if self.corrector == "none" else None

    @property
    def evaluations(self) -> int:
        corrections = self.corrections if self.corrector != "none" else 0
        return corrections + (self.predictor != "none")

    def moves(self, levels):
        moves = super().moves(levels)
        last = moves[-1]
        if self.predictor == "none" and last.target.sigma > 0.0:
            moves.append(Move(last.target, last.target, last.step, "correct"))
        return moves

    def step(self, tape, x, t, s, memory):
        share = (t.alpha / s.alpha) ** 2
        if self.corrector != "none" and share > 0.0:  # at alpha = 0 the step is 0
            for _ in range(self.corrections):
                x = tape.keep(self.correct(tape, x, t, share))
        return (x if s is t else self.predict(tape, x, t, s)), None

    def predict(self, tape: Tape, x: Term, t: NoiseLevel, s: NoiseLevel) -> Term:
        """The predictor's state at s."""
        if s.sigma > 0.0 or self.denoise:
            return self._moved(tape, x, t, s)
        z = tape.normal()  # of no path: the clock of the SNR has no end at sigma = 0
        return self._moved(tape, x, t, s) + math.sqrt(self._last_variance(t, s)) * z

    def _last_variance(self, t: NoiseLevel, s: NoiseLevel) -> float:
        """Of the noise that score_sde's denoise = False leaves in."""
        if self.predictor == "euler-maruyama":
            return t.diffusion_squared * (t.t - s.t)
        if self.predictor == "ancestral" and not _keep_variance(t, s):
            return 0.0
        return posterior_variance(t, s)[0]

    def _moved(self, tape: Tape, x: Term, t: NoiseLevel, s: NoiseLevel) -> Term:
        """The predictor's state at s, its mean at sigma_s = 0."""
        if self.predictor == "ancestral":
            variance = "forward" if _keep_variance(t, s) else "posterior"
            return Ancestral(variance=variance).step(tape, x, t, s, None)[0]
        if self.predictor == "euler-maruyama":
            return EulerMaruyama(last=self.last).step(tape, x, t, s, None)[0]
        if self.predictor == "none":
            return x if s.sigma > 0.0 else s.alpha * tape.evaluate(x, t, "x0")
        forward, _ = posterior_variance(t, s)
        eps = tape.evaluate(x, t, "eps")  # score = -eps/sigma
        mean = (2.0 - t.alpha / s.alpha) * x - (forward / t.sigma) * eps
        if s.sigma == 0.0:
            return mean
        return mean + math.sqrt(forward) * tape.normal(between=(t, s))

    def correct(self, tape: Tape, x: Term, t: NoiseLevel, share: float) -> Term:
        """One Langevin step at t; `share` is the a of its size."""
        eps = tape.evaluate(x, t, "eps")
        z = tape.normal(Purpose.CORRECT)
        if self.corrector == "langevin":
            ratio = math.sqrt(share) * self.snr
            step = own_norm_step(ratio, t.sigma, self.noise_norm == "drawn")
            return tape.apply(step, x, eps, z)
        d = 2.0 * share * (self.snr * t.sigma) ** 2
        return x - (d / t.sigma) * eps + math.sqrt(2.0 * d) * z


def _keep_variance(t: NoiseLevel, s: NoiseLevel) -> bool:
    return max(abs(t.scale - 1.0), abs(s.scale - 1.0)) <= _UNIT


def own_norm_step(
    ratio: float, sigma: float, drawn: bool
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """(x, eps, z) -> x + d score + sqrt(2 d) z, d = 2 (ratio |z|/|score|)^2 row by row."""

    def step(x: Tensor, eps: Tensor, z: Tensor) -> Tensor:
        size = _norm(z) if drawn else math.sqrt(math.prod(x.shape[1:]))
        d_root = math.sqrt(2.0) * ratio * sigma * size / _norm(eps)  # |score| = |eps|/sigma
        return x - d_root.square() / sigma * eps + math.sqrt(2.0) * d_root * z

    return step


def _norm(x: Tensor) -> Tensor:
    """The norm of each row (batch, *event), as (batch, 1, ..., 1)."""
    flat = torch.linalg.vector_norm(x.flatten(1), dim=1)
    return flat.reshape(-1, *[1] * (x.ndim - 1))
