"""Laws of the affine table between kinds of prediction."""

import math

import numpy as np
import pytest
import torch

from scoresde.errors import OptionError, UsageError
from scoresde.processes import CLEAN, PROCESSES, NoiseLevel
from scoresde.score import KINDS, coefficients, convert
from scoresde.score.parametrization import row

EPS = 2.0**-52
LOG_SNRS = np.linspace(-20.0, 20.0, 11)


def preserving(log_snr: float) -> NoiseLevel:
    """A variance-preserving level with the rates of du/dphi at unit speed."""
    alpha, sigma = ((1 + math.exp(-sign * log_snr)) ** -0.5 for sign in (1, -1))
    return NoiseLevel(t=0.5, alpha=alpha, sigma=sigma, alpha_rate=-sigma, sigma_rate=alpha)


def every_level() -> list[NoiseLevel]:
    levels = [preserving(float(v)) for v in LOG_SNRS]
    for name in PROCESSES.members:
        process = PROCESSES[name]()
        levels += process.levels(torch.linspace(process.t_min, 0.999, 4, dtype=torch.float64))
    return levels


def truth(level: NoiseLevel, d: float):
    """x0, eps, z of a batch and each kind of it, from the definitions."""
    rng = np.random.default_rng(2)
    x0, eps = rng.standard_normal((2, 6, 3))
    a, s = level.alpha, level.sigma
    z = a * x0 + s * eps
    c_skip = d**2 / ((s / a) ** 2 + d**2)
    c_out = (s / a) * d / math.sqrt((s / a) ** 2 + d**2)
    kinds = {
        "x0": x0,
        "eps": eps,
        "score": -eps / s,
        "v": (a * eps - s * x0) / math.hypot(a, s),
        "velocity": level.alpha_rate * x0 + level.sigma_rate * eps,
        # EDM: x0 = c_skip z' + c_out F of the noisy image z' = z/alpha; c_skip z' and x0 cancel
        # near the data, so F is written with the difference taken by hand
        "F": ((1 - c_skip) * x0 - c_skip * (s / a) * eps) / c_out,
    }
    if s / a < d:
        share = (s / a) ** 2 / ((s / a) ** 2 + d**2)
        kinds["F"] = (share * x0 - c_skip * (s / a) * eps) / c_out
    return {k: torch.from_numpy(v) for k, v in kinds.items()}, torch.from_numpy(z)


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("d", [0.5])
def test_conversion_and_inverse_are_the_identity(source: str, target: str, d: float) -> None:
    """Within 16 machine epsilons times the condition number, scale/alpha or scale/sigma."""
    for level in every_level():
        kinds, z = truth(level, d)
        there = convert(kinds[source], z, level, source, target, d)
        back = convert(there, z, level, target, source, d)
        condition = level.scale * max(1.0 / level.alpha, 1.0 / level.sigma)
        unit = float(kinds[source].abs().max())
        if source == "velocity":  # its own cancellation: alpha' x0 against sigma' eps
            unit = max(unit, abs(level.alpha_rate) + abs(level.sigma_rate))
        error = float((back - kinds[source]).abs().max())
        assert error <= 16 * EPS * condition * unit, (level, error / EPS / condition / unit)


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("d", [0.5])
def test_conversion_is_right(source: str, target: str, d: float) -> None:
    for level in every_level():
        kinds, z = truth(level, d)
        got = convert(kinds[source], z, level, source, target, d)
        c_z, c_a = coefficients(level, source, target, d)
        size = abs(c_z) * z.abs().max() + abs(c_a) * kinds[source].abs().max()
        assert float((got - kinds[target]).abs().max()) <= 64 * EPS * float(size)


def test_v_and_f_lose_nothing_in_float32_at_either_end() -> None:
    """The reason that no kind is canonical."""
    for log_snr in (-18.0, 18.0):
        level = preserving(log_snr)
        kinds, z = truth(level, 1.0)
        good_end = "x0" if log_snr > 0 else "eps"
        for source in ("v", "F"):
            for target in ("x0", "eps"):
                got = convert(kinds[source].float(), z.float(), level, source, target)
                assert float((got - kinds[target]).abs().max()) < 2e-6
        got = convert(kinds[good_end].float(), z.float(), level, good_end,
                      "eps" if good_end == "x0" else "x0")  # fmt: skip
        other = kinds["eps" if good_end == "x0" else "x0"]
        assert float((got - other).abs().max()) > 1e-4


def test_tensor_levels_are_the_float_levels() -> None:
    process = PROCESSES["sub-vp"]()
    t = torch.linspace(0.01, 0.9, 6, dtype=torch.float64)
    rows = process.levels(t)
    z = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    together = process.level(t, z)
    for source in KINDS:
        for target in KINDS:
            got = convert(z * 0.5, z, together, source, target, 0.7)
            for i, level in enumerate(rows):
                one = convert(z[i : i + 1] * 0.5, z[i : i + 1], level, source, target, 0.7)
                torch.testing.assert_close(got[i : i + 1], one, rtol=1e-12, atol=1e-12)


NOISE_END = NoiseLevel(t=1.0, alpha=0.0, sigma=1.0, alpha_rate=-1.0, sigma_rate=0.0)


@pytest.mark.parametrize("source", ["eps", "score"])
@pytest.mark.parametrize("target", ["x0", "v", "F", "velocity"])
def test_eps_says_nothing_of_x0_at_pure_noise(source: str, target: str) -> None:
    with pytest.raises(OptionError, match=r"log_snr_min.*kind v or F") as caught:
        coefficients(NOISE_END, source, target)
    assert f"{source} does not determine {target} at alpha = 0.0" in str(caught.value)


def test_eps_and_score_are_proportional_at_pure_noise_too() -> None:
    assert coefficients(NOISE_END, "eps", "score") == (0.0, -1.0)
    assert coefficients(NOISE_END, "score", "eps") == (0.0, -1.0)


@pytest.mark.parametrize(("source", "target"), [
    ("x0", "eps"), ("x0", "v"), ("eps", "score"), ("F", "score"), ("x0", "velocity"),
])  # fmt: skip
def test_x0_says_nothing_of_eps_at_the_data(source: str, target: str) -> None:
    with pytest.raises(OptionError, match="sigma = 0"):
        coefficients(CLEAN, source, target)


def test_a_velocity_with_an_infinite_rate_is_an_error() -> None:
    with pytest.raises(OptionError, match="velocity"):
        coefficients(PROCESSES["vp-linear"]().at(0.0), "v", "velocity")


def test_a_level_of_no_process_has_no_velocity() -> None:
    level = NoiseLevel.at_phi(0.3)
    for call in (lambda: coefficients(level, "v", "velocity"), lambda: row("velocity", level)):
        with pytest.raises(OptionError, match="belongs to no process"):
            call()


def test_an_unknown_kind_has_a_suggestion() -> None:
    with pytest.raises(UsageError, match="Did you mean 'score'"):
        coefficients(preserving(0.0), "eps", "scores")
