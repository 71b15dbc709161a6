"""The runner of Langevin chains: warm-up, thinning, kept draws."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.errors import DataError, NonFiniteError, OptionError
from scoresde.kernels import Noise
from scoresde.langevin.kernels import LangevinKernel, State, Target
from scoresde.processes import CLEAN, NoiseLevel
from scoresde.result import Result
from scoresde.score import ScoreModel


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Run `warm_up` steps, then keep every `thin`-th state until there are `draws` of them.

    `log_snr` is the level at which chains run on a trained network (None: where the process has
    its least noise); an exact density is sampled as it is.
    """

    draws: int = 1000
    warm_up: int = 1000
    thin: int = 1
    log_snr: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("draws", 1), ("warm_up", 0), ("thin", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or value < least:
                raise OptionError(f"{name} of a chain is at least {least}, got {value}")

    @property
    def steps(self) -> int:
        return self.warm_up + self.draws * self.thin

    def run(
        self,
        model: ScoreModel,
        kernel: LangevinKernel,
        x: Tensor,
        noise: Noise | None = None,
        *,
        ids: Tensor | None = None,
        level: NoiseLevel = CLEAN,
    ) -> Result:
        """Chains from x (chains, *event); the result's `chain` is (chains, draws, *event).

        `facts["acceptance"]` is the mean acceptance probability after the warm-up. Raises
        `NonFiniteError` naming step, chain ids and step size, `CapabilityError` where the kernel
        needs more than the model offers.
        """
        if tuple(x.shape[1:]) != tuple(model.event_shape) or not bool(torch.isfinite(x).all()):
            raise DataError(
                f"chains start from finite states with events of shape {model.event_shape}, "
                f"got x of shape {tuple(x.shape)}"
            )
        ids = torch.arange(len(x), device=x.device) if ids is None else ids
        if ids.shape != (len(x),) or ids.dtype != torch.int64:
            raise DataError(f"ids are ({len(x)},) of int64, got {tuple(ids.shape)} of {ids.dtype}")
        target = Target(model, noise or Noise(0), ids, level)
        with torch.no_grad():
            return self._run(kernel, target, x)

    def _run(self, kernel: LangevinKernel, target: Target, x: Tensor) -> Result:
        state, nfe = kernel.start(target, x), 1
        _check_start(target, state)
        kept = x.new_empty(len(x), self.draws, *x.shape[1:])
        acceptance = x.new_zeros(len(x))
        for draw in range(-1, self.draws):  # -1 is the warm-up
            steps = self.warm_up if draw < 0 else self.thin
            before = state
            for _ in range(steps):
                state, info = kernel(target, state)
                nfe += info.nfe
                if draw >= 0:
                    acceptance += info.acceptance
            if not bool(torch.isfinite(state.x).all()):
                _replay(kernel, target, before, steps)
            if draw >= 0:
                kept[:, draw] = state.x
        facts = {"acceptance": acceptance / (self.draws * self.thin)}
        counts = torch.full((len(x),), nfe, dtype=torch.int64)
        return Result(state.x, counts, chain=kept, facts=facts)


def _check_start(target: Target, state: State) -> None:
    """Where log p or its gradient is not finite, a chain never moves or never comes back."""
    bad = ~torch.isfinite(state.score).flatten(1).all(dim=1)
    if state.value is not None:
        bad |= ~torch.isfinite(state.value)
    if bool(bad.any()):
        raise NonFiniteError(
            f"chains {target.ids[bad].tolist()[:8]} start where the log-density or its gradient "
            "is not finite; start them inside the support"
        )


def _replay(kernel: LangevinKernel, target: Target, state: State, steps: int) -> None:
    """Make the steps again, looking at each: the noise is a function, so they are the same."""
    variance = (target.level.sigma / target.level.alpha) ** 2 if target.level.alpha else 0.0
    bound = (
        f" (where data are thin the chain is stable below 2 sigma^2 = {2 * variance:.3g}; more "
        "noise, chain.log_snr, allows more)"
        if variance
        else ""
    )
    for _ in range(steps):
        state, _ = kernel(target, state)
        bad = ~torch.isfinite(state.x).flatten(1).all(dim=1)
        if bool(bad.any()):
            raise NonFiniteError(
                f"chains {target.ids[bad].tolist()[:8]} left the finite numbers at step "
                f"{state.step} with step_size {kernel.step_size:g}; take a smaller one{bound}"
            )
    raise NonFiniteError(
        f"chains left the finite numbers between steps {state.step - steps} and {state.step} with "
        f"step_size {kernel.step_size:g}, and did not when the steps were made again: the model "
        "does not give equal answers to equal states"
    )
