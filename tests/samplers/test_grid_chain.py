"""Grids on a chain's instants: spacings by their numbers, offsets, rounding to the chain."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from scoresde.errors import OptionError
from scoresde.processes import PROCESSES, DiscreteDDPM, VPLinear
from scoresde.samplers.grids import Discrete, Explicit, Karras, UniformTime, levels

CHAIN = DiscreteDDPM()


def timesteps(grid, chain=CHAIN, **options) -> list[int]:
    """As other libraries number the instants, 0..T - 1, without the clean level."""
    made = levels(grid, chain, **options)
    found = [v.t * chain.steps - 1 for v in made if v.sigma > 0.0]
    np.testing.assert_allclose(found, np.round(found), atol=1e-9)
    return [round(v) for v in found]


TIMESTEPS = {  # of a chain of 1000
    ("leading", 10): [900, 800, 700, 600, 500, 400, 300, 200, 100, 0],
    ("trailing", 10): [999, 899, 799, 699, 599, 499, 399, 299, 199, 99],
    ("linspace", 10): [999, 888, 777, 666, 555, 444, 333, 222, 111, 0],
    ("simple", 10): [999, 899, 799, 699, 599, 499, 399, 299, 199, 99],
    ("quad", 10): [800, 632, 483, 355, 246, 158, 88, 39, 9, 0],
    ("leading", 7): [852, 710, 568, 426, 284, 142, 0],
    ("trailing", 7): [999, 856, 713, 570, 428, 285, 142],
    ("linspace", 7): [999, 832, 666, 500, 333, 166, 0],
    ("simple", 7): [999, 857, 714, 571, 428, 285, 142],
    ("leading", 1): [0],
    ("trailing", 1): [999],
}


@pytest.mark.parametrize(("spacing", "n"), TIMESTEPS)
def test_spacings_by_their_numbers(spacing: str, n: int) -> None:
    got = timesteps("discrete", steps=n, spacing=spacing)
    assert got == TIMESTEPS[spacing, n] == timesteps(spacing, steps=n)
    bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    made = Discrete(steps=n, spacing=spacing).levels(CHAIN)
    np.testing.assert_allclose([v.alpha**2 for v in made[:-1]], bar[got], rtol=2e-12)


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing", "simple"])
@pytest.mark.parametrize("n", [1, 3, 19, 50, 333, 999, 1000])
def test_spacings_are_numpys(spacing: str, n: int) -> None:
    """Table 2 of Lin et al. as schedulers compute it; `simple` takes sigmas[-(1 + int(x ss))]."""
    expected = {
        "leading": (np.arange(0, n) * (1000 // n)).round()[::-1],
        "linspace": np.linspace(0, 999, n).round()[::-1],
        "trailing": np.round(np.arange(1000, 0, -1000 / n))[:n] - 1,
        "simple": np.array([np.arange(1000)[-(1 + int(x * (1000 / n)))] for x in range(n)]),
    }[spacing]
    assert timesteps("discrete", steps=n, spacing=spacing) == expected.astype(int).tolist()


@pytest.mark.parametrize("n", [3, 20, 50, 333])
def test_offset_shifts_leading_and_min_goes_on_to_the_first_instant(n: int) -> None:
    """leading with steps_offset = 1, and a last alpha_bar that is the chain's first."""
    expected = (np.arange(0, n) * (1000 // n))[::-1] + 1
    assert timesteps("leading", steps=n, offset=1) == expected.tolist()
    assert timesteps("leading", steps=n, offset=1, final="min") == [*expected.tolist(), 0]


@pytest.mark.parametrize("n", [10, 20, 50])
def test_ddim_uniform_counts_from_the_second_instant(n: int) -> None:
    """Instants sigmas[1], sigmas[1 + T // n], ... where n divides T."""
    assert timesteps("ddim_uniform", steps=n) == list(range(1, 1000, 1000 // n))[::-1]


@pytest.mark.parametrize("n", [4, 19, 25, 50])
def test_replaced_is_the_timesteps_of_multistep_schedulers(n: int) -> None:
    """They lay out n + 1 and drop the last, which sigma_last then takes the place of."""
    linspace = np.linspace(0, 999, n + 1).round()[::-1].astype(int).tolist()
    assert timesteps("linspace", steps=n, final="replaced") == linspace[:-1]
    assert timesteps("linspace", steps=n, final="min") == linspace
    for offset in (0, 1):
        leading = (np.arange(0, n + 1) * (1000 // (n + 1)))[::-1][:-1] + offset
        found = timesteps("leading", steps=n, final="replaced", offset=offset)
        assert found == leading.tolist()
    trailing = np.arange(1000, 0, -1000 / n).round()[:n].astype(int) - 1
    assert timesteps("trailing", steps=n, final="replaced") == trailing.tolist()
    assert timesteps("trailing", steps=n, final="min") == [*trailing.tolist(), 0]


def test_quad_is_its_fraction_rounded_down() -> None:
    """floor(c k^2) with c (n - 1)^2 = 0.8 T; floats fall short of whole numbers at 16 and 26."""
    for n in range(2, 30):
        exact = [int(Fraction(800 * k * k, (n - 1) ** 2)) for k in range(n)][::-1]
        assert timesteps("quad", steps=n) == exact
        if n not in (16, 26):
            floats = [int(v) for v in np.linspace(0, np.sqrt(1000 * 0.8), n) ** 2][::-1]
            assert exact == floats


@pytest.mark.parametrize("betas", ["linear", "cosine", "scaled-linear"])
def test_rounded_is_the_nearest_sigma_of_the_chain(betas: str) -> None:
    chain = DiscreteDDPM(betas=betas)
    u = np.array([v.noise_ratio for v in chain.levels(np.arange(1, 1001) / 1000)])
    ends = {"log_snr_min": -5.0, "log_snr_max": 5.0}
    free = [v.noise_ratio for v in Karras(steps=12, **ends).levels(chain)[:-1]]
    nearest = [int(np.abs(u - sigma).argmin()) for sigma in free]
    assert timesteps(Karras(steps=12, rounded=True, **ends), chain) == nearest
    assert max(np.abs(u[nearest] / free - 1)) > 1e-4  # it did move them


def test_rounded_leaves_the_instants_and_the_ends_where_they_are() -> None:
    every = Discrete(steps=1000)
    assert levels(every, CHAIN, rounded=True) == every.levels(CHAIN)
    made = levels("karras", CHAIN, steps=10, rounded=True, final="min")
    assert made[0] == CHAIN.at(1.0)
    assert made[-1] == CHAIN.at(CHAIN.t_min)


@pytest.mark.parametrize(("grid", "process", "message"), [
    (Discrete(steps=22), DiscreteDDPM(steps=21), "21 instants has no grid of 22"),
    (Discrete(steps=20, offset=60), CHAIN, "offset = 60 .* instant 1011 of a chain of 1000"),
    (Discrete(steps=30, spacing="quad"), CHAIN, "'quad' puts two of 30 levels .* instant 1;"),
    (Discrete(steps=900, spacing="trailing", final="min"), CHAIN, "900 steps .* final = 'clean'"),
    (Discrete(steps=1000, spacing="simple", final="denoised"), CHAIN, "1000 steps .*'denoised'"),
    (Karras(steps=300, rounded=True), CHAIN, "true puts two of 300 .* fewer steps"),
    (Karras(rounded=True), VPLinear(), "rounded = true needs a discrete chain, got VPLinear"),
    (UniformTime(), DiscreteDDPM(betas=(0.5,)), "first time 1.0 must lie above its last, 1.0"),
    (Explicit(given_times=(0.5, 0.4999), rounded=True), CHAIN, "two of 2 levels"),
])  # fmt: skip
def test_grids_that_a_chain_cannot_hold_are_named(grid, process, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        grid.levels(process)


def test_levels_rounded_to_float32_stay_what_they_are() -> None:
    """Grids made elsewhere in float32 end a little beyond the process's own ends."""
    ratios = torch.linspace(80.0, 1.0, 9).to(torch.float32)
    beyond = (*ratios.double().tolist(), 0.00199999963)
    levels = Explicit(noise_ratios=beyond, final="min").levels(PROCESSES["edm"]())
    got = [level.noise_ratio for level in levels]
    np.testing.assert_allclose(got, beyond, rtol=1e-13)
    assert PROCESSES["rectified-flow"]().levels([1.0 + 1e-7, 0.5])[0].alpha == 0.0
    with pytest.raises(OptionError, match="lie in"):
        PROCESSES["edm"]().levels([1.00001])


def test_a_level_repeated_at_once_is_left_out() -> None:
    listed = Explicit(noise_ratios=(5.0, 1.0, 1.0, 0.1, 0.1, 0.0))
    assert listed.steps == 3
    assert listed.levels(PROCESSES["ve"]()) == Explicit(noise_ratios=(5.0, 1.0, 0.1, 0.0)).levels(
        PROCESSES["ve"]()
    )
