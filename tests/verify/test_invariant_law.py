"""The law of samplers that claim no order: right ones pass it, a factor of 2 anywhere does not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from scoresde.errors import OptionError
from scoresde.kernels import Purpose
from scoresde.samplers import (
    Ancestral,
    GridSampler,
    PredictorCorrector,
    Restart,
)
from scoresde.verify.invariant_law import drawn_check, in_place_check, invariant_checks
from scoresde.verify.settings import settings

VP, VE, FLOW = settings()


@dataclass(frozen=True, kw_only=True)
class Planted(PredictorCorrector):
    """Langevin steps x + drift d score + sqrt(2 noise d) z: right for drift = noise = 1."""

    drift: float = 1.0
    noise: float = 1.0

    def correct(self, tape, x, t, share):
        small = 2.0 * share * (self.snr * t.sigma) ** 2

        def step(x, eps, z):
            d = small
            if self.corrector == "langevin":
                d = small / eps.square().mean(tuple(range(1, eps.ndim)), keepdim=True)
            return x - self.drift * d / t.sigma * eps + (2.0 * self.noise * d) ** 0.5 * z

        return tape.apply(step, x, tape.evaluate(x, t, "eps"), tape.normal(Purpose.CORRECT))


@pytest.mark.parametrize("corrector", ["annealed-langevin", "langevin"])
@pytest.mark.parametrize(
    ("drift", "noise", "right"), [(1, 1, True), (1, 0.5, False), (2, 1, False), (2, 2, False)]
)
def test_a_correctors_drift_and_noise_show_in_place(corrector, drift, noise, right):
    """Also where both are wrong alike, which leaves the law as it is but for the known bias."""
    sampler = Planted(corrector=corrector, drift=drift, noise=noise)
    check = in_place_check("planted", sampler, VE)
    assert check.passed is right, check
    assert abs(check.measured) < 3 or not right


@pytest.mark.parametrize("noise_norm", ["expected", "drawn"])
def test_correctors_of_the_family_hold_their_place(noise_norm):
    sampler = PredictorCorrector(corrector="langevin", noise_norm=noise_norm)
    assert in_place_check("langevin", sampler, VP).passed
    sampler = PredictorCorrector(noise_norm=noise_norm)
    assert in_place_check("annealed", sampler, FLOW).passed


class Loud(PredictorCorrector):
    """A predictor with twice the variance of noise."""

    def predict(self, tape, x, t, s):
        forward = t.sigma**2 - (t.alpha / s.alpha * s.sigma) ** 2
        return super().predict(tape, x, t, s) + math.sqrt(forward) * tape.normal()


def test_a_predictor_beside_a_corrector_that_is_not_affine_is_drawn():
    good, loud = PredictorCorrector(corrector="langevin"), Loud(corrector="langevin")
    assert drawn_check("good", good, VE).passed
    assert not drawn_check("loud", loud, VE).passed


@dataclass(frozen=True, kw_only=True)
class Drawn(GridSampler):
    """The ancestral step written as a function, its normals shared by neighbours if told so."""

    shared: bool = False
    stochastic = True

    def step(self, tape, x, t, s, memory):
        mean, _ = Ancestral().step(tape, x, t, s, None)
        (z,) = (register for register in mean.parts if register in tape._pending)
        size, mean = mean.parts.pop(z), tape.keep(mean)

        def noisy(mean, z):
            if self.shared:
                z = (z + z.roll(1, dims=-1)) / math.sqrt(2.0)
            return mean + size * z

        return tape.apply(noisy, mean, tape.normal()), None


def test_a_foreign_sampler_with_functions_is_drawn():
    (check,) = invariant_checks("foreign", Drawn(), where=[VP])
    assert check.law == "limit law, drawn"
    assert check.passed, check


def test_noise_that_two_coordinates_share_is_found_in_their_covariance():
    (check,) = invariant_checks("shared", Drawn(shared=True), where=[VP])
    assert not check.passed


class Higher(Restart):
    """Twice the variance put in on the way up."""

    def step(self, tape, x, t, s, memory):
        out, memory = super().step(tape, x, t, s, memory)
        if s.noise_ratio > t.noise_ratio:
            spread = s.alpha * math.sqrt(s.noise_ratio**2 - t.noise_ratio**2)
            out = out + spread * tape.normal(Purpose.RESTART)
        return out, memory


def test_affine_samplers_are_held_to_exact_moments():
    for sampler in (PredictorCorrector(), Restart()):
        checks = invariant_checks("right", sampler, where=[VE])
        assert checks[0].law == "limit law"
        assert all(check.passed for check in checks), checks
    (check,) = invariant_checks("higher", Higher(), where=[VE])
    assert not check.passed


def test_the_inner_grid_of_a_restart_grows_fine_in_the_limit():
    """Three points of Euler alone miss the variance by 0.05 and more."""
    coarse = Restart(solver="ddim", intervals=((3, 2, 0.14, 0.5),))
    (check,) = invariant_checks("coarse", coarse, where=[VP])
    assert check.passed, check


def test_what_is_no_matter_of_shape_is_raised():
    class Declines(Ancestral):
        def run(self, *args, **options):
            raise OptionError("no such grid")

    with pytest.raises(OptionError, match="no such grid"):
        invariant_checks("declines", Declines(), where=[VP])
