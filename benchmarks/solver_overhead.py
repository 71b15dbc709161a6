"""What a solver's step costs beside the network: scoresde, k-diffusion, smalldiffusion, diffusers.

    pip install diffusers k-diffusion smalldiffusion && python benchmarks/solver_overhead.py

The network of all of them returns one tensor of zeros that exists already, so what is timed is
the solver alone: its loop, its arithmetic and its noise. Each contender carries the same float32
states over 50 steps on one thread, all in one process; a round is one run of each (several, for
small states), forwards and backwards in turn, in CPU time. The table has microseconds a step, the
least round and the median, and the ratio theirs/ours within a round, median and quartiles: above
1, scoresde is the faster. Where a core is shared with other work the least round is the steadier
figure; the load and the time of one small addition say how busy the machine was. Of k-diffusion
and smalldiffusion the module of samplers alone is loaded, without what the rest of these packages
imports. A package that is missing is left out, and the table says so. Rows that draw noise stand
three times: by scoresde's `Noise`, by torch's generator in its place, and along Brownian paths.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import math
import os
import platform
import statistics
import sys
import time
import types
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from scoresde.kernels import BrownianNoise, Noise
from scoresde.processes import PROCESSES
from scoresde.samplers import SAMPLERS, sample
from scoresde.samplers.grids import UniformLogSNR
from scoresde.score import ScoreModel

STEPS = 50
SHAPES = {(64, 2): 8, (16, 3, 32, 32): 1}  # runs of each contender a round
Run = Callable[[], object]


class Zero(ScoreModel):
    """The trivial network."""

    kind = "x0"

    def __init__(self, shape: tuple[int, ...]):
        self.event_shape, self.zeros = shape[1:], torch.zeros(shape)

    def forward(self, x, level):
        return self.zeros

    def predict(self, x, level, kind):
        return self.zeros


class Injected:
    """torch's own generator as a noise source."""

    def __call__(self, step, purpose, ids, shape) -> Tensor:
        return torch.randn(len(ids), *shape)


def own(name: str, shape: tuple[int, ...], noise=None) -> Run:
    levels = tuple(UniformLogSNR(steps=STEPS).levels(PROCESSES["vp-linear"]()))
    model, x, ids = Zero(shape), torch.randn(shape), torch.arange(shape[0])
    return partial(sample, model, SAMPLERS[name](), levels, x, noise or Noise(0), ids=ids)


def alone(package: str, module: str, **stubs) -> types.ModuleType:
    """One module of a package, without running the package's own init."""
    found = importlib.util.find_spec(package)
    if found is None:
        raise ImportError(package)
    bare = types.ModuleType(package)
    bare.__path__ = list(found.submodule_search_locations)
    sys.modules[package] = bare
    for name, members in stubs.items():
        stub = types.ModuleType(f"{package}.{name}")
        stub.__dict__.update(members)
        sys.modules[f"{package}.{name}"] = stub
        setattr(bare, name, stub)
    return importlib.import_module(f"{package}.{module}")


def _append_dims(x: Tensor, n: int) -> Tensor:
    return x.reshape(*x.shape, *[1] * (n - x.ndim))


def k_diffusion() -> Callable[[str, tuple[int, ...]], Run]:
    sampling = alone("k_diffusion", "sampling", utils={"append_dims": _append_dims})
    sigmas = sampling.get_sigmas_karras(STEPS, 0.02, 80.0)

    def run(name: str, shape: tuple[int, ...]) -> Run:
        zeros, x = torch.zeros(shape), 80.0 * torch.randn(shape)
        sampler = getattr(sampling, f"sample_{name}")
        return partial(sampler, lambda x, sigma: zeros, x, sigmas, disable=True)

    return run


def smalldiffusion() -> Callable[[str, tuple[int, ...]], Run]:
    diffusion = alone("smalldiffusion", "diffusion")
    sigmas = diffusion.ScheduleDDPM().sample_sigmas(STEPS)
    accelerator = types.SimpleNamespace(device=torch.device("cpu"))

    def run(name: str, shape: tuple[int, ...]) -> Run:
        x, zeros = sigmas[0] * torch.randn(shape), torch.zeros(shape)
        model = types.SimpleNamespace(
            eval=lambda: None,
            predict_eps_cfg=lambda x, sigma, cond, scale: zeros,
            rand_input=lambda batch: torch.randn(batch, *shape[1:]),
        )
        mu = {"DDIM": 0.0, "DDPM": 0.5}[name]
        options = {"gam": 1.0, "mu": mu, "xt": x, "accelerator": accelerator}
        return lambda: list(diffusion.samples(model, sigmas, **options))

    return run


def diffusers() -> Callable[[str, tuple[int, ...]], Run]:
    package = importlib.import_module("diffusers")

    def run(name: str, shape: tuple[int, ...]) -> Run:
        scheduler = getattr(package, name)()
        zeros, start = torch.zeros(shape), torch.randn(shape)

        @torch.no_grad()
        def go() -> Tensor:
            scheduler.set_timesteps(STEPS)
            x = start
            for t in scheduler.timesteps:
                x = scheduler.step(zeros, t, x).prev_sample
            return x

        return go

    return run


PACKAGES = {"k-diffusion": k_diffusion, "smalldiffusion": smalldiffusion, "diffusers": diffusers}
PEERS = {  # ours: {package: their name}
    "ddim": {
        "k-diffusion": "euler", "smalldiffusion": "DDIM", "diffusers": "DDIMScheduler",
    },
    "ancestral": {
        "k-diffusion": "euler_ancestral", "smalldiffusion": "DDPM", "diffusers": "DDPMScheduler",
    },
    "dpmpp-2m": {"k-diffusion": "dpmpp_2m", "diffusers": "DPMSolverMultistepScheduler"},
    "unipc": {"diffusers": "UniPCMultistepScheduler"},
    "dpmpp-2m-sde": {"k-diffusion": "dpmpp_2m_sde"},
}  # fmt: skip
LARGE = 10_000  # numbers a step, from which Brownian paths, ours and theirs, take minutes


def noises(shape: tuple[int, ...]) -> dict:
    """What stands beside `Noise` as a source."""
    sources = {"torch.randn": Injected()}
    return sources if math.prod(shape) > LARGE else sources | {"Brownian path": BrownianNoise(0)}


def contenders(name: str, shape: tuple[int, ...], packages: dict) -> dict[str, Run]:
    """Every run that stands beside our solver `name`, ours first."""
    runs = {"scoresde": own(name, shape)}
    if SAMPLERS[name]().stochastic:
        for title, noise in noises(shape).items():
            runs[f"scoresde, {title}"] = own(name, shape, noise)
    for package, peer in PEERS[name].items():
        if package in packages:
            runs[f"{package} {peer}"] = packages[package](peer, shape)
    return runs


def seconds(run: Run, times: int) -> float:
    """CPU time of one run: what other processes take of the machine does not count."""
    start = time.process_time()
    for _ in range(times):
        run()
    return (time.process_time() - start) / times


def measure(runs: dict[str, Run], rounds: int, times: int) -> dict[str, dict]:
    taken: dict[str, list[float]] = {title: [] for title in runs}
    for turn in range(rounds + 2):  # two rounds warm up
        for title in list(runs)[:: 1 if turn % 2 else -1]:
            spent = seconds(runs[title], times)
            if turn >= 2:
                taken[title].append(spent / STEPS * 1e6)
    ours = taken["scoresde"]
    return {title: _summary(theirs, ours) for title, theirs in taken.items()}


def _summary(theirs: list[float], ours: list[float]) -> dict:
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {
        "microseconds": round(statistics.median(theirs), 1),
        "least": round(min(theirs), 1),
        "ratio": round(middle, 2),
        "quartiles": [round(low, 2), round(high, 2)],
    }


def available() -> dict:
    """The packages that are here; says which are not."""
    packages = {}
    for name, load in PACKAGES.items():
        try:
            packages[name] = load()
        except ImportError as error:
            print(f"{name}: left out, {error} is missing")
        else:
            print(f"{name} {version(name)}")
    return packages


def machine() -> str:
    """How fast and how busy it is now."""
    x, y = torch.zeros(2, 64, 2)
    adds = [seconds(lambda: torch.add(x, y, alpha=0.3), 1000) * 1e6 for _ in range(200)]
    load, add = os.getloadavg()[0], statistics.median(adds)
    return f"load {load:.1f} on {os.cpu_count()} cores; an addition of (64, 2) {add:.1f} us"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", choices=sorted(PEERS), help="one solver of ours")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    warnings.simplefilter("ignore")  # the peers' own
    capability = torch.backends.cpu.get_cpu_capability()
    print(f"torch {torch.__version__}, {platform.processor() or 'CPU'}, {capability}, one thread")
    packages, report = available(), {}
    print(machine())
    for shape, times in SHAPES.items():
        for name in [options.only] if options.only else PEERS:
            if name == "dpmpp-2m-sde" and math.prod(shape) > LARGE:
                continue  # k-diffusion's noise is a Brownian path
            figures = measure(contenders(name, shape, packages), options.rounds, times)
            report[f"{name} {shape}"] = figures
            print(f"\n{name}, states {shape}: microseconds a step, least and median; theirs/ours")
            for title, f in figures.items():
                low, high = f["quartiles"]
                print(
                    f"  {title:40}{f['least']:9.1f}{f['microseconds']:9.1f}"
                    f"{f['ratio']:9.2f} ({low} to {high})",
                    flush=True,
                )
    print(f"\n{machine()}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
