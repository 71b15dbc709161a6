"""What is wrong is found, and by the law that should find it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import planted_samplers as planted
import pytest

from scoresde.errors import OptionError
from scoresde.kernels import lincomb
from scoresde.langevin import MALA, ULA, LangevinKernel
from scoresde.processes import VarianceExploding
from scoresde.samplers import DDIM, Ancestral, EulerMaruyama, Sampler
from scoresde.verify import verify
from scoresde.verify.batches import batch_checks
from scoresde.verify.chains import chain_checks
from scoresde.verify.court import laws_of
from scoresde.verify.evaluations import evaluation_checks
from scoresde.verify.flow import flow_checks
from scoresde.verify.gaussian import moments, targets
from scoresde.verify.gaussian_law import limit_checks, reference_checks, weak_order_checks
from scoresde.verify.order import order_checks
from scoresde.verify.references import exponential, stochastic
from scoresde.verify.settings import settings

SHORT = (40, 80, 160)


def failed_laws(checks) -> set[str]:
    return {check.law for check in checks if not check.passed}


@pytest.mark.parametrize("sampler", [planted.SwappedDDIM(), planted.Swapped2M()])
def test_a_swapped_sigma_costs_the_order_under_every_process(sampler):
    checks = order_checks("swapped", sampler, steps=SHORT)
    assert [check.passed for check in checks] == [False] * 3


@pytest.mark.parametrize(
    ("sampler", "reference"),
    [
        (planted.SwappedDDIM(), exponential.ddim),
        (planted.Swapped2M(), exponential.multistep),
        (planted.HalvedDiffusion(), stochastic.euler_maruyama),
        (planted.Inflated(), stochastic.ddpm),
    ],
)
def test_a_wrong_coefficient_differs_from_the_paper(sampler, reference):
    checks = reference_checks("wrong", sampler, reference)
    assert [check.passed for check in checks] == [False] * 3


def test_half_the_diffusion_has_neither_the_weak_order_nor_the_limit():
    sampler = planted.HalvedDiffusion()
    assert not any(check.passed for check in weak_order_checks("half", sampler, steps=SHORT))
    assert not any(check.passed for check in limit_checks("half", sampler))


def test_three_per_cent_of_noise_too_much_are_found_in_the_limit():
    assert not any(check.passed for check in limit_checks("inflated", planted.Inflated()))


def test_a_false_order_fails():
    liar = order_checks("liar", planted.SecondOrderDDIM(), where=settings()[:1], steps=SHORT)
    assert [(check.declared, check.passed) for check in liar] == [(2, False)]
    weak = planted.SecondOrderAncestral()
    checks = weak_order_checks("liar", weak, where=settings()[:1], steps=SHORT)
    assert [(check.declared, check.passed) for check in checks] == [(2, False)]


def test_an_order_claimed_for_an_accurate_start_alone_is_measured_there():
    checks = order_checks("liar", planted.AccurateStartLiar(), where=settings()[:1], steps=SHORT)
    assert [(c.law, c.passed) for c in checks] == [
        ("order, own start", True),
        ("order, accurate start", False),
    ]


def test_a_multistep_method_has_its_order_from_an_accurate_start():
    sampler = planted.ExponentialAdams3()
    checks = order_checks("adams", sampler, where=settings()[1:2], steps=(40, 80, 160, 320))
    assert [check.declared for check in checks] == [2, 3]
    assert not failed_laws(checks), checks


def test_a_deterministic_sampler_must_declare_an_order():
    checks = order_checks("mute", planted.Undeclared(), where=settings()[:1], steps=SHORT)
    assert failed_laws(checks) == {"order, own start"}
    assert "declares no order" in checks[0].detail


def test_calling_itself_stochastic_saves_no_deterministic_sampler():
    assert failed_laws(batch_checks("disguised", planted.Disguised())) == {"stochastic"}
    assert "invariant law" in laws_of(planted.Disguised())
    assert failed_laws(limit_checks("disguised", planted.Disguised())) == {"limit law"}


@pytest.mark.parametrize(
    ("sampler", "laws"),
    [
        (planted.Coupled(), {"batch states"}),
        (planted.OwnNoise(), {"batch states", "stochastic"}),
        (planted.BatchKeyed(), {"batch states", "batch noise"}),
    ],
)
def test_samples_that_depend_on_their_batch_are_found(sampler, laws):
    assert failed_laws(batch_checks("coupled", sampler)) == laws


def test_a_sampler_that_clips_has_no_moments_by_impulses():
    levels, law = settings()[0].levels(4), targets()
    with pytest.raises(OptionError, match="not affine"):
        moments(planted.Clipped(), levels, law, law.diffused(levels[0]))


@pytest.mark.parametrize(
    ("sampler", "laws"),
    [
        (planted.Miscounted(), {"nfe"}),
        (planted.Thrifty(), {"evaluations"}),
        (planted.Beyond(), {"domain"}),
    ],
)
def test_wrong_counts_and_strayed_evaluations_are_found(sampler, laws):
    assert failed_laws(evaluation_checks("wrong", sampler)) == laws


class CoarseFlow(Sampler):
    """Thirty DDIM steps under the name of an adaptive solver."""

    evaluations = None

    def run(self, model, levels, x, noise, ids, trajectory=False):
        ends = (levels[0].log_snr, levels[-1].log_snr)
        if not math.isfinite(ends[0]):
            raise OptionError("no start at alpha = 0")
        process = VarianceExploding(sigma_min=1e-4, sigma_max=1e4)
        inner = [process.at_log_snr(float(v)) for v in np.linspace(*ends, 31)]
        result = DDIM().run(model, inner, x / levels[0].alpha, noise, ids)
        return type(result)(result.x * levels[-1].alpha, result.nfe)


def test_a_solver_that_chooses_its_steps_must_reach_the_flow():
    assert {"flow", "gaussian law"} <= laws_of(CoarseFlow()).keys()
    assert "order" not in laws_of(CoarseFlow())
    checks = [check for check in flow_checks("coarse", CoarseFlow()) if check.law == "flow"]
    assert [check.passed for check in checks] == [False] * 3  # it may decline alpha = 0


def test_moments_count_a_normal_that_is_used_twice_as_one():
    class Twice(Ancestral):
        def run(self, model, levels, x, noise, ids, trajectory=False):
            def again(step, purpose, ids, shape):
                return noise(0, purpose, ids, shape)

            return super().run(model, levels, x, again, ids, trajectory)

    levels, law = settings()[0].levels(40), targets()
    first = law.diffused(levels[0])
    fresh = moments(Ancestral(), levels, law, first)
    reused = moments(Twice(), levels, law, first)
    np.testing.assert_allclose(reused.mean, fresh.mean, rtol=1e-12)
    assert (reused.variance > 2.0 * fresh.variance).all()


def test_moments_of_one_step_are_those_on_paper():
    (t, s), law = settings()[1].levels(1), targets()  # VE, f = 0
    first = law.diffused(t)
    got = moments(EulerMaruyama(), (t, s), law, first)
    g2h = 2.0 * t.sigma**2 * math.log(50.0 / 0.01) * (t.t - s.t)
    factor = 1.0 - g2h / (law.variance + t.sigma**2)
    np.testing.assert_allclose(got.variance, factor**2 * first.variance + g2h, rtol=1e-12)
    np.testing.assert_allclose(got.mean, law.mean, rtol=1e-12)


@dataclass(frozen=True, kw_only=True)
class HalfNoise(LangevinKernel):
    """ULA in the step of the papers' convention with the noise of ours."""

    step_size: float

    def start(self, target, x):
        return ULA(step_size=self.step_size).start(target, x)

    def __call__(self, target, state):
        ahead, info = ULA(step_size=self.step_size).__call__(target, state)
        x = lincomb((1.0, -0.5 * self.step_size), (ahead.x, state.score))
        score = target.model.predict(x, target.level, "score")
        return type(state)(x, ahead.step, score), info


def test_a_kernel_with_the_wrong_stationary_law_is_found():
    assert failed_laws(chain_checks("half", HalfNoise(step_size=0.3))) == {"stationary variance"}


def test_the_known_bias_is_what_is_matched():
    class UlaAsMala(MALA):
        def start(self, target, x):
            return ULA(step_size=self.step_size).start(target, x)

        def __call__(self, target, state):
            return ULA(step_size=self.step_size)(target, state)

    checks = chain_checks("unadjusted", UlaAsMala(step_size=0.3))
    assert [check.passed for check in checks[:2]] == [False, False]


def test_verify_hands_down_the_verdict():
    assert verify(["mala"]).passed
    verdict = verify(samplers={"theirs": HalfNoise(step_size=0.3)})
    assert not verdict.passed
    assert {check.sampler for check in verdict.failures} == {"theirs"}


def test_a_foreign_sampler_is_brought_before_every_law():
    laws = laws_of(planted.Miscounted())
    always = {"batches", "nfe", "precision", "mixture law", "limit law"}
    assert laws.keys() == {*always, "order"}
    assert laws_of(planted.Inflated()).keys() == {*always, "weak order", "strong order"}
