"""The probability-flow ODE by scipy, in float64: the reference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.integrate import solve_ivp

from scoresde.errors import NonFiniteError, OptionError
from scoresde.families import unknown
from scoresde.samplers.adaptive.flow_sampler import FlowSampler, in_scale, velocity

METHODS = ("DOP853", "RK45", "RK23", "Radau", "BDF", "LSODA")
_FINEST = 1e-13  # below it scipy widens the tolerance by itself


@dataclass(frozen=True, kw_only=True)
class ScipyFlow(FlowSampler):
    r"""du/dphi = v(u, phi),  u = x/sqrt(alpha^2 + sigma^2),  phi = atan2(sigma, alpha).

    Every sample by itself through scipy.integrate.solve_ivp, the state in float64 on the host
    whatever the model computes in: a reference, not a fast way. Methods: DOP853 (default, order
    8), RK45, RK23, LSODA, and for stiff models Radau and BDF, whose finite-difference Jacobians
    cost as many evaluations as the state has numbers. `rtol` and `atol` default to 1e-10 in
    float64 and 1e-6 in float32, rtol being at least 1e-13. Heeds the grid's two ends; a
    trajectory is interpolated by the method's dense output. (Hairer, Norsett & Wanner 1993,
    DOP853; Virtanen et al. 2020, SciPy.)
    """

    method: str = "DOP853"

    noun = "scipy-flow"
    batched = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in METHODS:
            raise OptionError(unknown("method of scipy-flow", self.method, list(METHODS)))
        if self.rtol is not None and self.rtol < _FINEST:
            raise OptionError(f"rtol of scipy-flow is at least {_FINEST:g}, got {self.rtol}")

    def _carry(self, model, levels, x, ids, trajectory):
        tolerances = self._tolerances(x.dtype, 1e-10, 1e-6)
        states, counts = [], []
        for i, row in enumerate(x):
            one = model.at_rows(slice(i, i + 1))
            points, count = self._integrate(
                one, row[None], levels, trajectory, *tolerances, ids[i]
            )
            states.append(torch.from_numpy(points).to(x).reshape(-1, *row.shape))
            counts.append(count)
        nfe = torch.tensor(counts, dtype=torch.int64)
        return in_scale(torch.stack(states), levels, nfe, ids, trajectory)

    def _integrate(self, model, x, levels, trajectory, rtol, atol, id_):
        """The normalised states of one row at the levels, (points, numbers), and evaluations."""
        phis = [level.phi for level in levels]
        low, high = sorted((phis[0], phis[-1]))
        count = 0

        def flow(phi, u):
            nonlocal count
            count += 1
            rows = torch.from_numpy(u).to(x).reshape(x.shape)
            v = velocity(model, rows, phi, (low, high))
            return v.reshape(-1).to("cpu", torch.float64).numpy()

        u = (x.to("cpu", torch.float64) / levels[0].scale).reshape(-1).numpy()
        first = flow(phis[0], u)
        if not np.isfinite(first).all():
            message = "its first prediction is not finite"
        else:
            with np.errstate(all="ignore"):  # what goes wrong shows in the message or the states
                done = solve_ivp(
                    flow,
                    (phis[0], phis[-1]),
                    u,
                    method=self.method,
                    rtol=rtol,
                    atol=atol,
                    t_eval=phis if trajectory else None,
                )
            if done.success:
                return done.y.T[:: 1 if trajectory else max(done.y.shape[1] - 1, 1)], count
            message = done.message
        raise NonFiniteError(
            f"the probability flow of id {int(id_)} stopped ({message}); loosen rtol and atol "
            f"(now {rtol:g}) or check the model between sigma/alpha = {math.tan(low):.4g} and "
            f"{math.tan(high):.4g}"
        )
