"""The verdict's own arithmetic, its table, its names."""

from __future__ import annotations

import io
import json
import math

import pytest
from planted_samplers import Broken
from rich.console import Console

from scoresde import families
from scoresde.errors import OptionError, UnknownNameError
from scoresde.langevin import MALA
from scoresde.samplers import DDIM, EulerMaruyama
from scoresde.verify import Verdict, default_names, named, verify
from scoresde.verify.court import laws_of
from scoresde.verify.order import errors_by_steps, slope
from scoresde.verify.table import table
from scoresde.verify.verdict import judge


@pytest.mark.parametrize(
    ("measured", "declared", "passes"),
    [(1.1, 1, True), (1.2, 1, False), (0.8, 1, False), (math.nan, 1, False), (1.0, None, False)],
)
def test_a_check_passes_within_its_bound_alone(measured, declared, passes):
    assert judge("s", "order", "p", measured, declared, 0.15).passed is passes


def test_a_verdict_passes_if_every_check_does_and_there_is_one():
    good = judge("s", "order", "p", 1.0, 1, 0.15)
    bad = judge("s", "order", "p", 2.0, 1, 0.15)
    assert Verdict((good,)).passed
    assert not Verdict((good, bad)).passed
    assert Verdict((good, bad)).failures == (bad,)
    assert not Verdict(()).passed


def test_a_verdict_is_json_even_where_nothing_could_be_measured():
    verdict = verify(samplers={"broken": Broken()})
    assert not verdict.passed
    assert len(verdict.checks) == len(laws_of(Broken()))
    data = json.loads(json.dumps(verdict.to_dict(), allow_nan=False))
    assert data["passed"] is False
    assert data["checks"][0]["measured"] is None
    assert all("no such luck" in check["detail"] for check in data["checks"])


def test_the_table_names_what_failed():
    checks = (judge("good", "order", "ve", 1.02, 1, 0.15), judge("bad", "nfe", "vp", 3, 0, 0))
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(table(Verdict(checks)))
    lines = console.export_text().splitlines()
    assert any("good" in line and "1.02" in line and "pass" in line for line in lines)
    assert any("bad" in line and "nfe" in line and "FAIL" in line for line in lines)
    assert any("1 of 2 failed" in line for line in lines)


def test_slope_takes_the_last_two_halvings_above_rounding():
    def second_order(n):
        return 1.0 / n + 50.0 / n**2 if n < 80 else n**-2.0

    errors = [second_order(n) for n in (20, 40, 80, 160, 320)]
    assert slope(errors) == pytest.approx(2.0, abs=1e-12)
    assert slope([1e-8, 1e-10, 1e-12 / 2, 3e-13]) != slope([1e-8, 1e-10, 1e-11])
    assert math.isnan(slope([1e-10, 1e-13]))
    assert slope([*errors, 3e-16, 2e-16]) == slope(errors)


def test_step_counts_end_before_rounding_does_the_measuring():
    asked = []

    def fourth_order(n):
        asked.append(n)
        return (10.0 / n) ** 8 * 1e-4

    errors_by_steps(fourth_order, (10, 20, 40, 80, 160, 320, 640))
    assert asked == [10, 20, 40, 80]


def test_names_carry_options():
    assert named("ddim(eta=1)") == DDIM(eta=1)
    assert named("euler-maruyama( eta = 0.5 )") == EulerMaruyama(eta=0.5)
    assert named("ancestral(variance=forward)").variance == "forward"
    assert named("mala(step_size=0.2)") == MALA(step_size=0.2)


@pytest.mark.parametrize("name", ["ddim(eta)", "ddim(steps=3)", "ddim(eta=7)", "ddim)"])
def test_a_slip_in_the_options_is_an_option_error(name):
    with pytest.raises(OptionError):
        named(name)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'mala'"):
        verify(["mal"])


class _Point:
    def __init__(self, name, target):
        self.name, self.target, self.value = name, target, f"package:{name}"

    def load(self):
        if isinstance(self.target, Exception):
            raise self.target
        return self.target


def test_plug_ins_are_judged_with_the_rest(monkeypatch):
    def points(group):
        broken = _Point("not-there", ImportError("no module named elsewhere"))
        return [_Point("foreign", Broken), broken] if group == "scoresde.samplers" else []

    monkeypatch.setattr(families, "entry_points", points)
    assert {"foreign", "not-there", "heun(churn=20)", "ula"} <= set(default_names())
    monkeypatch.setattr("scoresde.verify.court.default_names", lambda: ["foreign", "not-there"])
    verdict = verify()
    assert {check.sampler for check in verdict.failures} == {"foreign", "not-there"}
    assert any("elsewhere" in check.detail for check in verdict.failures)


def test_what_is_no_sampler_fails():
    assert not verify(samplers={"class": DDIM}).passed


def test_progress_is_told_of_every_law():
    calls = []
    verify(samplers={"broken": Broken()}, progress=lambda *call: calls.append(call))
    total = len(laws_of(Broken()))
    assert [done for done, _, _ in calls] == list(range(total + 1))
    assert {count for _, count, _ in calls} == {total}
    assert calls[0][2].startswith("broken: ")
