"""The loop and its noise sources: many draws at once, paths, and what is refused."""

import math
from itertools import pairwise

import pytest
import torch
from sampling_tools import VARIANTS, Recorded, grid

from scoresde.errors import DataError
from scoresde.kernels import BrownianNoise, Noise, lincomb
from scoresde.processes import PROCESSES
from scoresde.samplers import DDIM, Ancestral, GridSampler, Heun, sample
from scoresde.samplers.base import planned
from scoresde.samplers.grids import UniformLogSNR

GRID_SAMPLERS = {v: s for v, s in VARIANTS.items() if isinstance(s, GridSampler)}
STOCHASTIC = [v for v, s in GRID_SAMPLERS.items() if s.stochastic]
X = torch.randn(5, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


class Single:
    """A source without `many`: every draw by itself."""

    def __init__(self, source):
        self.source = source

    def __call__(self, step, purpose, ids, shape):
        return self.source(step, purpose, ids, shape)


class SinglePath(Single):
    def increment(self, start, end, ids, shape):
        return self.source.increment(start, end, ids, shape)


@pytest.mark.parametrize("variant", STOCHASTIC)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_made_together_change_no_bit(variant: str, dtype) -> None:
    sampler, levels, x = VARIANTS[variant], grid(), X.to(dtype)
    together = sample(Recorded(), sampler, levels, x, Noise(1)).x
    assert torch.equal(together, sample(Recorded(), sampler, levels, x, Single(Noise(1))).x)
    path = sample(Recorded(), sampler, levels, x, BrownianNoise(1)).x
    alone = sample(Recorded(), sampler, levels, x, SinglePath(BrownianNoise(1))).x
    assert torch.equal(path, alone)


def test_a_sampler_on_a_path_approaches_its_limit_pathwise() -> None:
    """With one Brownian path at every step count the end points converge, at strong order 1."""
    process, model, noise = PROCESSES["vp-linear"](), Recorded(), BrownianNoise(7)
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ends = []
    for steps in (20, 40, 80, 160):
        grid_ = UniformLogSNR(steps=steps, final="min", log_snr_min=-8.0, log_snr_max=4.0)
        ends.append(sample(model, Ancestral(), grid_.levels(process), x, noise).x)
    gaps = [float((a - b).square().mean().sqrt()) for a, b in pairwise(ends)]
    for coarse, fine in pairwise(gaps):
        assert fine < 0.7 * coarse  # independent noise leaves gaps of order 1 that do not fall


class Wrong:
    def __init__(self, shape, count):
        self.shape, self.count = shape, count

    def many(self, keys, ids, shape, dtype):
        return (torch.zeros(self.shape, dtype=dtype) for _ in range(self.count))


def test_a_source_that_gives_the_wrong_number_or_shape_is_named() -> None:
    with pytest.raises(DataError, match=r"gives \(5, 3\) for states \(5, 2\)"):
        sample(Recorded(), Ancestral(), grid(), X, Wrong((5, 3), 9))
    with pytest.raises(DataError, match="gives 2 normals where 5 are asked for"):
        sample(Recorded(), Ancestral(), grid(), X, Wrong((5, 2), 2))


def test_a_remembered_plan_is_its_grids_own() -> None:
    """The same plan for the same levels and for equal ones; another for other ones."""
    levels, again, other = tuple(grid()), tuple(grid()), tuple(grid(steps=7))
    plan = planned(DDIM(), levels)
    assert planned(DDIM(), levels) is plan
    assert planned(DDIM(), again) is plan
    assert planned(DDIM(), other) is not plan
    assert planned(DDIM(eta=0.5), levels) is not plan
    changed = [*grid()]
    before = sample(Recorded(), DDIM(), changed, X).x
    changed[3:4] = []  # a list that changes is another grid
    assert sample(Recorded(), DDIM(), changed, X).nfe[0] == 5
    assert torch.equal(sample(Recorded(), DDIM(), grid(), X).x, before)


def test_what_the_model_holds_is_never_written_into() -> None:
    """Neither its states nor its outputs, whatever the loop forgets or reuses."""

    class Holding(Recorded):
        def __init__(self):
            super().__init__()
            self.held = []

        def predict(self, x, level, kind):
            out = super().predict(x, level, kind)
            self.held += [(x, x.clone()), (out, out.clone())]
            return out

    for sampler in GRID_SAMPLERS.values():
        model = Holding()
        sample(model, sampler, grid(), X, Noise(0))
        assert all(torch.equal(now, then) for now, then in model.held)


class Wasteful(GridSampler):
    """Keeps a noisy state that no move reads."""

    def step(self, tape, x, t, s, memory):
        tape.keep(x + tape.apply(torch.tanh, tape.keep(2.0 * x)) + tape.normal())
        return s.sigma / t.sigma * x + 0.5 * tape.evaluate(x, t, "x0"), None


def test_what_nothing_reads_is_not_computed() -> None:
    levels = grid(final="min")
    plan = Wasteful().plan(levels)
    assert plan.draws == 0
    assert [len(p.instructions) for p in plan.programs] == [2] * 6  # evaluate and combine
    assert plan.nfe == 6
    x = X
    for t, s in pairwise(levels):
        x = s.sigma / t.sigma * x + 0.5 * Recorded().predict(x, t, "x0")
    torch.testing.assert_close(sample(Recorded(), Wasteful(), levels, X).x, x, rtol=0, atol=1e-14)


def test_every_combination_goes_through_lincomb(monkeypatch) -> None:
    calls = []

    def counted(coefficients, tensors):
        calls.append(len(tensors))
        return lincomb(coefficients, tensors)

    monkeypatch.setattr("scoresde.samplers.execute.lincomb", counted)
    result = sample(Recorded(), Heun(), grid(), X)
    plan = planned(Heun(), tuple(grid()))
    combined = [i for p in plan.programs for i in p.instructions if hasattr(i, "coefficients")]
    assert calls == [len(i.sources) for i in combined]
    assert math.isfinite(float(result.x.sum()))
