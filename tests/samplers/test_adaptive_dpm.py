"""DPM-Solver-12 and -23 with adaptive steps: each row by its paper's algorithm, alone."""

import math

import numpy as np
import pytest
import torch
from sampling_tools import DENSITY, Recorded, denoiser

from scoresde.errors import OptionError
from scoresde.kernels import Noise
from scoresde.processes import PROCESSES
from scoresde.samplers import DPMAdaptive, sample, start
from scoresde.samplers.grids import UniformLogSNR
from scoresde.score import ExactScore

EXACT = ExactScore(DENSITY)
VP = PROCESSES["vp-linear"]()
GRID = UniformLogSNR(steps=3, log_snr_min=-6.0, log_snr_max=5.0)


def coarse(h: float) -> float:
    """Rounded down to 5 bits, so that rounding does not spread through the steps."""
    mantissa, exponent = math.frexp(h)
    return math.ldexp(math.floor(mantissa * 32), exponent - 5)


def by_the_paper(x: np.ndarray, sampler: DPMAdaptive, at: float, end: float):
    """The adaptive algorithm in lambda for one row under a VP process: (x, evaluations)."""
    order, nfe, h, before = sampler.pair % 10, 0, sampler.first_step, x

    def alpha(lam):
        return 1.0 / math.sqrt(1.0 + math.exp(-2.0 * lam))

    def sigma(lam):
        return 1.0 / math.sqrt(1.0 + math.exp(2.0 * lam))

    def eps(y, lam):
        x0 = denoiser(y[None], alpha(lam), sigma(lam))[0]
        return (y - alpha(lam) * x0) / sigma(lam)

    def second(y, lam, h, r):
        e = eps(y, lam)
        middle = lam + r * h
        y1 = alpha(middle) / alpha(lam) * y - sigma(middle) * math.expm1(r * h) * e
        slope = eps(y1, middle) - e
        to, grown = lam + h, math.expm1(h)
        first = alpha(to) / alpha(lam) * y - sigma(to) * grown * e
        return first, first - sigma(to) / (2 * r) * grown * slope, e, slope

    def third(y, lam, h, e, slope):
        r1, r2 = 1 / 3, 2 / 3
        inner = lam + r2 * h
        bend = math.expm1(r2 * h) / (r2 * h) - 1
        y2 = alpha(inner) / alpha(lam) * y - sigma(inner) * math.expm1(r2 * h) * e
        y2 = y2 - sigma(inner) * r2 / r1 * bend * slope
        to, bend = lam + h, math.expm1(h) / h - 1
        first = alpha(to) / alpha(lam) * y - sigma(to) * math.expm1(h) * e
        return first - sigma(to) / r2 * bend * (eps(y2, inner) - e)

    h = min(coarse(h), end - at)
    while at < end:
        if sampler.pair == 12:
            low, high, _, _ = second(x, at, h, 1 / 2)
        else:
            _, low, e, slope = second(x, at, h, 1 / 3)
            high = third(x, at, h, e, slope)
        nfe += order
        within = np.maximum(sampler.atol, sampler.rtol * np.maximum(abs(low), abs(before)))
        error = np.sqrt(np.mean(((low - high) / within) ** 2))
        if error <= 1.0:
            x, before, at = high, low, at + h
        h = min(coarse(h * min(0.9 * error ** (-1 / order), 5.0)), end - at)
        if abs(end - at) < 1e-14:
            break
    return x, nfe


@pytest.mark.parametrize("pair", [12, 23])
def test_a_row_takes_the_steps_of_the_paper(pair: int) -> None:
    sampler, levels = DPMAdaptive(pair=pair, rtol=0.01), GRID.levels(VP)[:-1]
    x = start(levels[0], Noise(1), torch.arange(4), (2,))
    result = sample(EXACT, sampler, levels, x)
    for i in range(4):
        expected, nfe = by_the_paper(x[i].numpy(), sampler, -3.0, 2.5)
        assert int(result.nfe[i]) == nfe
        assert np.abs(result.x[i].numpy() - expected).max() < 1e-11
    rejected = result.facts["rejected"]
    assert bool((rejected > 0).any())


def test_one_sampler_for_every_process() -> None:
    """The same normalised states at the same log SNRs under VP, VE and rectified flow."""
    u, found = Noise(1)(0, 0, torch.arange(3), (2,)), []
    for name in ("vp-linear", "ve", "rectified-flow"):
        levels = GRID.levels(PROCESSES[name]())[:-1]
        out = sample(EXACT, DPMAdaptive(), levels, u * levels[0].scale).x
        found.append(out / levels[-1].scale)
    torch.testing.assert_close(found[1], found[0], rtol=0.0, atol=1e-9)
    torch.testing.assert_close(found[2], found[0], rtol=0.0, atol=1e-9)


def test_a_clean_end_and_a_trajectory() -> None:
    levels, model = GRID.levels(VP), Recorded()
    x = start(levels[0], Noise(1), torch.arange(3), (2,))
    result = sample(model, DPMAdaptive(), levels, x, trajectory=True)
    assert int(result.nfe.sum()) == sum(model.batches)
    assert result.trajectory.shape == (3, 4, 2)
    assert torch.equal(result.trajectory[:, -1], result.x)
    assert torch.equal(result.x, EXACT.predict(result.trajectory[:, 2], levels[2], "x0"))
    to_first = sample(EXACT, DPMAdaptive(), levels[:2], x).x
    torch.testing.assert_close(result.trajectory[:, 1], to_first, rtol=0.0, atol=1e-12)
    single = sample(EXACT, DPMAdaptive(), levels, x.float())
    assert single.x.dtype == torch.float32
    assert float((single.x - result.x).abs().max()) < 0.05


def test_other_gains_of_the_controller_reject_less() -> None:
    levels = GRID.levels(VP)[:-1]
    x = start(levels[0], Noise(1), torch.arange(16), (2,))
    plain, damped = (
        sample(EXACT, DPMAdaptive(rtol=1e-4, atol=1e-4, **gains), levels, x)
        for gains in ({}, {"integral": 0.7, "proportional": 0.3})
    )
    assert damped.facts["rejected"].sum() < 0.8 * plain.facts["rejected"].sum()
    assert damped.nfe.sum() < plain.nfe.sum()


def test_alpha_zero_is_declined_with_the_way_out() -> None:
    levels = PROCESSES["rectified-flow"]().levels([1.0, 0.5, 0.1])
    with pytest.raises(OptionError, match="log_snr_min"):
        sample(EXACT, DPMAdaptive(), levels, torch.zeros(1, 2).double())


@pytest.mark.parametrize("option", [
    {"pair": 3}, {"rtol": 0.0}, {"atol": math.nan}, {"first_step": math.inf}, {"integral": 0.0},
    {"derivative": -0.1},
])  # fmt: skip
def test_bad_options_of_dpm_adaptive_are_named(option: dict) -> None:
    with pytest.raises(OptionError, match=next(iter(option))):
        DPMAdaptive(**option)
