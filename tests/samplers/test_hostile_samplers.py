"""Slips of a caller, a model or a noise source: each is named, none hangs or passes silently."""

import inspect

import pytest
import torch
from sampling_tools import DENSITY

from scoresde.errors import DataError, NonFiniteError, OptionError, ScoresdeError
from scoresde.processes import PROCESSES
from scoresde.samplers import GRIDS, SAMPLERS, sample
from scoresde.score import ExactScore, ScoreModel

EXACT = ExactScore(DENSITY)
VP = PROCESSES["vp-linear"]()
LEVELS = GRIDS["uniform-log-snr"](steps=3).levels(VP)
X = torch.tensor([[1.0, -0.5], [0.3, 2.0], [-1.5, 0.1]], dtype=torch.float64) * LEVELS[0].scale


class Answers(ScoreModel):
    """The exact score, its answers changed by a function."""

    kind, event_shape = "x0", (2,)

    def __init__(self, change):
        self.change = change

    def forward(self, x, level):
        return self.change(EXACT.predict(x, level, "x0"))

    def predict(self, x, level, kind):
        return self.change(EXACT.predict(x, level, kind))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adaptive-sde", {"exponent": 1e-13}),
        ("dpm-adaptive", {"first_step": 1e-300}),
        ("dpm-adaptive", {"safety": 1e-13}),
        ("dpm-adaptive", {"integral": 1e-13}),
        ("dpm-adaptive", {"proportional": 1e300}),
    ],
)
def test_steps_that_shrink_though_accepted_end_the_march(name: str, options: dict) -> None:
    """An accepted step may be followed by ever smaller ones, whose sum never arrives."""
    with pytest.raises(NonFiniteError, match="the step vanished"):
        sample(EXACT, SAMPLERS[name](**options), LEVELS, X)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dpmpp-sde", {"r": 1e-300}),
        ("restart", {"rho": 1e-13}),
        ("heun", {"alpha": 1e-300}),
        ("euler-maruyama", {"eta": 1e300}),
        ("euler-ancestral", {"s_noise": 1e300}),
        ("sa-solver", {"tau": 1e300}),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_options_without_finite_coefficients_are_refused(
    name: str, options: dict, dtype: torch.dtype
) -> None:
    with pytest.raises(OptionError, match="coefficient"):
        sample(EXACT, SAMPLERS[name](**options), LEVELS, X.to(dtype))


@pytest.mark.parametrize("name", ["probability-flow", "dpm-adaptive", "adaptive-sde"])
@pytest.mark.parametrize("there", [torch.float32, torch.float64])
def test_a_model_may_answer_in_another_dtype_than_it_is_asked_in(name, there) -> None:
    here = torch.float32 if there is torch.float64 else torch.float64
    model = Answers(lambda out: out.to(there))
    sampler = SAMPLERS[name](rtol=0.3, atol=0.3)
    levels = GRIDS["uniform-log-snr"](steps=2, log_snr_min=-3.0, log_snr_max=0.0).levels(VP)
    result = sample(model, sampler, levels, X[:1].to(here), trajectory=True)
    assert result.x.dtype == result.trajectory.dtype == here
    assert torch.isfinite(result.trajectory).all()


@pytest.mark.parametrize("name", ["heun", "dpmpp-2m", "unipc", "torchdiffeq", "scipy-flow"])
def test_predictions_of_another_shape_do_not_broadcast(name: str) -> None:
    with pytest.raises(ScoresdeError, match="shape"):
        sample(Answers(lambda out: out[:, :1]), SAMPLERS[name](), LEVELS, X)


def test_one_normal_for_all_rows_is_refused_by_the_remembered_path() -> None:
    def one_for_all(step, purpose, ids, shape):
        return torch.zeros(1, *shape, dtype=torch.float64)

    with pytest.raises(DataError, match=r"gives \(1, 2\) for states \(3, 2\)"):
        sample(EXACT, SAMPLERS["adaptive-sde"](), LEVELS, X, one_for_all)


@pytest.mark.parametrize("name", ["ddim", "probability-flow", "dpm-adaptive"])
def test_levels_may_come_one_by_one_and_must_be_levels(name: str) -> None:
    sampler = SAMPLERS[name]()
    whole = sample(EXACT, sampler, LEVELS, X).x
    assert torch.equal(sample(EXACT, sampler, (level for level in LEVELS), X).x, whole)
    with pytest.raises(DataError, match=r"grid\.levels\(process\)"):
        sample(EXACT, sampler, [1.0, 0.5], X)


def test_slips_of_a_call_are_named() -> None:
    ddim = SAMPLERS["ddim"]()
    with pytest.raises(DataError, match=r"grid\.levels\(process\), got Karras"):
        sample(EXACT, ddim, GRIDS["karras"](), X)
    with pytest.raises(OptionError, match="sampler is one that is made"):
        sample(EXACT, SAMPLERS["ddim"], LEVELS, X)
    with pytest.raises(OptionError, match="got 'ddim'"):
        sample(EXACT, "ddim", LEVELS, X)
    with pytest.raises(DataError, match="got list"):
        sample(EXACT, ddim, LEVELS, X, ids=[0, 1, 2])
    with pytest.raises(DataError, match=r"noise is a function \(step, purpose, ids, shape\)"):
        sample(EXACT, ddim, LEVELS, X, 3)


@pytest.mark.parametrize("name", ["dpm-2", "restart"])
def test_the_way_out_of_alpha_0_is_no_option_that_the_sampler_lacks(name: str) -> None:
    levels = GRIDS["uniform-time"](steps=4).levels(PROCESSES["rectified-flow"]())
    with pytest.raises(OptionError, match="log_snr_min on the grid, or take a solver in variable"):
        sample(EXACT, SAMPLERS[name](), levels, X)


def test_the_first_line_of_every_member_stands_alone() -> None:
    """`scoresde list` shows it by itself."""
    cut = [
        name
        for name in SAMPLERS.names()
        for line in [inspect.cleandoc(SAMPLERS[name].__doc__).split("\n")[0]]
        if line.endswith((" +", " -", " k")) or line.count("(") != line.count(")")
    ]
    assert cut == []
