"""Networks of kinds bound to their process (score, velocity) at levels of every other process."""

from __future__ import annotations

import pytest
import torch

from scoresde.errors import OptionError
from scoresde.processes import EDM, PROCESSES, RectifiedFlow, VPCosine, VPLinear
from scoresde.samplers import GRIDS, Heun, sample
from scoresde.score import NetworkScore


class _Zero(torch.nn.Module):
    def forward(self, x, condition):
        return torch.zeros_like(x)


class _Wide(torch.nn.Module):
    def forward(self, x, condition):
        return x[:, :1]


@pytest.mark.parametrize("kind", ["velocity", "score"])
@pytest.mark.parametrize(
    "home", [EDM(), VPLinear(), RectifiedFlow()], ids=lambda p: type(p).__name__
)
@pytest.mark.parametrize("name", PROCESSES.members)
def test_every_solver_range_of_every_process_is_served(kind, home, name) -> None:
    """Also where the other process runs beyond the home process's own times."""
    model = NetworkScore(_Zero(), (2,), kind, 1.0, home)
    levels = GRIDS["karras"](steps=6, final="min").levels(PROCESSES[name]())
    x = torch.ones(3, 2, dtype=torch.float64)
    for level in levels:
        out = model.predict(x, level, "eps")
        assert out.shape == x.shape
        if kind == "score":  # a score of zero is eps = 0 under any process
            assert float(out.abs().max()) == 0.0


def test_churn_above_the_first_level_is_served() -> None:
    model = NetworkScore(_Zero(), (2,), "velocity", 1.0, EDM())
    levels = GRIDS["karras"](steps=8).levels(EDM())
    x = torch.ones(3, 2, dtype=torch.float64) * 80
    out = sample(model, Heun(churn=40.0), levels, x).x
    # u = sigma' eps = 0: eps = 0, and the state moves by churn's noise alone
    assert bool(torch.isfinite(out).all())
    assert not torch.equal(out, x)


def test_a_level_that_a_process_cannot_reach_is_named() -> None:
    model = NetworkScore(_Zero(), (2,), "velocity", 1.0, VPCosine())
    level = GRIDS["karras"](steps=6).levels(EDM(sigma_min=1e-9))[-2]
    x = torch.ones(3, 2)
    reached = VPCosine().time(torch.tensor(level.log_snr, dtype=torch.float64))
    assert 0.0 <= float(reached) <= 1.0
    model.predict(x, level, "v")


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
