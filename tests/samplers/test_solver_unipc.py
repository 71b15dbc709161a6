"""UniPC as printed, what its options change, and the solvers that it equals."""

import math

import numpy as np
import pytest
from exponential_forms import begin, close, grid, lam, model, orders, run
from sampling_tools import Recorded, denoiser

from scoresde.verify import named


@pytest.mark.parametrize("kind", ["x0", "eps"])
@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize(("p", "end"), [(1, "lower"), (2, "lower"), (3, "lower"), (3, "euler")])
def test_unipc_solves_the_papers_equations(p: int, end: str, variant: str, kind: str) -> None:
    """R(h) rho = b, B(h); one weight, of UniP-2 and UniC-1, is 1/2; the order falls at the end."""
    levels = grid(steps=8)
    steps, lams = 8, [lam(v) for v in levels]

    def update(x, i, order, known):
        """From levels[i] to the next; `known`: (index, output) beside the newest, outputs[i]."""
        t, s, h = levels[i], levels[i + 1], lams[i + 1] - lams[i]
        hh = -h if kind == "x0" else h
        b_h = hh if variant == "bh1" else math.expm1(hh)
        rks = [(lams[j] - lams[i]) / h for j, _ in known]
        if kind == "x0":
            base, scale = s.sigma / t.sigma * x - s.alpha * math.expm1(hh) * outputs[i], s.alpha
        else:
            base, scale = s.alpha / t.alpha * x - s.sigma * math.expm1(hh) * outputs[i], s.sigma
        if not known:
            return base
        b, h_phi_k, factorial = [], math.expm1(hh) / hh - 1, 1
        for n in range(1, len(known) + 1):
            b.append(h_phi_k * factorial / b_h)
            factorial *= n + 1
            h_phi_k = h_phi_k / hh - 1 / factorial
        rows = [[r**n for r in rks] for n in range(len(known))]
        rho = [0.5] if len(known) == 1 else np.linalg.solve(rows, b)
        pulls = [w * (m - outputs[i]) / r for w, (_, m), r in zip(rho, known, rks, strict=True)]
        return base - scale * b_h * sum(pulls)

    x, outputs, before, expected = begin(levels[0]), {}, None, [begin(levels[0])]
    for i, order in enumerate(orders(p, steps, end)):
        m = model(kind, x, levels[i])
        if before is not None:
            then, used = before
            known = [(j, outputs[j]) for j in range(i - 2, i - 1 - used, -1)]
            x = update(then, i - 1, used, [*known, (i, m)])
        outputs[i], before = m, (x, order)
        x = update(x, i, order, [(j, outputs[j]) for j in range(i - 1, i - order, -1)])
        expected.append(x)
    name = f"unipc(solver_order={p}, variant={variant}, prediction={kind}, end={end})"
    close(run(name, levels), expected, 1e-11)


def test_the_corrector_costs_nothing_but_for_the_last_state() -> None:
    levels, counts = grid(), []
    options = ("", "corrector=False", "correct_last=True", "corrector_start=100")
    runs = []
    for option in options:
        recorded = Recorded()
        runs.append(run(f"unipc({option})", levels, recorded))
        counts.append(len(recorded.levels))
    assert counts == [7, 7, 8, 7]
    close(runs[2][:-1], runs[0][:-1], 0.0)
    assert np.abs(runs[2][-1] - runs[0][-1]).max() > 1e-6
    close(runs[3], runs[1], 0.0)
    late = run("unipc(corrector_start=3)", levels)
    close(late[:4], runs[1][:4], 0.0)  # the state at level 3 is the first to be corrected
    assert np.abs(late[4] - runs[1][4]).max() > 1e-6


def test_a_clean_end_takes_the_prediction_before_the_correction() -> None:
    """m at the predicted state is what the grid's last evaluation gives."""
    levels = grid(final="clean")
    predicted = run("unipc", levels)[-2]
    close(run("unipc", levels)[-1], denoiser(predicted, levels[-2].alpha, levels[-2].sigma))


def test_variants_of_b_differ_only_where_one_weight_is_left() -> None:
    levels = grid(steps=6)
    bh1, bh2 = (run(f"unipc(solver_order=3, variant={v})", levels) for v in ("bh1", "bh2"))
    assert np.abs(bh1[2] - bh2[2]).max() > 1e-4
    plans = [named(f"unipc(solver_order=3, variant={v})").plan(levels) for v in ("bh1", "bh2")]
    for one, other in zip(*(plan.programs[3:] for plan in plans), strict=True):
        assert one.instructions == other.instructions
