"""Solvers that are one and the same, by their papers or by algebra: trajectories to 1e-12."""

from __future__ import annotations

import torch

from scoresde.kernels import Noise
from scoresde.processes import CLEAN
from scoresde.samplers import SAMPLERS, Sampler, sample, start
from scoresde.verify.mixture import MixtureScore
from scoresde.verify.settings import Setting, settings
from scoresde.verify.verdict import Check, judge, worst_of

_PC = "predictor-corrector(predictor={}, corrector=none)"
ANY = ("vp-linear", "ve", "rectified-flow")
EQUALITIES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("euler", "ddim", ANY),
    ("euler(variable=time)", "euler-maruyama(eta=0)", ANY),
    ("ancestral", "ddim(eta=1)", ANY),
    ("euler-ancestral", "ddim(eta=1)", ANY),
    ("dpmpp-1", "ddim", ANY),
    ("dpm-solver(solver_order=1)", "ddim", ANY),
    ("lms(solver_order=1)", "ddim", ANY),
    ("ipndm(solver_order=1)", "ddim", ANY),
    ("ipndm(variable_step=True)", "lms", ANY),
    ("er-sde(stages=1, noise_scale=ode)", "ddim", ANY),
    ("unipc(solver_order=1, corrector=False)", "ddim", ANY),
    ("deis(solver_order=1)", "ddim", ANY),
    ("unipc(solver_order=2, corrector=False)", "dpmpp-2m", ANY),
    ("dpmpp-2m-sde(eta=0)", "dpmpp-2m", ANY),
    ("dpmpp-2s-ancestral(eta=0)", "dpmpp-2s", ANY),
    (
        "predictor-corrector(predictor=ancestral, corrector=none)",
        "ancestral(variance=forward)",
        ANY[:1],
    ),
    ("predictor-corrector(predictor=ancestral, corrector=none)", "ancestral", ANY[1:2]),
    ("predictor-corrector(predictor=euler-maruyama, corrector=none)", "euler-maruyama", ANY),
    ("sa-solver(tau=1, predictor_order=1, corrector_order=0)", "ddim(eta=1)", ANY),
    ("sa-solver(tau=0, predictor_order=1, corrector_order=0)", "ddim", ANY),
)
"""(a solver, the one it equals, the processes under which it does)."""

STEPS, SAMPLES = 7, 5
BOUND = 1e-12


def present(text: str) -> bool:
    """Whether the family has the member that a name with options begins with."""
    return text.split("(")[0] in SAMPLERS.members


def pairs_of(member: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """The equalities whose first solver is the member, under whatever options."""
    return [pair for pair in EQUALITIES if pair[0].split("(")[0] == member]


def difference(a: Sampler, b: Sampler, setting: Setting) -> float:
    """Largest relative difference of two solvers' states along one grid, noise and start.

    From the first level to sigma > 0, and to the data.
    """
    worst = []
    for end in (False, True):
        levels = setting.levels(STEPS)
        levels = (*levels, CLEAN) if end else levels
        ids, noise = torch.arange(SAMPLES), Noise(17)
        x = start(levels[0], noise, ids, (2,))
        runs = [sample(MixtureScore(), s, levels, x, noise, trajectory=True) for s in (a, b)]
        first, second = (run.trajectory for run in runs)
        scales = second.abs().amax(dim=(0, 2))
        worst.append(float(((first - second).abs().amax(dim=(0, 2)) / scales).max()))
    return worst_of(worst)


def equivalence_checks(name: str, make) -> list[Check]:
    """Every equality of the member `name`; `make` turns a name with options into a sampler."""
    places, checks = {setting.name: setting for setting in settings()}, []
    for left, right, processes in pairs_of(name):
        a, b = make(left), make(right)
        for process in processes:
            apart = difference(a, b, places[process])
            detail = f"{left} = {right}"
            checks.append(judge(name, "equivalence", process, apart, 0.0, BOUND, detail))
    return checks
