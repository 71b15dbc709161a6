"""The probability-flow ODE with steps of each sample's own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.kernels import lincomb
from scoresde.processes import NoiseLevel
from scoresde.samplers.adaptive.embedded_pairs import PAIRS, EmbeddedPair
from scoresde.samplers.adaptive.flow_sampler import FlowSampler, in_scale
from scoresde.samplers.adaptive.march import Attempt, Controller, Stepper, column, march, rms
from scoresde.samplers.adaptive.row_levels import ask_rows, normalised, rows_at_phi
from scoresde.score import ScoreModel

# Hairer's proportional gain (beta = 0.2/k). On mixtures at tolerances 1e-5 and 1e-8 a safety of
# 0.8 needs 5 to 10 % fewer evaluations than 0.9, for it rejects a third as often.
_GAINS = {"integral": 0.8, "proportional": 0.2, "safety": 0.8, "smallest": 0.2, "largest": 10.0}


@dataclass(frozen=True, kw_only=True)
class ProbabilityFlow(FlowSampler):
    r"""du/dphi = v(u, phi),  u = x/sqrt(alpha^2 + sigma^2),  phi = atan2(sigma, alpha).

    An embedded pair (`dopri5` or `bosh3`) with steps of each sample's own: the whole batch is
    evaluated at once, every row at its own phi; rows that arrive leave. So a sample does not
    depend on its batch, and costs what it needs. Exact to tolerance, the error of a step being
    the root mean square over the event of (error estimate)/(atol + rtol max(|u|, |u_new|)); the
    variables are regular at both ends of every process. `rtol` and `atol` default to 1e-8 in
    float64 and 1e-5 in float32. The grid's ends alone count; with `trajectory` a step ends on
    each of its levels. Facts of every sample: `error_estimate`, the sum of its steps' estimated
    errors at the last level (not a bound), and `rejected` steps.
    (Song et al. 2021, eq. 13; Dormand & Prince 1980; Bogacki & Shampine 1989; Hairer, Norsett &
    Wanner 1993, II.4, the first step; Gustafsson 1991, the controller.)
    """

    method: str = "dopri5"

    noun = "probability-flow"
    facts: ClassVar[dict[str, str]] = {"error_estimate": "float64", "rejected": "int64"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in PAIRS:
            known = unknown("method of probability-flow", self.method, list(PAIRS))
            raise OptionError(f"{known} Other methods are those of the sampler torchdiffeq.")

    def _carry(self, model, levels, x, ids, trajectory):
        pair, ends = PAIRS[self.method], (normalised(levels[0]), normalised(levels[-1]))
        points = [level.phi for level in (levels if trajectory else ends)]
        points[0], points[-1] = ends[0].phi, ends[1].phi
        tolerances = self._tolerances(x.dtype, 1e-8, 1e-5)
        stepper = PairStepper(model, pair, ends, *tolerances)
        controller = Controller(order=pair.error_order, **_GAINS)
        done = march(stepper, controller, x / levels[0].scale, points, ids)
        facts = {"error_estimate": done.error * levels[-1].scale, "rejected": done.rejected}
        return in_scale(done.states, levels, done.nfe, ids, trajectory, facts=facts)


class PairStepper(Stepper):
    """An embedded pair on du/dphi = v; the memory is v at the present place."""

    def __init__(
        self,
        model: ScoreModel,
        pair: EmbeddedPair,
        ends: tuple[NoiseLevel, NoiseLevel],
        rtol: float,
        atol: float,
    ):
        super().__init__(model)
        self.pair, self.rtol, self.atol = pair, rtol, atol
        self.evaluations = pair.evaluations
        self.first, self.last = ends

    def begin(self, x):
        """Hairer's first step: 1 % of the tolerance by the sizes of v and of its change."""
        v = self.model.predict(x, self.first, "v").to(x.dtype)
        place, way = self.first.phi, self.last.phi - self.first.phi
        scale = self.atol + self.rtol * x.abs()
        size, slope = (rms(a / scale).to(torch.float64) for a in (x, v))
        trial = torch.where((size < 1e-5) | (slope < 1e-5), 1e-6, 0.01 * size / slope)
        trial = trial.clamp(max=abs(way)).nan_to_num(nan=1e-6)
        there = trial * math.copysign(1.0, way)
        ahead = self._inside(x + column(there, x) * v, place + there)
        bend = rms((ahead - v) / scale).to(torch.float64) / trial
        most = torch.maximum(slope, bend)
        step = torch.where(
            most <= 1e-15, 1e-3 * trial, (0.01 / most) ** (1 / self.pair.error_order)
        )
        step = torch.minimum(100.0 * trial, step)
        return (v,), torch.where(torch.isfinite(step), step, 1e-3 * abs(way)), 2

    def attempt(self, x, memory, place, target):
        h, k, new = column(target - place, x), list(memory), x
        last = len(self.pair.nodes) - 1
        for i in range(1, last + 1):
            node, row = self.pair.nodes[i], self.pair.rows[i]
            new = x + h * _combined(row, k)
            if node < 1.0:
                k.append(self._inside(new, place + node * (target - place)))
            else:
                k.append(self._arriving(new, target))
        error = h * _combined(self.pair.error, k)
        scaled = error / (self.atol + self.rtol * torch.maximum(x.abs(), new.abs()))
        return Attempt(new, (k[-1],), rms(scaled), rms(error))

    def _inside(self, u: Tensor, phi: Tensor) -> Tensor:
        return ask_rows(self.model, u, rows_at_phi(phi, u), "v")

    def _arriving(self, u: Tensor, phi: Tensor) -> Tensor:
        """v where rows may stand at the last level.

        At alpha = 0 or sigma = 0 a level of floats: there models take limits, or say that theirs
        does not exist.
        """
        if self.last.alpha != 0.0 and self.last.sigma != 0.0:
            return self._inside(u, phi)
        there = phi == self.last.phi
        if not bool(there.any()):
            return self._inside(u, phi)
        out, inside, there = torch.empty_like(u), (~there).nonzero()[:, 0], there.nonzero()[:, 0]
        out[there] = self.model.at_rows(there).predict(u[there], self.last, "v").to(u.dtype)
        if len(inside):
            some, level = self.model.at_rows(inside), rows_at_phi(phi[inside], u)
            out[inside] = ask_rows(some, u[inside], level, "v")
        return out


def _combined(coefficients, terms: list[Tensor]) -> Tensor:
    used = [(c, term) for c, term in zip(coefficients, terms, strict=True) if c != 0.0]
    return lincomb([c for c, _ in used], [term for _, term in used])
