"""diffusers' schedulers before the court, on the court's own grids, in float64.

diffusers is installed apart and is no dependency. A scheduler is set up with a network that
predicts x0, then its list of sigmas is replaced by the court's, and its normals by the court's.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from unittest import mock

import torch

from scoresde.verify import ThirdParty


class Scheduler(ThirdParty):
    """A diffusers scheduler by its class name, with options of its configuration.

    `scaled` schedulers hold the variance-preserving state y/sqrt(1 + sigma^2), the others y
    itself. `repeated` ones ask for two evaluations a step and hold every inner sigma twice.
    """

    def __init__(self, name: str, *, scaled: bool, repeated: bool = False, **options):
        from diffusers import schedulers

        self.kind = getattr(schedulers, name)
        self.scaled, self.repeated, self.options = scaled, repeated, options

    def declare(self, **claims) -> Scheduler:
        """The same scheduler with what it claims to be: order, weak_order, evaluations, ..."""
        for name, value in claims.items():
            setattr(self, name, value)
        return self

    def prepare(self, sigmas):
        own = {"num_train_timesteps": 1000, "prediction_type": "sample", **self.options}
        scheduler = self.kind(**own)
        scheduler.set_timesteps(len(sigmas) - 1)
        grid = torch.tensor(sigmas, dtype=torch.float64)
        if self.repeated:
            scheduler.sigmas = torch.cat([grid[:1], grid[1:-1].repeat_interleave(2), grid[-1:]])
            count = 2 * len(sigmas) - 3
        else:
            scheduler.sigmas, count = grid, len(sigmas) - 1
        scheduler.timesteps = torch.arange(count, 0, -1).to(torch.float64)
        return scheduler, grid

    def solve(self, prepared, denoise, y, normals):
        scheduler, grid = prepared
        module = sys.modules[self.kind.__module__]
        drawn = hasattr(module, "randn_tensor")

        def ours(*shape, **options):
            return normals()

        own = mock.patch.object(module, "randn_tensor", ours)
        x = y / (1.0 + grid[0] ** 2).sqrt() if self.scaled else y
        with own if drawn else nullcontext():
            for index, timestep in enumerate(scheduler.timesteps):
                sigma = scheduler.sigmas[index]
                here = x * (1.0 + sigma**2).sqrt() if self.scaled else x
                out = denoise(here, sigma)
                if scheduler.config.prediction_type == "epsilon":
                    out = (here - out) / sigma
                x = scheduler.step(out, timestep, x).prev_sample
        return x * (1.0 + grid[-1] ** 2).sqrt() if self.scaled else x


MULTISTEP = {"final_sigmas_type": "sigma_min", "lower_order_final": False}
SINGLE = {"rounding": 5e-6}  # those that step in float32 whatever they are given


def one(timestep) -> float:
    return 1.0


def claims() -> dict[str, ThirdParty]:
    """Schedulers under the orders that their options name."""
    from diffusers.utils import logging

    logging.set_verbosity_error()
    found: dict[str, ThirdParty] = {}

    def put(name: str, options: dict, scaled: bool = True, repeated: bool = False, **claims):
        told = {k: v for k, v in options.items() if k not in (*MULTISTEP, "tau_func")}
        text = ", ".join(f"{k}={v}" for k, v in told.items())
        made = Scheduler(name, scaled=scaled, repeated=repeated, **options).declare(**claims)
        found[f"{name}({text})" if text else name] = made

    for order in (1, 2, 3):
        cold = min(order, 2)
        for kind in ("dpmsolver++", "dpmsolver"):
            options = {"solver_order": order, "algorithm_type": kind, **MULTISTEP}
            put("DPMSolverMultistepScheduler", options, order=order, order_cold=cold, **SINGLE)
        deis = {"solver_order": order, "lower_order_final": False}
        put("DEISMultistepScheduler", deis, order=order, order_cold=cold)
        options = {"solver_order": order, **MULTISTEP}
        put("DPMSolverSinglestepScheduler", options, order=order, order_cold=order)
        for kind in ("bh1", "bh2"):
            unipc = {"solver_order": order, "solver_type": kind, **MULTISTEP}
            put("UniPCMultistepScheduler", unipc, order=order + 1, order_cold=order + 1)
    put("EulerDiscreteScheduler", {}, scaled=False, order=1, order_cold=1, **SINGLE)
    put("HeunDiscreteScheduler", {}, False, True, order=2, order_cold=2, evaluations=2)
    sde = {"solver_order": 2, "algorithm_type": "sde-dpmsolver++", **MULTISTEP}
    put("DPMSolverMultistepScheduler", sde, weak_order=2, stochastic=True, **SINGLE)
    # tau as a function of timesteps has no meaning on the court's grids
    sa = {"predictor_order": 2, "corrector_order": 2, "lower_order_final": False, "tau_func": one}
    put("SASolverScheduler", sa, weak_order=2, stochastic=True)
    ancestral = {"weak_order": 1, "stochastic": True, **SINGLE}
    euler_a = {"prediction_type": "epsilon"}  # it knows no other
    put("EulerAncestralDiscreteScheduler", euler_a, scaled=False, **ancestral)
    return found
