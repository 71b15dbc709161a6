"""The law of steps of one's own: our flow keeps it, and one step size for all breaks it."""

from dataclasses import dataclass, replace

from scoresde.samplers import ProbabilityFlow, Sampler
from scoresde.verify.flow import tightened
from scoresde.verify.per_sample import AllAsOne, at_tolerance, per_sample_checks


@dataclass(frozen=True, kw_only=True)
class OneStepForAll(Sampler):
    """The flow with one step size for the whole batch, as ODE libraries have it."""

    rtol: float = 1e-5
    atol: float = 1e-5

    evaluations = None

    def run(self, model, levels, x, noise, ids, trajectory=False):
        flow = ProbabilityFlow(rtol=self.rtol, atol=self.atol)
        found = flow.run(AllAsOne(model, len(x)), levels, x[None], noise, ids[:1])
        return replace(found, x=found.x[0], nfe=found.nfe.expand(len(x)).clone(), facts={})


def test_the_flow_keeps_it() -> None:
    checks = per_sample_checks("probability-flow", ProbabilityFlow())
    assert [check.passed for check in checks] == [True] * 3, checks


def test_one_step_for_all_depends_on_its_batch() -> None:
    batches, _, evaluations = per_sample_checks("one", OneStepForAll())
    assert not batches.passed
    assert batches.measured > 1e-7
    assert evaluations.measured == 1.0


def test_tolerances_are_set_where_there_are_any() -> None:
    assert at_tolerance(ProbabilityFlow(), 1e-3).atol == 1e-3
    assert tightened(ProbabilityFlow()) == (ProbabilityFlow(), "")
    coarse, words = tightened(ProbabilityFlow(rtol=0.1))
    assert coarse.rtol == coarse.atol == 1e-7
    assert "1e-07" in words
