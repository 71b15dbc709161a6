"""Laws that every sampler obeys, by its family's dict."""

import math

import pytest
import torch
from sampling_tools import DENSITY, VARIANTS, Recorded, grid

from scoresde.kernels import Noise
from scoresde.processes import PROCESSES
from scoresde.samplers import (
    DDIM,
    Ancestral,
    AnnealedLangevin,
    DPMSolverPP2M,
    GridSampler,
    Heun,
    sample,
    start,
)
from scoresde.samplers.grids import Explicit, Karras, UniformLogSNR
from scoresde.score import ExactScore
from scoresde.verify import named

EVERY_VARIANT = pytest.mark.parametrize("variant", VARIANTS)
EXACT = ExactScore(DENSITY)


class Watched:
    """Noise that keeps what it gave, by (step, purpose, id)."""

    def __init__(self, seed: int = 4):
        self.noise, self.given = Noise(seed), {}

    def __call__(self, step, purpose, ids, shape):
        z = self.noise(step, purpose, ids, shape)
        for i, id_ in enumerate(ids.tolist()):
            assert (step, purpose, id_) not in self.given, "one number used twice"
            self.given[step, purpose, id_] = z[i].clone()
        return z


@EVERY_VARIANT
def test_a_sample_does_not_depend_on_its_batch(variant: str) -> None:
    n = 64 if variant == "ddim(eta=1)" else 9
    levels, ids = grid(), torch.arange(n) * 2**31 + 5
    noise, x = Watched(), start(grid()[0], Noise(4), ids, (2,))
    whole = sample(EXACT, VARIANTS[variant], levels, x, noise, ids=ids).x
    assert whole.dtype == torch.float64
    for size in (1, 7):
        again, parts = Watched(), []
        for some in torch.arange(n).split(size):
            begin = start(levels[0], Noise(4), ids[some], (2,))
            assert torch.equal(begin, x[some])
            parts.append(sample(EXACT, VARIANTS[variant], levels, begin, again, ids=ids[some]).x)
        torch.testing.assert_close(torch.cat(parts), whole, rtol=0.0, atol=1e-12)
        assert again.given.keys() == noise.given.keys()
        for key, z in again.given.items():
            assert torch.equal(z, noise.given[key])
    if not VARIANTS[variant].batched:
        return  # one row at a time as it is
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    turned = sample(EXACT, VARIANTS[variant], levels, x[order], Noise(4), ids=ids[order]).x
    torch.testing.assert_close(turned, whole[order], rtol=0.0, atol=1e-12)


@EVERY_VARIANT
@pytest.mark.parametrize("final", ["clean", "min"])
def test_evaluations_are_counted_and_declared(variant: str, final: str) -> None:
    sampler, model, levels = VARIANTS[variant], Recorded(), grid(final)
    x = start(levels[0], Noise(0), torch.arange(3), (2,))
    nfe = sample(model, sampler, levels, x).nfe
    assert nfe.dtype == torch.int64
    assert int(nfe.sum()) == sum(model.batches)
    if isinstance(sampler, GridSampler):
        assert nfe.tolist() == [sampler.plan(levels).nfe] * 3
    if sampler.evaluations is not None:
        spent = set(nfe.tolist())
        if getattr(sampler, "start", "") == "single-step":  # dearer until it has a past
            assert min(spent) > 6 * sampler.evaluations
        elif final == "clean":  # where a member's last step may be of fewer stages, or of one
            fewest = 5 * sampler.evaluations + 1
            assert spent <= set(range(fewest, 6 * sampler.evaluations + 1)), spent
        else:
            assert spent == {6 * sampler.evaluations}


@EVERY_VARIANT
@pytest.mark.parametrize("final", ["clean", "min"])
def test_no_noise_is_drawn_that_has_no_weight(variant: str, final: str) -> None:
    sampler, noise, levels = VARIANTS[variant], Watched(), grid(final)
    x = start(levels[0], Noise(0), torch.arange(1), (2,))
    sample(EXACT, sampler, levels, x, noise)
    draws = len(noise.given)
    assert (draws > 0) == sampler.stochastic
    last = final == "clean"
    expected = {
        "ancestral": 6 - last, "ancestral(variance=forward)": 6 - last, "ddim(eta=1)": 6 - last,
        "euler-maruyama": 6 - last, "heun(churn=20)": 6, "annealed-langevin": 5 * (6 + (not last)),
    }  # fmt: skip
    if variant in expected:
        assert draws == expected[variant]
    elif isinstance(sampler, GridSampler):
        assert draws == sampler.plan(levels).draws


@pytest.mark.slow
@pytest.mark.parametrize(  # the flow is held to DOP853, annealed Langevin to its own limit
    "variant", [v for v in VARIANTS if not v.startswith(("probability", "annealed"))]
)
def test_the_last_level_has_the_targets_law_on_a_fine_grid(variant: str) -> None:
    """Mean and covariance of 3,000 samples against the density's, where the flow is fine."""
    n, ids = 3000, torch.arange(3000)
    levels = UniformLogSNR(steps=100).levels(PROCESSES["vp-linear"]())
    x = sample(EXACT, VARIANTS[variant], levels, start(levels[0], Noise(1), ids, (2,)), Noise(1)).x
    means, variances = DENSITY.means, DENSITY.variances
    mean = means.mean(0)
    spread = (means - mean).T @ (means - mean) / 3 + variances.mean() * torch.eye(2)
    got = torch.cov(x.T)
    # 4 standard errors; a bias of 0.02 is left to the step of the first-order methods
    assert bool(((x.mean(0) - mean).abs() < 4 * (spread.diag() / n).sqrt() + 0.02).all())
    assert float((got - spread).abs().max()) < 4 * math.sqrt(2 / n) + 0.03
    nearest = torch.cdist(x, means).argmin(1).bincount(minlength=3) / n
    assert float((nearest - 1 / 3).abs().max()) < 4 * math.sqrt(2 / 9 / n) + 0.015


@pytest.mark.parametrize("sampler", [
    Ancestral(), DDIM(), DDIM(eta=1.0), DPMSolverPP2M(), named("torchdiffeq(method=rk4)"),
])  # fmt: skip
@pytest.mark.parametrize("name", ["rectified-flow", "vp-cosine"])
def test_the_others_start_at_pure_noise(sampler, name: str) -> None:
    levels = PROCESSES[name]().levels([1.0, 0.999, 0.5, 0.1])
    near = PROCESSES[name]().levels([1.0 - 1e-9, 0.999, 0.5, 0.1])
    x = start(levels[0], Noise(0), torch.arange(4), (2,))
    # 2M's second-order weight falls with the first h, that is as 1/log(1/alpha)
    atol = 1e-3 if isinstance(sampler, DPMSolverPP2M) else 1e-6
    torch.testing.assert_close(
        sample(EXACT, sampler, levels, x).x, sample(EXACT, sampler, near, x).x, rtol=0.0, atol=atol
    )


def test_every_draw_of_a_long_correction_has_its_own_finite_number() -> None:
    """A count that ran out of the key's 32 bits would leak into others, up to NaN normals."""
    levels = Explicit(noise_ratios=(0.5, 0.4), final="min").levels(PROCESSES["ve"]())
    noise = Watched()
    sample(EXACT, AnnealedLangevin(corrections=300), levels, torch.zeros(1, 2).double(), noise)
    numbers = torch.stack(list(noise.given.values())).ravel()
    assert len(numbers.unique()) == len(numbers) == 1200


def test_churn_at_most_root_two_less_one() -> None:
    levels = Karras(steps=4).levels(PROCESSES["edm"]())
    ups = [m for m in Heun(churn=100.0).moves(levels) if m.kind == "noise"]
    assert len(ups) == 4
    for move in ups:
        assert move.target.sigma == pytest.approx(move.source.sigma * math.sqrt(2), rel=1e-15)


@pytest.mark.slow
def test_annealed_langevin_corrects_a_last_level_with_noise() -> None:
    """Without it the states at s keep the noise of t, here 9 times too much variance."""
    levels = Explicit(noise_ratios=(3.0, 1.0), final="min").levels(PROCESSES["ve"]())
    n, ids = 4000, torch.arange(4000)
    begin = DENSITY.sample(ids) + 3.0 * Noise(5)(0, 0, ids, (2,))
    sampler = AnnealedLangevin(step_size=0.02, corrections=250)
    x = sample(EXACT, sampler, levels, begin, Noise(2)).x
    spread = torch.cov(DENSITY.sample(torch.arange(200_000)).T) + torch.eye(2)
    assert float((torch.cov(x.T) / spread.diag().mean() - spread / spread.diag().mean())
                 .abs().max()) < 4 * math.sqrt(2 / n) + 0.02  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@EVERY_VARIANT
def test_the_states_keep_their_dtype(variant: str, dtype) -> None:
    levels = grid()
    x = start(levels[0], Noise(0), torch.arange(4), (2,))
    result = sample(EXACT, VARIANTS[variant], levels, x.to(dtype), trajectory=True)
    assert result.x.dtype == result.trajectory.dtype == dtype
    exact = sample(EXACT, VARIANTS[variant], levels, x, trajectory=True).x
    tolerance = 1e-13 if dtype == torch.float64 else 2e-4
    assert float((result.x.double() - exact).abs().max()) < tolerance
    assert torch.equal(result.trajectory[:, -1], result.x)


@EVERY_VARIANT
def test_a_start_is_left_alone(variant: str) -> None:
    x = start(grid()[0], Noise(0), torch.arange(4), (2,))
    before = x.clone()
    sample(EXACT, VARIANTS[variant], grid(), x)
    assert torch.equal(x, before)
