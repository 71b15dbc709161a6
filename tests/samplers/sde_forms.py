"""SA-Solver, ER-SDE and SEEDS as their papers write them, in numpy, and uneven grids for them."""

import itertools
import math

import numpy as np
import torch
from sampling_tools import Recorded, Written, denoiser
from scipy.integrate import quad

from scoresde.kernels import Purpose
from scoresde.processes import CLEAN, PROCESSES
from scoresde.samplers import SASolver, sample
from scoresde.samplers.grids import UniformLogSNR

N = 5


def levels_of(name: str, final: str = "clean", steps: int = 7):
    """Uneven in log SNR, so that no two steps are alike."""
    process = PROCESSES[name]()
    grid = UniformLogSNR(steps=steps, final="min", log_snr_min=-6.0, log_snr_max=4.0)
    moved = [u + 0.4 * math.sin(u) for u in (v.log_snr for v in grid.levels(process))]
    levels = [process.at_log_snr(u) for u in moved]
    return (*levels, CLEAN) if final == "clean" else tuple(levels)


def begin(level) -> np.ndarray:
    return np.random.default_rng(8).standard_normal((N, 2)) * level.scale


def run(sampler, levels, noise=None) -> np.ndarray:
    """The trajectory (points, batch, 2)."""
    x = torch.from_numpy(begin(levels[0]))
    out = sample(Recorded(), sampler, levels, x, noise or Written(), trajectory=True)
    return out.trajectory.transpose(0, 1).numpy()


def close(got, expected, tolerance: float = 1e-12) -> None:
    expected = np.array(expected)
    scale = np.abs(expected).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(got / scale, expected / scale, rtol=0.0, atol=tolerance)


def draw(step: int, count: int = 0) -> np.ndarray:
    return Written().number(step + (count << 20), Purpose.STEP, N)


def moments(a: float, h: float, highest: int) -> list[float]:
    """int_{-h}^0 e^{a x} x^k dx by parts."""
    values = [(1.0 - math.exp(-a * h)) / a]
    for k in range(1, highest + 1):
        values.append((-((-h) ** k) * math.exp(-a * h) - k * values[-1]) / a)
    return values


def adams(nodes, outputs, low: float, high: float, tau: float, few: bool) -> np.ndarray:
    """sum_j x0_j int (1 + tau^2) e^{(1 + tau^2)(l - high)} l_j(l) dl over [low, high]."""
    a, h, total = 1.0 + tau**2, high - low, 0.0
    for j, output in enumerate(outputs):
        others = [node - high for k, node in enumerate(nodes) if k != j]
        polynomial = np.polynomial.polynomial.polyfromroots(others)
        polynomial = polynomial / np.prod([nodes[j] - high - other for other in others])
        weight = a * float(polynomial @ moments(a, h, len(others)))
        if few and len(nodes) == 2:
            changed = h**2 / 2 - (h * a - 1 + math.exp(-a * h)) / a**2
            weight += a * changed / (nodes[j] - nodes[1 - j])
        total = total + weight * output
    return total


def sa_solver(sampler: SASolver, levels) -> list:
    """Xue et al. 2023, algorithm 1 as programmed: predict, evaluate, correct, and on."""
    lam = [math.log(v.alpha / v.sigma) if v.sigma else math.inf for v in levels]
    x = begin(levels[0])
    states, outputs, count = [x], [], len(levels) - 1
    base = before = None
    for i, (t, s) in enumerate(itertools.pairwise(levels)):
        outputs.append(denoiser(states[-1], t.alpha, t.sigma))
        if s.sigma == 0.0:
            return [*states, s.alpha * outputs[-1]]
        x = states[-1]
        if i > 0 and sampler.corrector_order:
            q, tau = before
            sums = adams(lam[i + 1 - q : i + 1], outputs[-q:], *lam[i - 1 : i + 1], tau,
                         sampler.few_steps)  # fmt: skip
            x = base + t.alpha * sums
        lowered = {"full": 0, "lower": count, "euler": 1}[sampler.end]
        left = count - i if count - i <= lowered else 99
        p = min(sampler.predictor_order, i + 1, left)
        h = lam[i + 1] - lam[i]
        tau = sampler.tau * (sampler.ratio_min <= t.sigma / t.alpha <= sampler.ratio_max)
        before = min(sampler.corrector_order, i + 2, left + 1), tau
        noise = math.sqrt(1 - math.exp(-2 * tau**2 * h))
        base = s.sigma / t.sigma * math.exp(-(tau**2) * h) * x + s.sigma * noise * draw(i)
        sums = adams(lam[i + 1 - p : i + 1], outputs[-p:], *lam[i : i + 2], tau,
                     sampler.few_steps)  # fmt: skip
        states.append(base + s.alpha * sums)
    return states


PHI = {
    "ode": lambda r: r,
    "sde": lambda r: r**2,
    "sde-1": lambda r: r * (math.exp(-1 / r) + 10),
    "sde-2": lambda r: r**1.5,
    "sde-3": lambda r: r**2.5,
    "sde-4": lambda r: r**0.9 * math.log10(1 + 100 * r**1.5),
    "sde-5": lambda r: r * (math.exp(r**0.3) + 10),
}


def er_sde(levels, scale: str, stages: int) -> list:
    """Cui et al. 2023, algorithms 1-3, quadrature for their sums of 200 points."""
    phi = PHI[scale]
    states, outputs, slopes, at = [begin(levels[0])], [], [], []
    for i, (t, s) in enumerate(itertools.pairwise(levels)):
        x0 = denoiser(states[-1], t.alpha, t.sigma)
        if s.sigma == 0.0:
            return [*states, s.alpha * x0]
        r, r_next = t.sigma / t.alpha, s.sigma / s.alpha
        outputs.append(x0)
        at.append(r)
        part = phi(r_next) / phi(r)
        x = s.alpha / t.alpha * part * states[-1] + s.alpha * (1 - part) * x0
        if i > 0 and stages > 1:
            slopes.append((x0 - outputs[-2]) / (r - at[-2]))
            area = quad(lambda u: 1 / phi(u), r_next, r, epsabs=0, epsrel=1e-13)[0]
            x = x + s.alpha * (r_next - r + area * phi(r_next)) * slopes[-1]
        if i > 1 and stages > 2:
            bend = 2 * (slopes[-1] - slopes[-2]) / (r - at[-3])
            area = quad(lambda u, r=r: (u - r) / phi(u), r_next, r, epsabs=0, epsrel=1e-13)[0]
            x = x + s.alpha * ((r_next - r) ** 2 / 2 + area * phi(r_next)) * bend
        spread = math.sqrt(max(r_next**2 - r**2 * part**2, 0.0))
        states.append(x + s.alpha * (spread if scale != "ode" else 0.0) * draw(i))
    return states


def seeds(levels, stages: int) -> list:
    """Gonzalez et al. 2023, algorithms 1-3, in lambda."""
    e, root = math.exp, math.sqrt
    states = [begin(levels[0])]
    for i, (t, s) in enumerate(itertools.pairwise(levels)):
        x, z = states[-1], [draw(i, k) for k in range(3)]
        if s.sigma == 0.0:
            return [*states, denoiser(x, t.alpha, t.sigma)]
        lam = math.log(t.alpha / t.sigma)
        h = math.log(s.alpha / s.sigma) - lam

        def eps(u, level):
            return (u - level.alpha * denoiser(u, level.alpha, level.sigma)) / level.sigma

        def at(c, t=t, lam=lam, h=h):
            return t.process.at_log_snr(2 * (lam + c * h))

        now = eps(x, t)
        x_s = s.alpha / t.alpha * x
        if stages == 1:
            new = x_s - 2 * s.sigma * (e(h) - 1) * now + s.sigma * root(e(2 * h) - 1) * z[0]
        elif stages == 2:
            m = at(1 / 2)
            u = m.alpha / t.alpha * x - 2 * m.sigma * (e(h / 2) - 1) * now
            u = u + m.sigma * root(e(h) - 1) * z[0]
            new = x_s - 2 * s.sigma * (e(h) - 1) * eps(u, m)
            new = new + s.sigma * (root(e(2 * h) - e(h)) * z[0] + root(e(h) - 1) * z[1])
        else:
            a, b, c = at(1 / 3), at(2 / 3), e(2 * h / 3)
            u = a.alpha / t.alpha * x - 2 * a.sigma * (e(h / 3) - 1) * now
            u = u + a.sigma * root(c - 1) * z[0]
            d1 = eps(u, a) - now
            u = b.alpha / t.alpha * x - 2 * b.sigma * (c - 1) * now
            u = u - 4 * b.sigma * ((c - 1) / (2 * h / 3) - 1) * d1
            u = u + b.sigma * (root(c**2 - c) * z[0] + root(c - 1) * z[1])
            d2 = eps(u, b) - now
            new = x_s - 2 * s.sigma * (e(h) - 1) * now - 3 * s.sigma * ((e(h) - 1) / h - 1) * d2
            roots = root(c**3 - c**2), root(c**2 - c), root(c - 1)
            new = new + s.sigma * sum(w * n for w, n in zip(roots, z, strict=True))
        states.append(new)
    return states
