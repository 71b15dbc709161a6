"""Single-step exponential solvers against their papers and other tools' forms, to 1e-12."""

import itertools
import math

import numpy as np
import pytest
import torch
from exponential_forms import begin, between, close, factors, grid, lam, model, run
from sampling_tools import Recorded, denoiser

from scoresde.errors import OptionError
from scoresde.processes import CLEAN, PROCESSES
from scoresde.samplers import sample
from scoresde.samplers.exponential import MEMBERS
from scoresde.verify import named

SOLVERS = [name for name in MEMBERS if name != "ddim"]


# Single steps


@pytest.mark.parametrize("form", ["midpoint", "heun"])
@pytest.mark.parametrize(
    ("name", "k", "kind"),
    [("dpm-solver", 2, "eps"), ("dpm-solver", 3, "eps"), ("dpmpp-2s", 2, "x0"),
     ("dpmpp-3s", 3, "x0")],
)  # fmt: skip
def test_single_steps_are_the_papers_algorithms(name: str, k: int, kind: str, form: str) -> None:
    """DPM-Solver, algorithms 1 and 2; DPM-Solver++, algorithm 1; `heun`: Taylor's weights."""
    levels = grid("vp-cosine")
    x = begin(levels[0])
    expected = [x]
    for t, s in itertools.pairwise(levels):
        linear, flat, ramp, bend = factors(kind, t, s)
        m = model(kind, x, t)
        r1, r2 = (0.5, None) if k == 2 else (1 / 3, 2 / 3)
        one = between(t, s, r1)
        linear_1, flat_1, _, _ = factors(kind, t, one)
        m1 = model(kind, linear_1 * x - flat_1 * m, one)
        y = linear * x - flat * m
        if k == 2:
            y = y + (-flat / (2 * r1) if form == "midpoint" else ramp / r1) * (m1 - m)
        else:
            two = between(t, s, r2)
            linear_2, flat_2, ramp_2, _ = factors(kind, t, two)
            u2 = linear_2 * x - flat_2 * m + ramp_2 * (r2 / r1) * (m1 - m)
            d1_0, d1_1 = (m1 - m) / r1, (model(kind, u2, two) - m) / r2
            if form == "midpoint":
                y = y + ramp * d1_1
            else:
                d1 = (r2 * d1_0 - r1 * d1_1) / (r2 - r1)
                y = y + ramp * d1 - bend * 2 * (d1_1 - d1_0) / (r2 - r1)
        x = y
        expected.append(x)
    close(run(f"{name}({f'solver_order={k}, ' * (kind == 'eps')}form={form})", levels), expected)


def test_2s_in_the_sigma_form() -> None:
    """t = -log sigma, a last step of Euler's to 0; 2S's ancestral sampler without its noise."""
    levels = grid("edm", "clean")
    x = begin(levels[0])
    expected = [x]
    for sigma, sigma_next in itertools.pairwise(level.sigma for level in levels):
        d = denoiser(x, 1.0, sigma)
        if sigma_next == 0:
            x = x + (x - d) / sigma * (0 - sigma)
        else:
            h = math.log(sigma) - math.log(sigma_next)
            mid = math.exp(-(-math.log(sigma) + 0.5 * h))
            x_2 = mid / sigma * x - math.expm1(-h * 0.5) * d
            x = sigma_next / sigma * x - math.expm1(-h) * denoiser(x_2, 1.0, mid)
        expected.append(x)
    close(run("dpmpp-2s", levels), expected)


def test_dpm_solver_fast_is_an_end_of_lower_order() -> None:
    """nfe = 9: nfe/3 + 1 = 4 intervals, of orders 3, 3, 2, 1."""
    levels = grid("edm", steps=4)
    fast = run("dpm-solver(end=lower)", levels)
    close(fast[:3], run("dpm-solver", levels)[:3])
    for i, k in ((2, 2), (3, 1)):
        assert named(f"dpm-solver(solver_order={k})").plan(levels[i : i + 2]).nfe == k
    recorded = Recorded()
    run("dpm-solver(end=lower)", levels, recorded)
    assert len(recorded.levels) == 9


def test_an_end_of_eulers_lowers_the_last_step_alone() -> None:
    levels = grid(steps=4)
    got, full = run("dpm-solver(end=euler)", levels), run("dpm-solver", levels)
    close(got[:4], full[:4], 0.0)
    t, s = levels[3:]
    linear, flat, _, _ = factors("eps", t, s)
    close(got[4], linear * got[3] - flat * model("eps", got[3], t))


@pytest.mark.parametrize(
    ("k", "steps", "end", "final", "orders"),
    [(3, 9, "full", "min", [3, 3, 3]), (3, 9, "lower", "min", [3, 3, 2, 1]),
     (3, 8, "lower", "min", [3, 3, 2]), (3, 7, "lower", "min", [3, 3, 1]),
     (3, 8, "euler", "min", [3, 3, 1, 1]), (3, 7, "euler", "min", [3, 3, 1]),
     (2, 6, "lower", "min", [2, 2, 1, 1]), (2, 6, "full", "clean", [2, 2, 1, 1]),
     (3, 6, "full", "clean", [3, 2, 1])],
)  # fmt: skip
@pytest.mark.parametrize("form", ["midpoint", "heun"])
def test_stages_on_the_grid_are_steps_over_several_intervals(
    k: int, steps: int, end: str, final: str, orders: list[int], form: str
) -> None:
    """Orders 1, 2, 3 from one beginning, one evaluation an interval, as other tools step."""
    levels = grid(steps=steps, final=final)
    x, at, expected = begin(levels[0]), 0, [begin(levels[0])]
    for length in orders:
        b, outputs, y = levels[at], [], x
        for j in range(length):
            outputs.append(model("x0", y, levels[at + j]))
            s = levels[at + j + 1]
            if s.sigma == 0.0:
                y = outputs[-1]
            else:
                linear, flat, ramp, bend = factors("x0", b, s)
                h = lam(s) - lam(b)
                y = linear * x - flat * outputs[0]
                if j == 1:
                    d = (outputs[1] - outputs[0]) / ((lam(levels[at + 1]) - lam(b)) / h)
                    y = y + (-0.5 * flat if form == "midpoint" else ramp) * d
                if j == 2:
                    r1, r0 = ((lam(levels[at + i]) - lam(b)) / h for i in (1, 2))
                    d1_0 = (outputs[1] - outputs[0]) / r1
                    d1_1 = (outputs[2] - outputs[0]) / r0
                    if form == "midpoint":
                        y = y + ramp * d1_1
                    else:
                        y = y + ramp * (r0 * d1_0 - r1 * d1_1) / (r0 - r1)
                        y = y - bend * 2 * (d1_1 - d1_0) / (r0 - r1)
            expected.append(y)
        x, at = y, at + length
    name = f"dpmpp-{k}s(stages=grid, end={end}, form={form})"
    recorded = Recorded()
    close(run(name, levels, recorded), expected)
    assert len(recorded.levels) == steps


# Ends and slips


@pytest.mark.parametrize("name", SOLVERS)
def test_a_step_of_infinite_length_is_ddims(name: str) -> None:
    """From alpha = 0, or to sigma = 0, at one evaluation; eps-forms name the way out."""
    process = PROCESSES["rectified-flow"]()
    last = (*process.levels([0.7]), CLEAN)
    recorded = Recorded()
    close(run(name, last, recorded), run("ddim", last))
    assert len(recorded.levels) == 1
    first = process.levels([1.0, 0.7])
    if name in ("dpm-solver", "deis"):
        with pytest.raises(OptionError, match="log_snr_min"):
            run(name, first)
        return
    close(run(name, first), run("ddim", first))
    levels = (*process.levels([1.0, 0.9, 0.6, 0.3, 0.1]), CLEAN)
    whole = run(name, levels)
    assert np.isfinite(whole).all()
    rest = sample(Recorded(), named(name), levels[1:], torch.from_numpy(whole[1])).x.numpy()
    close(whole[-1], rest)  # what lies infinitely far back counts for nothing


@pytest.mark.parametrize(
    "name",
    ["dpm-solver(solver_order=4)", "dpm-solver(solver_order=0)", "dpmpp-2s(form=ralston)",
     "dpmpp-3s(stages=inside)", "dpmpp-2s(end=heun)", "dpmpp-2m(form=taylor)",
     "dpmpp-2m(prediction=v)", "dpmpp-2m(start=cold)", "dpmpp-3m(second_derivative=half)",
     "dpmpp-3m(form=taylor)", "dpmpp-3m(prediction=score)", "deis(solver_order=5)",
     "deis(solver_order=2.5)", "deis(variable=rho)", "exp-rk4(table=rk4)",
     "exp-rk4(prediction=v)", "unipc(solver_order=4)", "unipc(variant=bh3)",
     "unipc(prediction=v)", "unipc(corrector_start=0)", "unipc(corrector_start=1.5)",
     "unipc(corrector_start=nan)", "unipc(solver_order=True)", "unipc(corrector=maybe)"],
)  # fmt: skip
def test_a_wrong_option_is_named_with_its_choices(name: str) -> None:
    with pytest.raises(OptionError, match=name.split("(")[1].split("=")[0]):
        named(name)


@pytest.mark.parametrize("name", SOLVERS)
def test_steps_of_any_length_have_finite_states(name: str) -> None:
    """One step over the whole range, steps of 1e-9, and steps that grow a thousandfold."""
    process = PROCESSES["vp-linear"]()
    for ends in ([-9.0, 20.0], [0.0, 1e-9, 2e-9, 3e-9], [-9.0, -8.999, -8.0, 12.0, 12.001, 12.5]):
        levels = tuple(process.at_log_snr(v) for v in ends)
        states = run(name, levels)
        assert np.isfinite(states).all()
        if ends[-1] < 1.0:
            close(states[-1], states[0], 1e-8)
