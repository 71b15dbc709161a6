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
from scoresde.verify.court import laws_of, variants_of
from scoresde.verify.evaluations import evaluation_checks
from scoresde.verify.flow import flow_checks, gaussian_flow_checks
from scoresde.verify.gaussian_law import limit_checks, reference_checks, weak_order_checks
from scoresde.verify.order import order_checks
from scoresde.verify.settings import settings

MEMBERS = [name for member in SAMPLERS.members for name in (member, *variants_of(member))]


def members_under(law: str) -> list[str]:
    return [name for name in MEMBERS if law in laws_of(named(name))]


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


@pytest.mark.parametrize("name", members_under("order"))
def test_measured_order_is_the_declared_one(name):
    sampler = named(name)
    checks = order_checks(name, sampler, steps=(40, 80, 160))
    assert all_pass(checks)
    assert len(checks) == 3
    expected = {"ddim": 1, "heun": 2, "dpmpp-2m": 2, "euler-maruyama(eta=0)": 1}
    assert sampler.order_cold == expected.get(name, sampler.order_cold)


@pytest.mark.parametrize("name", members_under("weak order"))
def test_measured_weak_order_is_the_declared_one(name):
    assert all_pass(weak_order_checks(name, named(name), steps=(80, 160, 320)))


@pytest.mark.parametrize("name", [n for n in MEMBERS if n != "probability-flow"])
def test_moments_are_those_of_the_paper(name):
    checks = reference_checks(name, named(name))
    assert all_pass(checks)
    assert len(checks) == (1 if name == "ancestral(variance=forward)" else 3)


@pytest.mark.parametrize("name", members_under("limit law"))
def test_a_sampler_without_an_order_has_the_right_limit(name):
    assert all_pass(limit_checks(name, named(name), where=settings()[:1]))


@pytest.mark.parametrize("name", MEMBERS)
def test_evaluations_are_as_reported_and_declared(name):
    assert all_pass(evaluation_checks(name, named(name)))


@pytest.mark.parametrize("name", MEMBERS)
def test_a_sample_does_not_depend_on_its_batch(name):
    assert all_pass(batch_checks(name, named(name)))


def test_adaptive_flow_reaches_dop853_from_pure_noise():
    sampler = named("probability-flow")
    checks = flow_checks("probability-flow", sampler)
    assert all_pass(checks)
    assert sum("alpha = 0" in check.process for check in checks) == 2
    assert all_pass(gaussian_flow_checks("probability-flow", sampler))


@pytest.mark.parametrize("name", KERNELS.members)
def test_langevin_kernels_have_the_stationary_variance_they_should(name):
    assert all_pass(chain_checks(name, kernel_named(name)))


@pytest.mark.slow
def test_the_whole_court_acquits_every_member_within_its_time():
    began = time.process_time()
    verdict = verify()
    assert verdict.passed, verdict.failures
    assert time.process_time() - began < 45.0
    assert {check.sampler for check in verdict.checks} >= {*MEMBERS, *KERNELS.members}
