"""Every member keeps what it declares."""

from __future__ import annotations

import time

import pytest

from scoresde.langevin import KERNELS
from scoresde.processes import RectifiedFlow, VarianceExploding, VPLinear
from scoresde.samplers import SAMPLERS
from scoresde.verify import named, verify
from scoresde.verify.batches import batch_checks
from scoresde.verify.chains import chain_checks, kernel_named
from scoresde.verify.court import cases_of, default_names, laws_of, variants_of
from scoresde.verify.equivalences import EQUALITIES, equivalence_checks, present
from scoresde.verify.evaluations import evaluation_checks
from scoresde.verify.gaussian_law import reference_checks, weak_order_checks
from scoresde.verify.order import order_checks
from scoresde.verify.precision import precision_checks
from scoresde.verify.references import REFERENCES
from scoresde.verify.settings import settings

MEMBERS = [name for member in SAMPLERS.members for name in (member, *variants_of(member))]
ONE_PLACE = settings()[:1]


def quick(law: str) -> list[str]:
    """Members under a law whose slope shows on coarse grids, without their variants."""
    found = {name: named(name) for name in SAMPLERS.members}
    return [
        name
        for name, sampler in found.items()
        if law in laws_of(sampler) and (sampler.order or 1) <= 2 and sampler.evaluations <= 2
    ]


def all_pass(checks) -> bool:
    failures = [check for check in checks if not check.passed]
    assert not failures, failures
    return len(checks) > 0


def test_the_court_sits_on_three_processes_and_a_positive_sigma():
    kinds = {type(setting.process): setting for setting in settings()}
    assert set(kinds) == {VPLinear, VarianceExploding, RectifiedFlow}
    assert kinds[RectifiedFlow].levels(4)[0].log_snr == pytest.approx(-7.0)
    for setting in settings():
        assert setting.levels(4)[-1].log_snr == pytest.approx(5.0)


@pytest.mark.parametrize("name", quick("order"))
def test_measured_order_is_the_declared_one(name):
    """One process and coarse grids, orders up to 2; the whole court is a slow law."""
    assert all_pass(order_checks(name, named(name), where=ONE_PLACE, steps=(40, 80, 160)))


@pytest.mark.parametrize("name", quick("weak order"))
def test_measured_weak_order_is_the_declared_one(name):
    assert all_pass(weak_order_checks(name, named(name), where=ONE_PLACE, steps=(80, 160, 320)))


@pytest.mark.parametrize("name", MEMBERS)
def test_every_member_has_coefficients_written_apart(name):
    """Adaptive ones aside, whose moments follow no recursion and whose flow is judged itself."""
    sampler = named(name)
    assert type(sampler) in REFERENCES or sampler.evaluations is None
    if "gaussian law" in laws_of(sampler) and sampler.evaluations is not None:
        assert all_pass(reference_checks(name, sampler))


@pytest.mark.parametrize("name", ["dpmpp-2m", "dpmpp-sde", "probability-flow"])
def test_a_sampler_keeps_to_its_batch_evaluations_and_precision(name):
    sampler = named(name)
    assert all_pass(evaluation_checks(name, sampler))
    assert all_pass(precision_checks(name, sampler))
    assert all_pass(batch_checks(name, sampler))


@pytest.mark.parametrize("name", MEMBERS)
def test_a_stochastic_sampler_has_a_weak_order_or_an_invariant_law(name):
    sampler, laws = named(name), laws_of(named(name))
    adaptive = sampler.evaluations is None and not sampler.stochastic
    assert adaptive or {"order", "weak order", "invariant law"} & laws.keys()


@pytest.mark.parametrize("name", sorted({pair[0].split("(")[0] for pair in EQUALITIES}))
def test_solvers_that_are_one_and_the_same(name):
    assert name in SAMPLERS.members
    assert all_pass(equivalence_checks(name, named))


def test_both_sides_of_every_equality_exist():
    for left, right, _ in EQUALITIES:
        assert present(left), left
        assert present(right), right
        assert named(left) != named(right)


@pytest.mark.parametrize("name", KERNELS.members)
def test_langevin_kernels_have_the_stationary_variance_they_should(name):
    assert all_pass(chain_checks(name, kernel_named(name)))


@pytest.mark.slow
def test_the_whole_court_acquits_every_member_within_its_time():
    """All laws, all processes, two workers: within 120 s on two idle cores."""
    began = time.perf_counter()
    verdict = verify(workers=2)
    elapsed = time.perf_counter() - began
    assert verdict.passed, verdict.failures
    assert {check.sampler for check in verdict.checks} == set(default_names())
    laws = sum(len(cases_of(name, named(name))) for name in default_names())
    assert len(verdict.checks) > laws
    assert elapsed < 240.0  # twice the bound: this machine may have other work
