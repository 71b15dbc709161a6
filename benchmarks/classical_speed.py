"""Classical models beside scikit-learn: the same data, start and iterations, on one thread.

    pip install scikit-learn && python benchmarks/classical_speed.py [--memory]

A round is one run of each contender, forwards and backwards in turn, all in one process, in CPU
time; the table has the least seconds of each and the ratio theirs/ours within a round, median and
quartiles: above 1, scoresde is the faster. `--memory` adds the peak resident size of one EM
iteration on 10^6 data in 64 dimensions with 100 components, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import threadpoolctl
import torch

from scoresde.densities import KDE, GaussianMixture
from scoresde.estimators import ESTIMATORS
from scoresde.estimators.mixture.em import EM

N, D, K = 100_000, 32, 50
KMEANS_STEPS, EM_STEPS = 10, 3
Run = Callable[[], object]


def clustered(n: int, d: int, k: int, dtype=np.float64) -> np.ndarray:
    """n data in d dimensions about k overlapping centres, each with a covariance of its own."""
    rng = np.random.default_rng(0)
    centres = 1.5 * rng.standard_normal((k, d))
    roots = rng.standard_normal((k, d, d)) / np.sqrt(d)
    which = rng.integers(k, size=n)
    x = centres[which]
    for j in range(k):
        own = which == j
        x[own] += rng.standard_normal((own.sum(), d)) @ roots[j]
    return x.astype(dtype)


def kmeans(dtype, steps: int = KMEANS_STEPS, clusters: bool = True) -> dict[str, Run]:
    from sklearn.cluster import KMeans

    one = np.random.default_rng(0).standard_normal((N, D)).astype(dtype)
    x = clustered(N, D, K, dtype) if clusters else one
    start = x[:K].copy()
    ours = ESTIMATORS["kmeans"](k=K, restarts=1, max_iterations=steps, tolerance=0.0)
    theirs = KMeans(K, init=start, n_init=1, max_iter=steps, tol=0.0, algorithm="lloyd")
    given = torch.from_numpy(x)
    return {
        "scoresde": partial(ours.fit, given, start=torch.from_numpy(start)),
        "scikit-learn": partial(theirs.fit, x),
    }


def mixture(dtype, structure: str) -> dict[str, Run]:
    from sklearn.mixture import GaussianMixture as Peer

    x = clustered(N, D, K, dtype)
    means, spread = x[:K].astype(np.float64), x.astype(np.float64).var(0)
    shapes = {
        "spherical": (np.full(K, spread.mean()), np.full(K, 1 / spread.mean())),
        "diagonal": (np.tile(spread, (K, 1)), np.tile(1 / spread, (K, 1))),
        "tied": (np.diag(spread), np.diag(1 / spread)),
        "full": (np.tile(np.diag(spread), (K, 1, 1)), np.tile(np.diag(1 / spread), (K, 1, 1))),
    }
    covariances, precisions = shapes[structure]
    start = GaussianMixture(means=means, covariances=covariances, structure=structure)
    ours = ESTIMATORS["gmm"](
        k=K, structure=structure, method=EM(max_iterations=EM_STEPS, tolerance=0.0)
    )
    theirs = Peer(
        K,
        covariance_type={"diagonal": "diag"}.get(structure, structure),
        tol=0.0,
        max_iter=EM_STEPS,
        weights_init=np.full(K, 1 / K),
        means_init=means.astype(dtype),
        precisions_init=precisions.astype(dtype),
    )
    return {
        "scoresde": partial(ours.fit, torch.from_numpy(x), start=start),
        "scikit-learn": partial(theirs.fit, x),
    }


def pca(dtype, ours: str = "auto", theirs: str = "auto") -> dict[str, Run]:
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(1)
    spectrum = 1.0 / (1.0 + np.arange(784))
    x = (rng.standard_normal((10_000, 784)) * spectrum) @ rng.standard_normal((784, 784))
    x = x.astype(dtype)
    own = ESTIMATORS["pca"](components=50, solver=ours)
    peer = PCA(50, svd_solver=theirs, random_state=0)
    return {
        "scoresde": partial(own.fit, torch.from_numpy(x)),
        "scikit-learn": partial(peer.fit, x),
    }


def kde(dtype, what: str) -> dict[str, Run]:
    from sklearn.neighbors import KernelDensity

    rng = np.random.default_rng(2)
    x, queries = rng.standard_normal((10_000, 64)), rng.standard_normal((1_000, 64))
    x, queries = x.astype(dtype), queries.astype(dtype)
    density = KDE(points=torch.from_numpy(x), bandwidth=1.0)
    peer = KernelDensity(bandwidth=1.0).fit(x)
    return {
        "scoresde": partial(getattr(density, what), torch.from_numpy(queries)),
        "scikit-learn": partial(peer.score_samples, queries),
    }


ROWS: dict[str, tuple[Callable[[], dict[str, Run]], str]] = {
    "k-means, float64": (partial(kmeans, np.float64), f"{N} x {D}, K = {K}, Lloyd"),
    "k-means, float32": (partial(kmeans, np.float32), f"{N} x {D}, K = {K}, Lloyd"),
    "k-means at length, float64": (partial(kmeans, np.float64, 40), "the same, 40 iterations"),
    "k-means at length, float32": (partial(kmeans, np.float32, 40), "the same, 40 iterations"),
    "k-means, one Gaussian, 64": (
        partial(kmeans, np.float64, clusters=False), "data without clusters, float64"),
    "k-means, one Gaussian, 32": (
        partial(kmeans, np.float32, clusters=False), "data without clusters, float32"),
    "EM full, float64": (partial(mixture, np.float64, "full"), f"{N} x {D}, K = {K}"),
    "EM full, float32": (partial(mixture, np.float32, "full"), f"{N} x {D}, K = {K}"),
    "EM tied, float64": (partial(mixture, np.float64, "tied"), f"{N} x {D}, K = {K}"),
    "EM diagonal, float64": (partial(mixture, np.float64, "diagonal"), f"{N} x {D}, K = {K}"),
    "EM spherical, float64": (partial(mixture, np.float64, "spherical"), f"{N} x {D}, K = {K}"),
    "PCA, float64": (partial(pca, np.float64), "10000 x 784, 50 axes, own defaults"),
    "PCA, float32": (partial(pca, np.float32), "10000 x 784, 50 axes, own defaults"),
    "PCA exact, float64": (
        partial(pca, np.float64, "exact", "covariance_eigh"), "10000 x 784, 50 axes"),
    "PCA randomised, float64": (
        partial(pca, np.float64, "randomised", "randomized"), "10000 x 784, 50 axes"),
    "KDE score, float32": (partial(kde, np.float32, "score"), "theirs: the density alone"),
    "KDE log-density, float32": (partial(kde, np.float32, "log_prob"), "10000 data, 1000 x 64"),
    "KDE log-density, float64": (partial(kde, np.float64, "log_prob"), "10000 data, 1000 x 64"),
}  # fmt: skip


def measure(contenders: dict[str, Run], rounds: int) -> dict:
    """Least seconds of each, and the ratio to ours within a round."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for run in contenders.values():
        run()
    for i in range(rounds):
        order = list(contenders) if i % 2 == 0 else list(contenders)[::-1]
        for name in order:
            begun = time.process_time()
            contenders[name]()
            seconds[name].append(time.process_time() - begun)
    ratios = [b / a for a, b in zip(seconds["scoresde"], seconds["scikit-learn"], strict=True)]
    return {
        "seconds": {name: min(values) for name, values in seconds.items()},
        "ratio": statistics.median(ratios),
        "quartiles": statistics.quantiles(ratios, n=4)[::2] if rounds > 1 else None,
    }


def peak(structure: str, n: int, d: int = 64, k: int = 100) -> dict:
    """GiB at the peak of one EM iteration in this process, and seconds of it."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=rng)
    one = {"full": torch.eye(d).expand(k, d, d), "diagonal": torch.ones(k, d)}[structure]
    start = GaussianMixture(means=x[:k], covariances=one)
    begun = time.process_time()
    method = EM(max_iterations=1, tolerance=0.0)
    ESTIMATORS["gmm"](k=k, structure=structure, method=method).fit(x, start=start)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"gib": used, "seconds": time.process_time() - begun}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1)
    if options.peak:
        print(json.dumps(peak(options.peak, 1_000_000)))
        return
    warnings.filterwarnings("ignore", category=Warning)  # scikit-learn's, of iterations cut short
    names = ("numpy", "scikit-learn", "scipy", "torch")
    figures = {"versions": {name: version(name) for name in names}, "cpu": platform.processor()}
    print(f"{'':<26}{'ours, s':>9}{'theirs, s':>11}{'theirs/ours':>13}   quartiles", flush=True)
    for name, (make, what) in ROWS.items():
        if options.only not in name:
            continue
        row = figures[name] = measure(make(), options.rounds)
        ours, theirs = row["seconds"]["scoresde"], row["seconds"]["scikit-learn"]
        quartiles = " to ".join(f"{q:.2f}" for q in row["quartiles"] or ())
        told = (
            f"{name:<26}{ours:>9.3f}{theirs:>11.3f}{row['ratio']:>13.2f}   {quartiles}  ({what})"
        )
        print(told, flush=True)
    for structure in ("diagonal", "full") if options.memory else ():
        call = [sys.executable, __file__, "--peak", structure]
        made = json.loads(subprocess.run(call, check=True, capture_output=True).stdout)
        figures[f"memory, {structure}"] = made
        print(
            f"one EM iteration of 10^6 x 64, K = 100, {structure}: {made['gib']:.2f} GiB at the "
            f"peak, {made['seconds']:.0f} s of CPU"
        )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
