"""The reverse SDE with steps of each sample's own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.processes import NoiseLevel, Process
from scoresde.samplers.adaptive.march import GROWTH, Attempt, Controller, Stepper, march, rms
from scoresde.samplers.adaptive.noisy_end import finished, noisy
from scoresde.samplers.adaptive.remembered_path import RememberedPath
from scoresde.samplers.adaptive.row_levels import ask_rows
from scoresde.samplers.base import Sampler, check_levels
from scoresde.score import ScoreModel


@dataclass(frozen=True, kw_only=True)
class AdaptiveSDE(Sampler):
    r"""x' = x - h D(x, t) + sqrt(h) g_t z,  x_s = [x' + x - h D(x', s) + sqrt(h) g_s z]/2.

    D = f x - g^2 score, s = t - h. Euler-Maruyama gives x', the stochastic improved Euler method
    x_s; where E = rms[(x' - x_s)/max(atol, rtol max(|x'|, |x' before|))] is at most 1 the step
    stands (extrapolated: as x_s), and h <- safety h E^-exponent, at most 5 h. Every sample has
    its own steps and leaves the batch when it arrives. Two evaluations an attempt; the grid's ends
    alone count, and with `trajectory` a step ends on each of its levels. A grid that ends at
    sigma = 0 is followed to its last level with noise, and the posterior mean ends it. Needs
    finite rates, so it cannot start at alpha = 0.

    The paper's code draws z anew after a rejection; here z is the increment of one Brownian path a
    sample, that of the noise source where it has paths, so rejections leave the law alone. It has
    no order, and its law is right in the limit of small tolerances; the defaults are the paper's,
    for pictures. A tenth of the tolerances costs 4.5 to 5 times the evaluations (350, 1700, 7700
    at 1e-2, 1e-3, 1e-4 on a mixture under VP linear), so 1e-8 takes millions. Fact: `rejected`
    steps. (Jolicoeur-Martineau et al. 2021, Gotta go fast when generating data with score-based
    models, algorithm 1.)
    """

    rtol: float = 0.01
    atol: float = 0.0078
    first_step: float = 0.01
    safety: float = 0.9
    exponent: float = 0.9

    stochastic = True
    evaluations = None
    facts: ClassVar[dict[str, str]] = {"rejected": "int64"}

    def __post_init__(self) -> None:
        for name in ("rtol", "atol", "safety"):
            value = getattr(self, name)
            if not 0.0 < value < 1.0:
                raise OptionError(f"{name} of adaptive-sde lies in (0, 1), got {value}")
        for name in ("first_step", "exponent"):
            value = getattr(self, name)
            if not 0.0 < value <= 1.0:
                raise OptionError(f"{name} of adaptive-sde lies in (0, 1], got {value}")

    def run(self, model, levels, x, noise, ids, trajectory=False):
        check_levels(levels)
        followed = noisy(levels, "adaptive-sde")
        if not trajectory:
            followed = [followed[0], followed[-1]]
        first, process = followed[0], followed[0].process
        if process is None or not math.isfinite(first.drift):
            raise OptionError(
                f"adaptive-sde needs finite rates of a process, got f = {first.drift} at t = "
                f"{first.t}; start the grid later (log_snr_min=-10, say)"
            )
        stepper = ImprovedEuler(model, self, process, noise, ids, first)
        controller = Controller(order=1.0 / self.exponent, safety=self.safety, largest=GROWTH)
        done = march(stepper, controller, x, [level.t for level in followed], ids)
        facts = {"rejected": done.rejected}
        return finished(model, levels, followed[-1], done.states, done.nfe, ids, trajectory, facts)


class ImprovedEuler(Stepper):
    """Euler-Maruyama and improved Euler in the process's time.

    The memory is x' of the step before, and the path where it is: its clock's value and B there.
    """

    evaluations = 2

    def __init__(
        self,
        model: ScoreModel,
        options: AdaptiveSDE,
        process: Process,
        noise,
        ids: Tensor,
        first: NoiseLevel,
    ):
        super().__init__(model)
        self.options, self.process, self.noise, self.ids = options, process, noise, ids
        self.has_paths = hasattr(noise, "increment")
        self.path = RememberedPath(noise, ids, tuple(model.event_shape))
        self.start = math.exp(first.log_snr)

    def begin(self, x):
        step = torch.full((len(x),), self.options.first_step, dtype=torch.float64, device=x.device)
        path = () if self.has_paths else (torch.full_like(step, self.start), x.double() * 0.0)
        return (x, *path), step, 0

    def attempt(self, x, memory, place, target):
        before, *path = memory
        like = x.new_empty(len(x), *[1] * (x.ndim - 1), dtype=torch.float64)
        t, s = self.process.level(place, like), self.process.level(target, like)
        h = t.t - s.t
        z, path = self._noise(t.log_snr.reshape(-1), s.log_snr.reshape(-1), path)
        euler = self._euler(x, x, t, h, z.to(x.dtype))
        new = 0.5 * (euler + self._euler(x, euler, s, h, z.to(x.dtype)))
        o = self.options
        within = (o.rtol * torch.maximum(euler.abs(), before.abs())).clamp(min=o.atol)
        return Attempt(new, (euler, *path), rms((euler - new) / within), rms(euler - new))

    def _euler(self, x: Tensor, at: Tensor, level: NoiseLevel, h: Tensor, z: Tensor) -> Tensor:
        """x - h (f y - g^2 score(y)) + sqrt(h) g z, with rates and score of a state y."""
        g2 = level.diffusion_squared.clamp(min=0.0)
        eps = ask_rows(self.model, at, level.cast(x.dtype), "eps")  # score = -eps/sigma
        drift, pull, spread = h * level.drift, h * g2 / level.sigma, (h * g2).sqrt()
        drift, pull, spread = (c.to(x.dtype) for c in (drift, pull, spread))
        return x - drift * at - pull * eps + spread * z

    def _noise(self, from_: Tensor, to: Tensor, path) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(the normalised increment between log SNRs (rows,), the path at the second)."""
        if self.has_paths:
            return self.noise.increment(from_, to, self.ids, self.path.shape), ()
        here, value = path
        clock = to.exp()
        found = self.path.at(clock, here, value)
        width = (clock - here).sqrt().reshape(-1, *[1] * (value.ndim - 1))
        return (found - value) / width, (clock, found)

    def keep(self, index):
        super().keep(index)
        self.ids = self.ids[index]
        self.path.keep(index)
