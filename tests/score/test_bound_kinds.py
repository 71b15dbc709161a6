"""Networks of kinds bound to their process (score, velocity) at levels of every other process."""

from __future__ import annotations

import pytest
import torch

from scoresde.errors import OptionError
from scoresde.kernels import Noise, Purpose
from scoresde.processes import CLEAN, EDM, PROCESSES, RectifiedFlow, VPLinear
from scoresde.samplers import GRIDS, Heun, sample
from scoresde.score import NetworkScore


class _Zero(torch.nn.Module):
    def forward(self, x, condition):
        return torch.zeros_like(x)


class _Wide(torch.nn.Module):
    def forward(self, x, condition):
        return x[:, :1]


# eps of a velocity of zero, alpha' x0 + sigma' eps = 0, from z and log SNR alone
STILL = {
    EDM: lambda z, a, s: 0.0 * z,  # alpha' = 0
    RectifiedFlow: lambda z, a, s: z / (a + s),  # x0 = eps
    VPLinear: lambda z, a, s: z * s / (a * a + s * s),  # x0 = alpha eps/sigma
}


@pytest.mark.parametrize("home", STILL, ids=lambda p: p.__name__)
@pytest.mark.parametrize("name", PROCESSES.members)
def test_a_still_velocity_is_the_same_under_every_process(home, name) -> None:
    """Also where the other process runs beyond the home process's own times."""
    model = NetworkScore(_Zero(), (2,), "velocity", 1.0, home())
    x = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for level in GRIDS["karras"](steps=6, final="min").levels(PROCESSES[name]()):
        expected = STILL[home](x, level.alpha, level.sigma)
        found = model.predict(x, level, "eps")
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10 * level.scale)


@pytest.mark.parametrize("name", PROCESSES.members)
def test_a_score_of_zero_is_zero_under_every_process(name) -> None:
    model = NetworkScore(_Zero(), (2,), "score", 1.0, VPLinear())
    x = torch.ones(3, 2, dtype=torch.float64)
    for level in GRIDS["karras"](steps=6, final="min").levels(PROCESSES[name]()):
        assert float(model.predict(x, level, "eps").abs().max()) == 0.0


def test_churn_above_the_first_level_is_served() -> None:
    """With eps = 0 churn alone moves the state, by sqrt(2 - 1) sigma_t z at gamma's cap."""
    model = NetworkScore(_Zero(), (2,), "velocity", 1.0, EDM())
    levels = GRIDS["karras"](steps=8).levels(EDM())
    x = torch.full((3, 2), 80.0, dtype=torch.float64)
    noise, ids = Noise(5), torch.arange(3)
    expected = x.clone()
    for step, level in enumerate(levels[:-1]):
        expected += level.sigma * noise(step, Purpose.CHURN, ids, (2,))
    out = sample(model, Heun(churn=40.0), levels, x, noise, ids=ids).x
    torch.testing.assert_close(out, expected, rtol=1e-11, atol=1e-11)


def test_a_level_that_a_process_cannot_reach_is_named() -> None:
    """sigma' of VP linear is infinite at the data."""
    model = NetworkScore(_Zero(), (2,), "velocity", 1.0, VPLinear())
    with pytest.raises(OptionError, match="VPLinear has no level at log SNR inf"):
        model.predict(torch.ones(3, 2), CLEAN, "x0")


def test_at_home_the_output_is_handed_on_untouched() -> None:
    class Fixed(torch.nn.Module):
        def forward(self, x, condition):
            return x * 0.123

    model = NetworkScore(Fixed(), (2,), "velocity", 1.0, EDM())
    level = EDM().at(0.3)
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.forward(x, level), model._output(x, level))


def test_an_output_of_another_shape_is_refused() -> None:
    model = NetworkScore(_Wide(), (2,), "F", 1.0)
    with pytest.raises(OptionError, match=r"\(3, 1\) for states of shape \(3, 2\)"):
        model.predict(torch.ones(3, 2), EDM().at(0.5), "x0")
