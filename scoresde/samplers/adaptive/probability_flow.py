"""The probability-flow ODE by torchdiffeq, in a variable without hazards."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torchdiffeq import odeint

from scoresde.errors import NonFiniteError, OptionError
from scoresde.families import unknown
from scoresde.processes import NoiseLevel
from scoresde.result import Result
from scoresde.samplers.base import Sampler, check_levels

FIXED = {"euler": (1, 1), "midpoint": (2, 2), "heun2": (2, 2), "heun3": (3, 3), "rk4": (4, 4)}
ADAPTIVE = ("dopri5", "dopri8", "bosh3", "adaptive_heun", "fehlberg2")


@dataclass(frozen=True, kw_only=True)
class ProbabilityFlow(Sampler):
    r"""du/dphi = v(u, phi),  u = x/sqrt(alpha^2 + sigma^2),  phi = atan2(sigma, alpha).

    In these variables the flow of every process is the same and regular at both ends (alpha = 0
    and sigma = 0), and only phi's range remains of the grid. No evaluation falls outside it.
    Fixed methods (euler, midpoint, heun2, heun3, rk4) step along the grid, the whole batch at
    once. Adaptive methods (dopri5, dopri8, bosh3, adaptive_heun, fehlberg2) heed the grid's two
    ends and integrate every sample by itself: one step size for a batch would make a sample
    depend on its batch-mates. So they are exact to tolerance, and slow for many samples. `rtol`
    and `atol` default to 1e-8 in float64 and 1e-5 in float32. (Song et al. 2021, eq. 13;
    torchdiffeq: Chen et al. 2018.)
    """

    method: str = "dopri5"
    rtol: float | None = None
    atol: float | None = None

    variants = ("method=rk4",)

    def __post_init__(self) -> None:
        if self.method not in FIXED and self.method not in ADAPTIVE:
            known = [*FIXED, *ADAPTIVE]
            raise OptionError(unknown("method of probability-flow", self.method, known))
        for name in ("rtol", "atol"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < 1.0:
                raise OptionError(f"{name} of probability-flow lies in (0, 1), got {value}")

    @property
    def order(self) -> int | None:
        return FIXED[self.method][0] if self.method in FIXED else None

    order_cold = order

    @property
    def evaluations(self) -> int | None:
        return FIXED[self.method][1] if self.method in FIXED else None

    def run(self, model, levels, x, noise, ids, trajectory=False) -> Result:
        check_levels(levels)
        return self._carry(model, levels, x, ids, trajectory)

    def rise(self, model, levels, x, ids, trajectory=False) -> Result:
        """The same flow the other way: x (batch, *event) at levels[-1] carried up to levels[0].

        At sigma = 0 the model gives v at the data itself; raises `OptionError` where its kind does
        not determine v there.
        """
        check_levels(levels)
        return self._carry(model, levels[::-1], x, ids, trajectory)

    def _carry(self, model, levels, x, ids, trajectory) -> Result:
        phis = torch.tensor([level.phi for level in levels], dtype=torch.float64, device=x.device)
        adaptive = self.method in ADAPTIVE
        parts = [slice(i, i + 1) for i in range(len(x))] if adaptive else [slice(None)]
        if adaptive and not trajectory:
            phis = phis[[0, -1]]
        runs = [self._integrate(model.at_rows(i), x[i], levels, phis) for i in parts]
        flows, counts = zip(*runs, strict=True)
        states = torch.cat(flows, dim=1)  # (points, batch, *event), normalised
        final = states[-1] * levels[-1].scale
        nfe = torch.tensor(counts, dtype=torch.int64)
        if trajectory:
            scales = x.new_tensor([level.scale for level in levels])
            states = states * scales.reshape(-1, *[1] * x.ndim)
        bad = ~torch.isfinite(final).flatten(1).all(dim=1)
        if bool(bad.any()):
            raise NonFiniteError(
                f"the probability flow from sigma/alpha = {levels[0].noise_ratio:.6g} to "
                f"{levels[-1].noise_ratio:.6g} in {len(phis) - 1} intervals ended in states that "
                f"are not finite, for ids {ids[bad].tolist()[:8]}; end it at a positive sigma "
                "(final='min') or check the model"
            )
        return Result(
            final,
            nfe if len(nfe) == len(x) else nfe.expand(len(x)).clone(),
            states.transpose(0, 1).contiguous() if trajectory else None,
        )

    def _integrate(self, model, x, levels, phis):
        """The normalised states at each phi, (points, batch, *event), and the evaluations."""
        low, high = sorted((levels[0].phi, levels[-1].phi))
        count = 0

        def flow(phi, u):
            nonlocal count
            count += 1
            level = NoiseLevel.at_phi(min(max(float(phi), low), high))
            return model.predict(u, level, "v")

        u = x / levels[0].scale
        if self.method in FIXED:
            return odeint(flow, u, phis, method=self.method), count
        default = 1e-8 if x.dtype == torch.float64 else 1e-5
        tolerance = {"rtol": self.rtol or default, "atol": self.atol or default}
        # a step ends at each asked-for point: no evaluation beyond the end, no interpolation
        options = {"step_t": phis[1:], "first_step": min(0.01, 0.1 * (high - low))}
        try:
            states = odeint(flow, u, phis, method=self.method, options=options, **tolerance)
        except AssertionError as error:
            raise NonFiniteError(
                f"the probability flow's step size vanished ({error}); loosen rtol and atol "
                f"(now {tolerance['rtol']:g}) or check the model between sigma/alpha = "
                f"{math.tan(low):.4g} and {math.tan(high):.4g}"
            ) from None
        return states, count
