"""Score times guidance times sampler times seed: samples into a dump."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scoresde.checkpointed import Source
from scoresde.config import Config
from scoresde.errors import OptionError, UsageError
from scoresde.guidance import Labels, cost
from scoresde.guided import conditions_of, guided
from scoresde.io import dump
from scoresde.io.provenance import provenance
from scoresde.jobs import DTYPES, check_batch, dtype_named, into_dump, to_numpy
from scoresde.kernels import BrownianNoise, Noise
from scoresde.kernels.noise import check_seed
from scoresde.langevin import Chain, LangevinKernel
from scoresde.processes import CLEAN, NoiseLevel
from scoresde.result import Result
from scoresde.samplers import Sampler, sample, start
from scoresde.score import ScoreModel, ask


@dataclass(frozen=True, kw_only=True)
class Request:
    """How many samples, by which method, under which seed.

    `method` has a [sampler] and a [grid], or a [kernel] and a [chain], and may have a [guidance]
    and a [threshold]. Sample ids run from `first_id`; `batch` rows are computed at once, in
    blocks aligned to id // batch. `label` is a class, a cycle of classes by sample id, or "all"
    (id mod classes); `vector` is what a model of vectors is given, in the units of the data.
    Without either the samples are unconditional. With `path` the sampler's noise is one Brownian
    path a sample, which neither the steps nor the sampler changes.
    """

    method: Config
    n: int = 64
    first_id: int = 0
    batch: int = 256
    seed: int = 0
    dtype: str = "float32"
    device: str = "cpu"
    trajectory: bool = False
    log_prob: bool = False
    path: bool = False
    label: int | str | tuple[int, ...] | None = None
    vector: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_seed(self.seed)
        for name, least in (("n", 1), ("first_id", 0)):
            if getattr(self, name) < least:
                raise OptionError(f"{name} is at least {least}, got {getattr(self, name)}")
        check_batch(self.batch)
        dtype_named(self.dtype)
        if ("kernel" in self.method) == ("sampler" in self.method):
            raise UsageError("samples need a [sampler] or a Langevin [kernel], one of the two")
        if "kernel" in self.method and self.trajectory:
            raise UsageError("a Langevin chain has no trajectory; its draws are in `chain`")


class Generator:
    """A request bound to a model: `rows(ids)` computes any samples of it."""

    def __init__(self, source: Source, request: Request, guide: Source | None = None):
        self.source, self.request, self.guide = source, request, guide
        self.first_id, self.n, self.batch = request.first_id, request.n, request.batch
        method = request.method
        self.model = guided(source, method, guide)
        self.conditions = conditions_of(
            self.model, method, request.label, request.vector, source.given_scaling
        )
        self.labels = self.conditions if isinstance(self.conditions, Labels) else None
        self.noise = BrownianNoise(request.seed) if request.path else Noise(request.seed)
        if "kernel" in method:
            self.kernel: LangevinKernel | None = method.build("kernel")
            self.chain: Chain = method.build("chain") if "chain" in method else Chain()
            self.levels: tuple[NoiseLevel, ...] = (self._chain_level(),)
            self.stochastic = True
        else:
            self.kernel = None
            self.sampler: Sampler = method.build("sampler")
            self.levels = method.build("grid").levels(source.process)
            self.stochastic = bool(self.sampler.stochastic)
        if request.path and (self.kernel is not None or not self.stochastic):
            raise OptionError(
                "--path is for samplers of the reverse SDE; this one draws no noise along it: "
                "take dpmpp-2m-sde, ancestral, ddim with eta=1, or leave --path out"
            )
        if request.log_prob:
            ask(self.model, "log_density", "--log-prob")

    def _given(self, ids: Tensor) -> ScoreModel:
        if self.conditions is None:
            return self.model
        return self.model.given(self.conditions.at(ids))

    def _chain_level(self) -> NoiseLevel:
        if self.source.exact:
            return CLEAN
        process, log_snr = self.source.process, self.chain.log_snr
        return process.at(process.t_min) if log_snr is None else process.at_log_snr(log_snr)

    def draw(self, ids: Tensor) -> Result:
        """The samples of these ids (int64), in model space."""
        model, request = self._given(ids), self.request
        first = self.levels[0] if self.kernel is None else CLEAN
        shape = tuple(model.event_shape)
        x = start(first, self.noise, ids, shape).to(DTYPES[request.dtype])
        if self.kernel is not None:
            level = self.levels[0]
            return self.chain.run(model, self.kernel, x, self.noise, ids=ids, level=level)
        return sample(
            model, self.sampler, self.levels, x, self.noise, ids=ids, trajectory=request.trajectory
        )

    def rows(self, ids: Tensor) -> dict[str, np.ndarray]:
        """The columns of a dump for these ids, in the units of the data."""
        ids = ids.to(self.request.device)
        result = self.draw(ids)
        undo = self.source.scaling.undo
        # a chain at a level samples z = alpha x + sigma eps: x/alpha is in the data's units
        alpha = self.levels[0].alpha if self.kernel is not None else 1.0
        columns = {"samples": undo(result.x / alpha), "nfe": result.nfe}
        if result.trajectory is not None:
            columns["trajectory"] = undo(result.trajectory)
        if result.chain is not None:
            columns["chain"] = undo(result.chain / alpha)
        if self.request.log_prob:
            value = self._given(ids).log_density(result.x).to(torch.float64)
            shape = tuple(self.source.model.event_shape)
            columns["log_prob"] = value - self.source.scaling.log_volume(shape)
        if self.labels is not None:
            columns["label"] = self.labels.at(ids)
        columns.update(result.facts)
        return to_numpy(columns)

    def layout(self) -> dict:
        """The room that a dump of the request needs."""
        chain = self.chain.draws if self.kernel is not None else None
        return {
            "rows": self.request.n,
            "first_id": self.request.first_id,
            "event_shape": tuple(self.source.model.event_shape),
            "dtype": self.request.dtype,
            "trajectory": len(self.levels) if self.request.trajectory else None,
            "chain": chain,
            "log_prob": self.request.log_prob,
            "label": self.labels is not None,
            "facts": self._facts(),
        }

    def _facts(self) -> dict[str, str]:
        if self.kernel is not None:
            return {"acceptance": self.request.dtype}
        return dict(self.sampler.facts)

    def start_share(self) -> float:
        """The share of the data in a first state's variance, about alpha^2 d^2/scale^2.

        The start is taken as pure noise, which is right only where this is small.
        """
        first = self.levels[0]
        if self.kernel is not None:
            return 0.0
        return (first.alpha * self.source.model.sigma_data / first.scale) ** 2

    def attributes(self) -> dict:
        """What identifies the run, and where it came from."""
        request, method = self.request, self.request.method.resolved()
        method.pop("seed")
        first = self.levels[0]
        ratio = first.noise_ratio
        identity = {
            "model": self.source.identity,
            "process": self.source.process_table,
            **method,
            "seed": request.seed,
            "batch": request.batch,
            "device": request.device,
            "stochastic": self.stochastic,
            "start": f"seed {request.seed}, sigma/alpha {ratio:.9g}",
            "scaling": self.source.scaling.to_dict(),
        }
        if request.path:
            identity["noise"] = "one Brownian path a sample"
        if self.conditions is not None:
            identity["labels" if self.labels else "vector"] = self.conditions.text
        if self.guide is not None:
            identity["guide"] = self.guide.identity
        described = {
            "description": self.source.description,
            "evaluations_per_call": cost(self.model),
            "config": self.source.config.resolved(),
        }
        return {"identity": identity, "provenance": {**described, **provenance()}}


def generate(
    source: Source,
    request: Request,
    path: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    guide: Source | None = None,
    progress: Callable[[int], None] | None = None,
) -> dump.Dump:
    """Compute the samples of a request into a dump, block by block, and read it back.

    `resume` computes only the blocks that are missing; `overwrite` starts anew; otherwise a file
    that exists is a `DumpError`. `guide` is the second model of the request's guidance.
    `progress` is told the rows done after each block.
    """
    job = Generator(source, request, guide)
    return into_dump(job, path, resume=resume, overwrite=overwrite, progress=progress)
