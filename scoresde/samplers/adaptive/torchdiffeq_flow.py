"""The probability-flow ODE by torchdiffeq."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torchdiffeq import odeint

from scoresde.errors import NonFiniteError, OptionError
from scoresde.families import unknown
from scoresde.samplers.adaptive.flow_sampler import FlowSampler, in_scale, velocity

FIXED = {"euler": (1, 1), "midpoint": (2, 2), "heun2": (2, 2), "heun3": (3, 3), "rk4": (4, 4)}
ADAPTIVE = ("dopri5", "dopri8", "bosh3", "adaptive_heun", "fehlberg2")


@dataclass(frozen=True, kw_only=True)
class TorchdiffeqFlow(FlowSampler):
    r"""du/dphi = v(u, phi),  u = x/sqrt(alpha^2 + sigma^2),  phi = atan2(sigma, alpha).

    Fixed methods (euler, midpoint, heun2, heun3, rk4) step along the grid, the whole batch at
    once; rk4 is Kutta's 3/8 rule. Adaptive methods (dopri5, dopri8, bosh3, adaptive_heun,
    fehlberg2) heed the grid's two ends and integrate every sample by itself, since one step size
    for a batch would make a sample depend on its batch-mates; so they are slow for many samples,
    for which there is probability-flow. `rtol` and `atol` default to 1e-8 in float64 and 1e-5 in
    float32. (Song et al. 2021, eq. 13; torchdiffeq: Chen et al. 2018.)
    """

    method: str = "rk4"

    noun = "torchdiffeq"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in FIXED and self.method not in ADAPTIVE:
            known = [*FIXED, *ADAPTIVE]
            raise OptionError(unknown("method of torchdiffeq", self.method, known))

    @property
    def order(self) -> int | None:
        return FIXED[self.method][0] if self.method in FIXED else None

    order_cold = order

    @property
    def batched(self) -> bool:
        return self.method in FIXED

    @property
    def evaluations(self) -> int | None:
        return FIXED[self.method][1] if self.method in FIXED else None

    def _carry(self, model, levels, x, ids, trajectory):
        phis = torch.tensor([level.phi for level in levels], dtype=torch.float64, device=x.device)
        adaptive = self.method in ADAPTIVE
        parts = [slice(i, i + 1) for i in range(len(x))] if adaptive else [slice(None)]
        if adaptive and not trajectory:
            phis = phis[[0, -1]]
        runs = [self._integrate(model.at_rows(i), x[i], levels, phis) for i in parts]
        flows, counts = zip(*runs, strict=True)
        nfe = torch.tensor(counts, dtype=torch.int64).expand(len(x)).clone()
        # (points, batch, *event), normalised
        states = torch.cat(flows, dim=1).transpose(0, 1).contiguous()
        return in_scale(states, levels, nfe, ids, trajectory)

    def _integrate(self, model, x, levels, phis):
        """The normalised states at each phi, (points, batch, *event), and the evaluations."""
        low, high = sorted((levels[0].phi, levels[-1].phi))
        count = 0

        def flow(phi, u):
            nonlocal count
            count += 1
            return velocity(model, u, phi, (low, high))

        u = x / levels[0].scale
        if self.method in FIXED:
            return odeint(flow, u, phis, method=self.method), count
        rtol, atol = self._tolerances(x.dtype, 1e-8, 1e-5)
        # a step ends at each asked-for point: no evaluation beyond the end, no interpolation
        options = {"step_t": phis[1:], "first_step": min(0.01, 0.1 * (high - low))}
        try:
            method = self.method
            states = odeint(flow, u, phis, method=method, options=options, rtol=rtol, atol=atol)
        except AssertionError as error:
            raise NonFiniteError(
                f"the probability flow's step size vanished ({error}); loosen rtol and atol (now "
                f"{rtol:g}) or check the model between sigma/alpha = {levels[0].noise_ratio:.4g} "
                f"and {levels[-1].noise_ratio:.4g}"
            ) from None
        return states, count
