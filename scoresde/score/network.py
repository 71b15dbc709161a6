"""A network as a score model, usable under any process."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from scoresde.errors import OptionError
from scoresde.processes import NoiseLevel, Process
from scoresde.score.model import ScoreModel
from scoresde.score.network_input import network_input
from scoresde.score.parametrization import INVARIANT_KINDS, check_kind, convert


class NetworkScore(ScoreModel):
    r"""out = net(z/s, noise[, given]), s = sqrt(alpha^2 sigma_data^2 + sigma^2), read as `kind`.

    The network sees an input of unit variance and the noise -log_snr/8 (EDM's log(sigma)/4),
    clamped to [-3, 3]; neither depends on the process, and nor do the kinds x0, eps, v and F. So
    a network trained under one process serves every other without a change. Kinds `score` and
    `velocity` do depend on it: a network trained for those names the process it was trained
    under, is asked there at equal log-SNR, and its output is carried over.
    """

    def __init__(
        self,
        net: nn.Module,
        event_shape: tuple[int, ...],
        kind: str = "F",
        sigma_data: float = 1.0,
        process: Process | None = None,
    ):
        self.net = net
        self.event_shape = tuple(event_shape)
        self.kind = check_kind(kind)
        if not 0.0 < sigma_data < math.inf:
            raise OptionError(f"sigma_data is positive and finite, got {sigma_data}")
        self.sigma_data = sigma_data
        if kind not in INVARIANT_KINDS and process is None:
            raise OptionError(f"a network of kind {kind!r} needs the process it was trained under")
        self.process = process
        self.classes, self.features = getattr(net, "classes", 0), getattr(net, "features", 0)
        self.condition: Tensor | None = None

    def given(self, condition: Tensor | None) -> NetworkScore:
        if condition is not None and not (self.classes or self.features):
            return super().given(condition)
        bound = copy.copy(self)
        bound.condition = condition
        return bound

    def at_rows(self, index: slice | Tensor) -> NetworkScore:
        return self if self.condition is None else self.given(self.condition[index])

    def forward(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return self.predict(x, level, self.kind)

    def predict(self, x: Tensor, level: NoiseLevel, kind: str) -> Tensor:
        out = self._output(x, level)
        if self.kind in INVARIANT_KINDS or level.process == self.process:
            return convert(out, x, level, self.kind, kind, self.sigma_data)
        return self._carry(out, x, level, kind)

    def _output(self, x: Tensor, level: NoiseLevel) -> Tensor:
        scaled, noise = network_input(x, level, self.sigma_data)
        if self.condition is None:
            out = self.net(scaled, noise)
        else:
            out = self.net(scaled, noise, self.condition)
        if out.shape != x.shape:
            raise OptionError(
                f"the network gives {tuple(out.shape)} for states of shape {tuple(x.shape)}"
            )
        return out

    def _carry(self, out: Tensor, x: Tensor, level: NoiseLevel, kind: str) -> Tensor:
        """A score or velocity of the training process as any kind at the level.

        By way of a kind that is the same under both, so that a level without rates serves too.
        """
        log_snr = torch.as_tensor(level.log_snr, dtype=torch.float64, device=x.device)
        home = self.process.beyond(log_snr, x[:1] if log_snr.ndim == 0 else x)
        between = "eps" if self.kind == "score" else "v"
        z = x * (home.scale / level.scale)
        out = convert(out, z, home, self.kind, between, self.sigma_data)
        return convert(out, x, level, between, kind, self.sigma_data)
