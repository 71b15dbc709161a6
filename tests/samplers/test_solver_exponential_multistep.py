"""DPM-Solver++ in multistep form and DEIS as printed and as other tools step, to 1e-12."""

import math

import numpy as np
import pytest
import torch
from exponential_forms import begin, close, grid, lam, model, orders, run
from sampling_tools import Recorded

from scoresde.errors import OptionError
from scoresde.processes import NoiseLevel
from scoresde.verify import named
from scoresde.verify.order import order_checks
from scoresde.verify.settings import settings

# DPM-Solver++(2M), (3M)


@pytest.mark.parametrize("kind", ["x0", "eps"])
@pytest.mark.parametrize("end", ["full", "lower", "euler"])
@pytest.mark.parametrize("form", ["midpoint", "heun"])
@pytest.mark.parametrize(("name", "k"), [("dpmpp-2m", 2), ("dpmpp-3m", 3)])
def test_multistep_forms(name: str, k: int, form: str, end: str, kind: str) -> None:
    """The updates of first, second and third order that other tools share, by lambda."""
    levels = grid()
    x, outputs = begin(levels[0]), []
    expected = [x]
    for i, order in enumerate(orders(k, 7, end)):
        t, s = levels[i], levels[i + 1]
        outputs.append(model(kind, x, t))
        h, m = lam(s) - lam(t), outputs[-1]
        if kind == "x0":
            e, scale = math.exp(-h) - 1, s.alpha
            y, ramp = s.sigma / t.sigma * x - scale * e * m, scale * (e / h + 1)
            bend = scale * ((e + h) / h**2 - 0.5)
        else:
            e, scale = math.exp(h) - 1, s.sigma
            y, ramp = s.alpha / t.alpha * x - scale * e * m, -scale * (e / h - 1)
            bend = scale * ((e - h) / h**2 - 0.5)
        if order > 1:
            r0 = (lam(t) - lam(levels[i - 1])) / h
            d1_0 = (m - outputs[-2]) / r0
        if order == 2:
            y = y + (-0.5 * scale * e if form == "midpoint" else ramp) * d1_0
        if order == 3:
            r1 = (lam(levels[i - 1]) - lam(levels[i - 2])) / h
            d1_1 = (outputs[-2] - outputs[-3]) / r1
            d1 = d1_0 + r0 / (r0 + r1) * (d1_0 - d1_1)
            y = y + ramp * d1 - bend * (d1_0 - d1_1) / (r0 + r1)
        x = y
        expected.append(x)
    published = ", second_derivative=published" * (k == 3)
    close(run(f"{name}(form={form}, end={end}, prediction={kind}{published})", levels), expected)


def test_the_full_second_derivative_is_twice_the_divided_difference() -> None:
    """Where the outputs are a parabola in lambda, x0 = lambda^2, one step of 3M is exact."""

    class Parabola(Recorded):
        def predict(self, x, level, kind):
            super().predict(x, level, kind)
            return torch.full_like(x, (0.5 * level.log_snr) ** 2)

    levels = grid("edm", steps=3)
    states = run("dpmpp-3m", levels, Parabola())
    t, s = levels[2:]
    a, b = lam(t), lam(s)
    grown = math.exp(b) * (b * b - 2 * b + 2) - math.exp(a) * (a * a - 2 * a + 2)
    close(states[3], s.sigma * (states[2] / t.sigma + grown))
    half = run("dpmpp-3m(second_derivative=published)", levels, Parabola())
    assert np.abs(half[3] - states[3]).max() > 1e-3


@pytest.mark.parametrize(
    ("name", "single", "cold"),
    [("dpmpp-2m", "dpmpp-2s", 1), ("dpmpp-3m", "dpmpp-3s", 2),
     ("deis", "dpm-solver", 2), ("deis(solver_order=4)", "exp-rk4(prediction=eps)", 3),
     ("unipc(solver_order=3, corrector=False)", "dpmpp-3s", 2),
     ("unipc", "dpmpp-3s", 1), ("unipc(solver_order=3)", "exp-rk4", 2)],
)  # fmt: skip
def test_a_single_step_start_is_that_of_the_single_step_solver(
    name: str, single: str, cold: int
) -> None:
    levels = grid(steps=6)
    started = name.rstrip(")") + (", " if "(" in name else "(") + "start=single-step)"
    recorded = Recorded()
    states = run(started, levels, recorded)
    close(states[: cold + 1], run(single, levels)[: cold + 1])
    assert np.abs(states[1] - run(name, levels)[1]).max() > 1e-6
    extra = (named(single).evaluations - 1) * cold
    assert len(recorded.levels) == 6 + extra
    sampler = named(started)
    assert sampler.order == sampler.order_cold == named(name).order


# DEIS


@pytest.mark.parametrize("end", ["full", "euler"])
@pytest.mark.parametrize("k", [2, 3])
def test_deis_in_log_snr_is_the_log_rho_form(k: int, end: str) -> None:
    """Antiderivatives of products of log rho, rho = sigma/alpha, as other tools write DEIS."""

    def one(t, b, c):
        return t * (-math.log(c) + math.log(t) - 1) / (math.log(b) - math.log(c))

    def two(t, b, c, d):
        lt, lb, lc, ld = map(math.log, (t, b, c, d))
        return t * (lc * (ld - lt + 1) - ld * lt + ld + lt**2 - 2 * lt + 2) / (lb - lc) / (lb - ld)

    levels = grid("vp-cosine")
    rho = [v.noise_ratio for v in levels]
    x, old, expected = begin(levels[0]), [], [begin(levels[0])]
    for i, order in enumerate(orders(k, 7, end)):
        t, s = levels[i], levels[i + 1]
        old = [model("eps", x, t), *old]
        nodes = rho[i : i - order : -1] if i >= order else rho[i::-1]
        y = x / t.alpha
        if order == 1:
            y = y + (rho[i + 1] - rho[i]) * old[0]
        for j in range(order if order > 1 else 0):
            others = [nodes[(j + 1 + n) % order] for n in range(order - 1)]
            f = one if order == 2 else two
            weight = f(rho[i + 1], nodes[j], *others) - f(rho[i], nodes[j], *others)
            y = y + weight * old[j]
        x = s.alpha * y
        expected.append(x)
    close(run(f"deis(variable=log-snr, solver_order={k}, end={end})", levels), expected)


def test_deis_in_time_is_the_integral_of_the_papers_polynomial() -> None:
    """Rectified flow: C_j = int L_j(tau)/(1 - tau)^2 dtau by hand, of degree 1 and 2."""
    levels = grid("rectified-flow")
    times = [v.sigma for v in levels]

    def integral(coefficients, a, b):
        """Of a polynomial in w = 1 - tau, divided by w^2, over tau from a to b."""
        f = (lambda w: 1 / w, lambda w: -math.log(w), lambda w: -w)
        return sum(c * (g(1 - b) - g(1 - a)) for c, g in zip(coefficients, f, strict=False))

    x, old, expected = begin(levels[0]), [], [begin(levels[0])]
    for i, order in enumerate(orders(3, 7, "full")):
        t, s = levels[i], levels[i + 1]
        old = [model("eps", x, t), *old][:order]
        nodes = [1 - times[i - j] for j in range(order)]
        y = x / t.alpha
        for j, m in enumerate(old):
            roots = [n for n in nodes if n != nodes[j]]
            basis = np.atleast_1d(np.poly(roots))[::-1] / np.prod([nodes[j] - n for n in roots])
            y = y + integral(basis, t.sigma, s.sigma) * m
        x = s.alpha * y
        expected.append(x)
    close(run("deis", levels), expected)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_time_and_log_snr_are_one_where_log_sigma_is_linear(k: int) -> None:
    levels = grid("ve")
    in_time = run(f"deis(solver_order={k})", levels)
    close(in_time, run(f"deis(solver_order={k}, variable=log-snr)", levels))


def test_deis_in_time_asks_for_a_process() -> None:
    bare = [NoiseLevel(t=math.nan, alpha=1.0, sigma=s) for s in (3.0, 1.0, 0.4)]
    with pytest.raises(OptionError, match="variable='log-snr'"):
        run("deis", bare)
    assert np.isfinite(run("deis(variable=log-snr)", bare)).all()


# Equal solvers


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("dpm-solver(solver_order=1)", "ddim"),
        ("dpmpp-1", "ddim"),
        ("deis(solver_order=1)", "ddim"),
        ("unipc(solver_order=1, corrector=False)", "ddim"),
        ("unipc(solver_order=1, corrector=False, prediction=eps)", "ddim"),
        ("unipc(corrector=False)", "dpmpp-2m"),
        ("unipc(corrector=False, prediction=eps)", "dpmpp-2m(prediction=eps)"),
        ("unipc(corrector=False, variant=vary)", "dpmpp-2m(form=heun)"),
        ("deis(variable=log-snr)", "dpmpp-3m(prediction=eps)"),
        ("deis(variable=log-snr, solver_order=2)", "dpmpp-2m(form=heun, prediction=eps)"),
        ("unipc(solver_order=3, corrector=False)", "dpmpp-3m(form=midpoint)"),
        ("unipc(solver_order=3, corrector=False, variant=vary)", "dpmpp-3m"),
        ("dpmpp-1(stages=grid)", "ddim"),
    ],
)
@pytest.mark.parametrize("final", ["min", "clean"])
def test_solvers_that_are_one(one: str, other: str, final: str) -> None:
    levels = grid(final=final)
    close(run(one, levels), run(other, levels))


# Orders of options that the court does not try


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["dpmpp-3s(end=lower)", "dpmpp-3s(form=heun)", "dpmpp-3m(start=single-step)",
     "dpmpp-3m(end=lower)", "dpmpp-3m(end=euler)", "deis(solver_order=4)",
     "unipc(solver_order=3, start=single-step)", "unipc(variant=bh1)", "unipc(corrector_start=2)",
     "unipc(end=lower, correct_last=True)", "exp-rk4(table=hochbruck-ostermann)"],
)  # fmt: skip
def test_measured_order_of_options(name: str) -> None:
    steps = (80, 160, 320, 640)
    checks = order_checks(name, named(name), where=settings()[:1], steps=steps)
    assert checks
    assert all(check.passed for check in checks), checks
