"""The adaptive SDE sampler: its paper's step, its Brownian path, its law."""

import math

import numpy as np
import pytest
import torch
from sampling_tools import DENSITY, denoiser

from scoresde.errors import OptionError
from scoresde.kernels import Noise
from scoresde.processes import PROCESSES
from scoresde.samplers import AdaptiveSDE, sample, start
from scoresde.samplers.adaptive.remembered_path import RememberedPath
from scoresde.samplers.grids import UniformTime
from scoresde.score import ExactScore

EXACT = ExactScore(DENSITY)
VP = PROCESSES["vp-linear"]()
LEVELS = VP.levels([0.9, 0.4, 0.02])


class Path:
    """One fixed path: the increment over any interval is a known function of its ends."""

    def __init__(self):
        self.rows = []

    def __call__(self, step, purpose, ids, shape):
        raise AssertionError("a source of paths is asked for increments")

    def increment(self, log_snr_0, log_snr_1, ids, shape):
        self.rows.append(len(ids))
        c0, c1 = torch.as_tensor(log_snr_0).exp(), torch.as_tensor(log_snr_1).exp()
        value = (self._path(c1, ids) - self._path(c0, ids)) / (c1 - c0).sqrt()
        return value[:, None].expand(-1, *shape).contiguous()

    @staticmethod
    def _path(c, ids):
        return c.sqrt() * torch.sin(3.0 * c.log() + ids)


def coarse(h: float) -> float:
    """Rounded down to 5 bits, so that rounding does not spread through the steps."""
    mantissa, exponent = math.frexp(h)
    return math.ldexp(math.floor(mantissa * 32), exponent - 5)


def by_the_paper(x: np.ndarray, id_: int, sampler: AdaptiveSDE, t: float, end: float):
    """Algorithm 1 for one row, in numpy: (x, evaluations)."""
    noise, nfe, h = Path(), 0, sampler.first_step
    before = x

    def terms(y, time):
        alpha = math.exp(-0.25 * time**2 * 19.9 - 0.05 * time)
        beta, sigma2 = 0.1 + 19.9 * time, 1.0 - alpha**2
        score = (alpha * denoiser(y[None], alpha, math.sqrt(sigma2))[0] - y) / sigma2
        return -0.5 * beta * y - beta * score, math.sqrt(beta), math.log(alpha**2 / sigma2)

    h = min(coarse(h), t - end)
    while t > end:
        drift, g, log_snr = terms(x, t)
        _, _, there = terms(x, t - h)
        ends = (torch.tensor([v], dtype=torch.float64) for v in (log_snr, there))
        z = noise.increment(*ends, torch.tensor([id_]), (2,))[0].numpy()
        euler = x - h * drift + math.sqrt(h) * g * z
        drift, g, _ = terms(euler, t - h)
        new = 0.5 * (euler + x - h * drift + math.sqrt(h) * g * z)
        nfe += 2
        within = np.maximum(sampler.atol, sampler.rtol * np.maximum(abs(euler), abs(before)))
        error = np.sqrt(np.mean(((euler - new) / within) ** 2))
        if error <= 1.0:
            x, t, before = new, t - h, euler
        if t - end < 1e-12:
            break
        h = min(t - end, coarse(h * min(0.9 * error**-0.9, 5.0)))
    return x, nfe


def test_a_row_takes_the_steps_of_the_paper() -> None:
    sampler, noise, ids = AdaptiveSDE(rtol=0.1), Path(), torch.arange(3) + 3
    x = start(LEVELS[0], Noise(1), ids, (2,))
    result = sample(EXACT, sampler, LEVELS, x, noise, ids=ids)
    for i, id_ in enumerate(ids.tolist()):
        expected, nfe = by_the_paper(x[i].numpy(), id_, sampler, 0.9, 0.02)
        assert int(result.nfe[i]) == nfe
        assert np.abs(result.x[i].numpy() - expected).max() < 1e-11
    assert len(set(result.nfe.tolist())) > 1
    assert sum(noise.rows) * 2 == int(result.nfe.sum())
    assert bool((result.facts["rejected"] >= 0).all())


def test_a_remembered_path_is_brownian_whatever_was_looked_at() -> None:
    """Var B(c) = c and Cov(B(c), B(d)) = min(c, d) for values found in any order."""
    n = 40_000
    ids = torch.arange(n)
    path, zero = RememberedPath(Noise(5), ids, ()), torch.zeros(n).double()
    places = (8.0, 2.0, 5.0, 1.0, 3.0, 11.0)  # 8 and 2 rejected looks, then finer and farther
    found = torch.stack([path.at(zero + c, zero, zero) for c in places])
    exact = torch.tensor([[min(a, b) for a in places] for b in places]).double()
    products = found[:, None] * found[None]
    error = products.std(dim=-1) / math.sqrt(n)
    assert bool(((products.mean(dim=-1) - exact).abs() < 4.5 * error).all())
    assert len(path.ahead) == len(places)
    here = zero + 2.0  # what lies behind a row makes room
    path.at(zero + 2.5, here, found[1])
    assert len(path.ahead) == len(places)


def test_a_path_is_seen_again_after_a_rejection() -> None:
    zero = torch.zeros(3).double()
    path = RememberedPath(Noise(5), torch.arange(3), ())
    far = path.at(zero + 4.0, zero, zero)
    near = path.at(zero + 1.0, zero, zero)
    path.keep(torch.tensor([0, 2]))
    some, one = zero[:2], zero[:2] + 1.0
    again = path.at(zero[:2] + 4.0, one, near[[0, 2]])
    torch.testing.assert_close(again, far[[0, 2]], rtol=0.0, atol=1e-12)
    assert bool((path.at(zero[:2] + 9.0, some + 4.0, again) != again).all())


def test_a_clean_end_is_the_posterior_mean_of_the_last_level_with_noise() -> None:
    sampler, ids = AdaptiveSDE(rtol=0.1, atol=0.1), torch.arange(3)
    clean = UniformTime(steps=3).levels(VP)
    x = start(clean[0], Noise(1), ids, (2,))
    to_clean = sample(EXACT, sampler, clean, x, Noise(2), trajectory=True)
    noisy = sample(EXACT, sampler, clean[:-1], x, Noise(2), trajectory=True)
    assert to_clean.trajectory.shape == (3, 4, 2)
    assert torch.equal(to_clean.trajectory[:, :3], noisy.trajectory)
    assert torch.equal(to_clean.x, EXACT.predict(noisy.x, clean[-2], "x0"))
    one_step = sample(EXACT, sampler, (clean[0], clean[-1]), x, Noise(2), trajectory=True)
    assert one_step.trajectory.shape == (3, 2, 2)
    assert float(one_step.x.abs().max()) < 3.0
    assert bool((one_step.nfe > 20).all())


def test_rows_alone_and_in_float32() -> None:
    sampler, ids = AdaptiveSDE(rtol=0.1, atol=0.1), torch.arange(5)
    x = start(LEVELS[0], Noise(1), ids, (2,))
    whole = sample(EXACT, sampler, LEVELS, x, Noise(2), ids=ids)
    for i in range(5):
        alone = sample(EXACT, sampler, LEVELS, x[i : i + 1], Noise(2), ids=ids[i : i + 1])
        torch.testing.assert_close(alone.x, whole.x[i : i + 1], rtol=0.0, atol=1e-10)
    single = sample(EXACT, sampler, LEVELS, x.float(), Noise(2), ids=ids).x
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), whole.x, rtol=0.0, atol=1e-3)


@pytest.mark.parametrize("name", ["rectified-flow", "vp-cosine"])
def test_alpha_zero_is_declined_with_the_way_out(name: str) -> None:
    levels = PROCESSES[name]().levels([1.0, 0.5, 0.1])
    with pytest.raises(OptionError, match="log_snr_min"):
        sample(EXACT, AdaptiveSDE(), levels, torch.zeros(1, 2).double())


@pytest.mark.parametrize("option", [
    {"rtol": 0.0}, {"atol": math.nan}, {"first_step": 2.0}, {"exponent": 0.0}, {"safety": 1.0},
])  # fmt: skip
def test_bad_options_of_adaptive_sde_are_named(option: dict) -> None:
    with pytest.raises(OptionError, match=next(iter(option))):
        AdaptiveSDE(**option)
