r"""Implicit score matching: the score's divergence in place of its target.

Stein's identity, E<f(z), eps> = sigma E tr grad f(z) for z = alpha x + sigma eps, turns the
cross term of |eps_hat - eps|^2 into a divergence:

    w E|x0_hat - x|^2 = (w/SNR) E[|eps_hat|^2 - 2 sigma tr grad_z eps_hat] + C
                      = (w sigma^4/alpha^2) E[|s|^2 + 2 tr grad_z s] + C,

C free of the network. So these objectives have the gradient of `denoising` under the same
weighting, at a higher cost; its variance is lower near the data and higher near the noise. Written
in eps = -sigma s, which stays of unit size where the score does not.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from scoresde.errors import CapabilityError, OptionError
from scoresde.objectives.base import Draws
from scoresde.objectives.levels import LevelObjective, States
from scoresde.objectives.weighting import SimpleWeighting, Weighting

Field = Callable[[Tensor], Tensor]
"""z -> eps_hat(z) at the levels of a batch."""


@dataclass(frozen=True, kw_only=True)
class SteinObjective(LevelObjective):
    """(w/SNR)(|eps_hat|^2 - 2 sigma tr grad eps_hat), a member saying how either is estimated."""

    weighting: Weighting = field(default_factory=SimpleWeighting)

    differentiates: ClassVar[bool] = True  # the prediction, before the loss is

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.weighting, nn.Module):
            raise OptionError(
                f"{type(self).__name__} knows its loss up to a constant alone, from which "
                f"{type(self.weighting).__name__} cannot learn; take a fixed weighting, or "
                "denoising"
            )

    @property
    def judged(self) -> str:
        return "eps"

    def errors(self, model, states, draws) -> Tensor:
        if self.differentiates and hasattr(getattr(model, "net", None), "_orig_mod"):
            raise CapabilityError(
                "a compiled network has no second derivative, which implicit and sliced score "
                "matching need; set training.compile = false, or train by finite-difference"
            )
        near = states.near

        def eps_hat(z: Tensor) -> Tensor:
            return model.predict(z, near, "eps")

        level, x = states.level, states.x
        graph = torch.is_grad_enabled()
        with torch.enable_grad():
            value = self.value(eps_hat, states, draws)
        factor = states.weight * (level.sigma / level.alpha) ** 2 / x[0].numel()
        losses = factor.reshape(-1).to(x.dtype) * value
        return losses if graph else losses.detach()

    @abstractmethod
    def value(self, eps_hat: Field, states: States, draws: Draws) -> Tensor:
        """|eps_hat|^2 - 2 sigma tr grad eps_hat over the whole event, or an estimate, (batch,)."""


@dataclass(frozen=True, kw_only=True)
class Implicit(SteinObjective):
    r"""E_t w sigma^4/alpha^2 (|s|^2 + 2 tr grad s): implicit score matching, the trace exact.

    d backward passes for events of d numbers, so for small d. (Hyvarinen 2005, Estimation of
    non-normalized statistical models by score matching, theorem 1, times 2, at noised states.)
    """

    def value(self, eps_hat, states, draws) -> Tensor:
        z, out = asked(eps_hat, states)
        flat = out.flatten(1)
        trace = torch.zeros_like(flat[:, 0])
        for j in range(flat.shape[1]):
            trace = trace + slope(flat[:, j].sum(), z).flatten(1)[:, j]
        return flat.square().sum(1) - 2.0 * states.near.sigma.reshape(-1) * trace


def rowwise(a: Tensor, b: Tensor) -> Tensor:
    """a . b of every state, (batch,)."""
    return (a * b).flatten(1).sum(1)


def asked(eps_hat: Field, states: States) -> tuple[Tensor, Tensor]:
    """(z, eps_hat(z)) with a graph that can be differentiated twice."""
    z = states.z.detach().requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):  # the fused attentions have no second derivative
        return z, eps_hat(z)


def slope(total: Tensor, z: Tensor) -> Tensor:
    """d total/d z, itself differentiable; `CapabilityError` where the model gives no gradient."""
    found = None
    if total.requires_grad:
        (found,) = torch.autograd.grad(total, z, create_graph=True, allow_unused=True)
    if found is None:
        raise CapabilityError(
            "implicit and sliced score matching differentiate the prediction in the state, and "
            "this model's has no gradient there; train by denoising or finite-difference"
        )
    return found
