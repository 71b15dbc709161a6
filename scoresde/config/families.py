"""The sections of a configuration and the options that are members themselves, by family."""

from __future__ import annotations

from scoresde.data import DATASETS
from scoresde.densities import DENSITIES, Density
from scoresde.estimators import ESTIMATORS
from scoresde.estimators.mixture import METHODS, Method
from scoresde.families import Family
from scoresde.guidance import GUIDANCE, THRESHOLDS
from scoresde.langevin import KERNELS, Chain
from scoresde.nets import CLASSIFIERS, NETS
from scoresde.objectives import OBJECTIVES, TIMES, WEIGHTINGS, Times, Weighting
from scoresde.processes import PROCESSES
from scoresde.samplers import GRIDS, SAMPLERS
from scoresde.score import MODELS
from scoresde.training import Training

SECTIONS: dict[str, Family | type] = {
    "data": DATASETS,
    "density": DENSITIES,
    "fit": ESTIMATORS,
    "model": MODELS,
    "process": PROCESSES,
    "net": NETS,
    "classifier": CLASSIFIERS,
    "objective": OBJECTIVES,
    "training": Training,
    "sampler": SAMPLERS,
    "grid": GRIDS,
    "kernel": KERNELS,
    "chain": Chain,
    "guidance": GUIDANCE,
    "threshold": THRESHOLDS,
}
NESTED: dict[type, Family] = {
    Weighting: WEIGHTINGS,
    Times: TIMES,
    Density: DENSITIES,
    Method: METHODS,
}
