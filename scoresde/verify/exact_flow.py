"""The probability flow by another hand: scipy's DOP853, to twelve digits."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from scoresde.processes import NoiseLevel
from scoresde.verify.mixture import MixtureScore
from scoresde.verify.settings import STARTS, Setting, starts

# one error norm for all starts: its RMS is held below 1e-12 by more than the square root of
# their number
TOLERANCE = 1e-13


@cache
def flow_of_mixture(setting: Setting, count: int = STARTS) -> tuple[Tensor, Tensor]:
    """(states at the setting's first level, the exact flow's states at its last), (starts, 2).

    du/dphi = v(u, phi) with u = x/sqrt(alpha^2 + sigma^2), phi = atan2(sigma, alpha), from the
    first level down to the last (Hairer, Norsett & Wanner 1993, DOP853).
    """
    first, last = setting.levels(1)
    x = starts(first, count)
    model = MixtureScore()

    def rate(phi: float, u: np.ndarray) -> np.ndarray:
        rows = torch.from_numpy(u).reshape(x.shape)
        return model.predict(rows, NoiseLevel.at_phi(phi), "v").reshape(-1).numpy()

    solution = solve_ivp(
        rate,
        (first.phi, last.phi),
        (x / first.scale).reshape(-1).numpy(),
        method="DOP853",
        rtol=TOLERANCE,
        atol=TOLERANCE,
    )
    return x, torch.from_numpy(solution.y[:, -1].copy()).reshape(x.shape) * last.scale


def relative_error(x: Tensor, exact: Tensor) -> float:
    """Root mean square of x - exact over that of exact."""
    return float((x - exact).norm() / exact.norm())
