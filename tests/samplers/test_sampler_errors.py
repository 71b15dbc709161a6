"""Samplers: slips and lost states are named, with the way out."""

import math

import pytest
import torch
from sampling_tools import DENSITY, VARIANTS, grid

from scoresde.errors import DataError, NonFiniteError, OptionError, UsageError
from scoresde.processes import PROCESSES
from scoresde.samplers import (
    DDIM,
    SAMPLERS,
    AnnealedLangevin,
    EulerMaruyama,
    GridSampler,
    Heun,
    TorchdiffeqFlow,
    sample,
)
from scoresde.samplers.grids import Explicit
from scoresde.score import ExactScore, ScoreModel

EXACT = ExactScore(DENSITY)
EVERY_VARIANT = pytest.mark.parametrize("variant", VARIANTS)
GRID_VARIANT = pytest.mark.parametrize(
    "variant", [v for v, s in VARIANTS.items() if isinstance(s, GridSampler)]
)


class Breaks(ScoreModel):
    """Gives NaN for every other row where sigma/alpha is near 1."""

    kind, event_shape = "x0", (2,)

    def forward(self, x, level):
        out = 0.1 * x
        if 0.5 < level.noise_ratio < 2.0:
            out[1::2] = math.nan
        return out


@GRID_VARIANT
def test_a_lost_state_names_step_level_and_ids(variant: str) -> None:
    levels = Explicit(noise_ratios=(8.0, 4.0, 1.0, 0.2, 0.0)).levels(PROCESSES["ve"]())
    ids = torch.tensor([70, 71, 72, 73])
    with pytest.raises(NonFiniteError) as caught:
        sample(Breaks(), VARIANTS[variant], levels, torch.ones(4, 2).double(), ids=ids)
    message = str(caught.value)
    assert "ids 71, 73" in message
    if variant in ("ddim", "ancestral", "dpmpp-2m"):
        assert "after step 2, from sigma/alpha = 1 to 0.2" in message
        assert "2 of 4 samples" in message


def test_a_lost_flow_names_its_ids() -> None:
    levels = Explicit(noise_ratios=(8.0, 1.0, 0.2), final="min").levels(PROCESSES["ve"]())
    with pytest.raises(NonFiniteError, match=r"71"):
        sample(Breaks(), TorchdiffeqFlow(method="rk4"), levels, torch.ones(2, 2).double(),
               ids=torch.tensor([70, 71]))  # fmt: skip


BAD_STATES = [
    (torch.zeros(3, 4), None, r"\(4,\), the model has \(2,\)"),
    (torch.zeros(3, 2, dtype=torch.int64), None, "int64"),
    (torch.full((3, 2), math.inf), None, "infinite"),
    (torch.zeros(3, 2), torch.arange(2), r"\(3,\) of int64, got \(2,\)"),
    (torch.zeros(3, 2), torch.zeros(3), "float32"),
]


@pytest.mark.parametrize(("x", "ids", "named"), BAD_STATES)
def test_bad_states_are_named(x, ids, named: str) -> None:
    with pytest.raises(DataError, match=named):
        sample(EXACT, DDIM(), grid(), x, ids=ids)


@EVERY_VARIANT
def test_a_grid_that_does_not_fall_is_named(variant: str) -> None:
    level = PROCESSES["ve"]().levels([0.5, 0.5, 0.2])
    for levels in (level, level[::-1], level[:1]):
        with pytest.raises(OptionError, match="level"):
            sample(EXACT, VARIANTS[variant], levels, torch.zeros(1, 2).double())


@pytest.mark.parametrize(("sampler", "way_out"), [
    (EulerMaruyama(), "log_snr_min"), (Heun(), "log_snr_min"), (AnnealedLangevin(), "log_snr_min"),
])  # fmt: skip
def test_a_sampler_that_cannot_start_at_pure_noise_says_so(sampler, way_out: str) -> None:
    levels = PROCESSES["rectified-flow"]().levels([1.0, 0.5, 0.1])
    with pytest.raises(OptionError, match=way_out):
        sample(EXACT, sampler, levels, torch.zeros(1, 2).double())


@pytest.mark.parametrize(("name", "options", "named"), [
    ("ancestral", {"variance": "post"}, "posterior"),
    ("ddim", {"eta": 1.5}, "1.5"),
    ("ddim", {"eta": math.nan}, "nan"),
    ("euler-maruyama", {"eta": -1.0}, "-1.0"),
    ("heun", {"churn": math.inf}, "churn"),
    ("heun", {"churn_min": 2.0, "churn_max": 1.0}, "churn_max"),
    ("probability-flow", {"method": "dopri"}, "dopri5"),
    ("probability-flow", {"rtol": 0.0}, "rtol"),
    ("annealed-langevin", {"step_size": 2.0}, "2.0"),
    ("annealed-langevin", {"corrections": 100_000}, "100000"),
])  # fmt: skip
def test_bad_options_are_named(name: str, options: dict, named: str) -> None:
    with pytest.raises(UsageError) as caught:
        SAMPLERS[name](**options)
    assert named in str(caught.value)
