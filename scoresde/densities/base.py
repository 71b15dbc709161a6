r"""The interface of a density that can be diffused exactly.

A density knows nothing of processes: it is asked at (alpha, sigma), which stand for the law of
z = alpha x + sigma eps with x from the density. alpha = 1, sigma = 0 is the density itself.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor

from scoresde.errors import CapabilityError, OptionError

LOG_TWO_PI = math.log(2.0 * math.pi)


def as_float64(name: str, value, ndim: int | tuple[int, ...]) -> Tensor:
    """A finite float64 tensor of the stated rank; raises `OptionError` naming the parameter.

    It lies row by row, as a file gives it back: the layout decides the last bits of products.
    """
    try:
        tensor = torch.as_tensor(value, dtype=torch.float64).contiguous()
    except (TypeError, ValueError, RuntimeError) as error:
        raise OptionError(f"{name} is no array of numbers: {error}") from None
    ranks = (ndim,) if isinstance(ndim, int) else ndim
    if tensor.ndim not in ranks:
        wanted = " or ".join(str(n) for n in ranks)
        raise OptionError(f"{name} has rank {tensor.ndim}, needs rank {wanted}")
    if not bool(torch.isfinite(tensor).all()):
        raise OptionError(f"{name} holds NaN or infinite values")
    return tensor


def _moved(value, device):
    """Tensors, and whatever has `to`, on the device, within containers too."""
    if isinstance(value, dict):
        return {key: _moved(inner, device) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_moved(inner, device) for inner in value)
    return value.to(device) if hasattr(value, "to") else value


def singular(matrices: Tensor, roots: Tensor) -> bool:
    """Whether covariances (..., d, d) with these Cholesky roots have a direction of no width.

    The share of a coordinate's variance that the coordinates before it leave open is compared with
    rounding; it does not depend on the scales of the coordinates.
    """
    left = roots.diagonal(dim1=-2, dim2=-1).square() / matrices.diagonal(dim1=-2, dim2=-1)
    return bool((left <= 32.0 * left.shape[-1] * torch.finfo(left.dtype).eps).any())


class Density(ABC):
    """A law on R^d, d = prod(event_shape), with its diffused log-density, score and posterior.

    Parameters are held and arithmetic is done in float64; results come back in the dtype of `x`,
    so float32 callers get float32's rounding and no worse. `alpha` and `sigma` are floats or
    tensors of shape (batch, 1, ..., 1).
    """

    event_shape: tuple[int, ...]
    degenerate: bool = False  # no density at sigma = 0, for the law has a direction of no width

    @property
    def dim(self) -> int:
        return math.prod(self.event_shape)

    def log_prob(self, x: Tensor, alpha=1.0, sigma=0.0) -> Tensor:
        """log of the diffused density at x (batch, *event), in nats, shape (batch,)."""
        return self._log_prob(*self._flat(x, alpha, sigma)).to(x.dtype)

    def score(self, x: Tensor, alpha=1.0, sigma=0.0) -> Tensor:
        r"""grad_z log q(z) at z = x, shape (batch, *event)."""
        return self._score(*self._flat(x, alpha, sigma)).reshape(x.shape).to(x.dtype)

    def posterior(self, x: Tensor, alpha, sigma) -> tuple[Tensor, Tensor]:
        """(E[x0 | z = x], E[eps | z = x]), each (batch, *event), neither got from the other."""
        x0, eps = self._posterior(*self._flat(x, alpha, sigma))
        return x0.reshape(x.shape).to(x.dtype), eps.reshape(x.shape).to(x.dtype)

    def sample(self, ids: Tensor, seed: int = 0) -> Tensor:
        """One sample for each id (int64), float64 (len(ids), *event), by (seed, id) alone."""
        return self._sample(ids, seed).reshape(len(ids), *self.event_shape)

    def arguments(self) -> dict:
        """The keywords that make this density again, as tensors, densities and plain values.

        They are those that the constructor was given, so that a density made of them is equal to
        the bit. Raises `CapabilityError` for one that cannot be stored.
        """
        raise CapabilityError(
            f"{type(self).__name__} cannot be stored: it does not tell its arguments()"
        )

    def for_file(self) -> Density:
        """The law that a file is to hold for this one: itself, unless a file tells it already."""
        return self

    def to(self, device) -> Self:
        """The same density with its parameters on a torch device, where x must then lie too."""
        moved = copy.copy(self)
        for name, value in vars(self).items():
            setattr(moved, name, _moved(value, device))
        return moved

    def _flat(self, x: Tensor, alpha, sigma):
        if tuple(x.shape[1:]) != self.event_shape:
            raise OptionError(
                f"{type(self).__name__} lives on events of shape {self.event_shape}, "
                f"got x of shape {tuple(x.shape)}"
            )

        if self.degenerate and not isinstance(sigma, Tensor) and sigma == 0.0:
            raise CapabilityError(
                f"this {type(self).__name__} has no density at sigma = 0, for its variance is 0 "
                "in some direction; ask at sigma > 0 (a grid with final = 'min' stays above)"
            )

        def flat(level):
            if isinstance(level, Tensor):
                return level.to(torch.float64).reshape(-1, 1)
            return float(level)

        return x.to(torch.float64).reshape(len(x), self.dim), flat(alpha), flat(sigma)

    @abstractmethod
    def _log_prob(self, x: Tensor, alpha, sigma) -> Tensor: ...

    @abstractmethod
    def _score(self, x: Tensor, alpha, sigma) -> Tensor: ...

    @abstractmethod
    def _posterior(self, x: Tensor, alpha, sigma) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def _sample(self, ids: Tensor, seed: int) -> Tensor: ...
