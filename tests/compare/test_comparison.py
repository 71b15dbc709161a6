"""Comparisons: independent of row order and of neighbours, blank with a reason, clear refusals."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from made_dump import dump

from scoresde.compare import METRICS, SampleSet, compare
from scoresde.compare.energy import EnergyDistance
from scoresde.compare.frechet import GaussianFrechet
from scoresde.compare.self_distance import floors
from scoresde.compare.sliced import SlicedWasserstein
from scoresde.errors import DataError, OptionError, UnknownNameError

FEW = 40


def permuted(source, order):
    columns = {k: getattr(source, k)[order] for k in ("samples", "sample_id", "nfe")}
    return SimpleNamespace(**{**vars(source), **columns})


@pytest.fixture
def rng():
    return np.random.default_rng(21)


@pytest.fixture
def reference(rng):
    return dump(rng.normal(size=(40, 1, 2, 3)), sampler="fine", start="a")


@pytest.fixture
def near(rng, reference):
    noise = 0.1 * rng.normal(size=reference.samples.shape)
    return dump(reference.samples + noise, sampler={"name": "ddim"}, start="a")


def test_values_are_those_of_the_metrics_and_intervals_hold_them(reference, near):
    row = compare(reference, {"near": near}, resamples=FEW).rows[0]
    x, y = reference.samples, near.samples
    for name in ("sliced-w1", "frechet", "paired-rms"):
        expected = METRICS[name]()(x, y)
        estimate = row.entries[name].estimate
        assert estimate.value == pytest.approx(expected, rel=1e-12)
        assert estimate.lo < estimate.value < estimate.hi
    rms = np.sqrt(np.square(x - y).mean())
    assert row.entries["paired-rms"].estimate.value == pytest.approx(rms, rel=1e-12)
    assert (row.sampler, row.nfe, row.rows) == ("ddim", 10.0, 40)


def test_depends_neither_on_row_order_nor_on_other_candidates(rng, reference, near):
    far = rng.normal(size=(31, 1, 2, 3)) + 1.0
    whole = compare(reference, {"near": near, "far": far}, resamples=FEW)
    shuffled = compare(
        permuted(reference, rng.permutation(40)),
        {"far": far[rng.permutation(31)], "near": permuted(near, rng.permutation(40))},
        resamples=FEW,
    )
    assert whole.rows == shuffled.rows[::-1]
    assert compare(reference, {"far": far}, resamples=FEW).rows[0] == whole.rows[1]
    other = compare(reference, {"near": near, "far": far}, resamples=FEW, seed=1)
    for name, entry in other.rows[1].entries.items():
        if entry.estimate:
            assert entry.estimate.value == whole.rows[1].entries[name].estimate.value
            assert entry.estimate.lo != whole.rows[1].entries[name].estimate.lo


def test_identical_samples_are_at_distance_zero(reference):
    row = compare(reference, {"same": reference}, resamples=FEW).rows[0]
    for entry in row.entries.values():
        assert abs(entry.estimate.value) < 1e-9
        assert entry.estimate.hi < 1e-9


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (dict(attributes=dict(stochastic=True, start="a")), "stochastic"),
        (dict(attributes=dict(start="b")), "another start"),
        (dict(attributes={}), "another start"),
        (dict(sample_id=np.arange(100, 140)), "no common ids"),
        (dict(sample_id=np.arange(39, 79)), "only one common id"),
        (dict(sample_id=None), "no sample ids"),
    ],
)
def test_paired_error_is_blank_with_its_reason(reference, near, change, reason):
    source = SimpleNamespace(**{**vars(near), **change})
    entry = compare(reference, {"c": source}, metrics=["paired-rms"], resamples=FEW)
    entry = entry.rows[0].entries["paired-rms"]
    assert (entry.estimate, entry.blank) == (None, reason)


def test_a_stochastic_reference_pairs_with_nothing(reference, near):
    reference.attributes["stochastic"] = True
    entry = compare(reference, {"c": near}, resamples=FEW).rows[0].entries["paired-rms"]
    assert entry.blank == "the reference: stochastic"


def test_unfinished_dump_is_used_as_far_as_it_goes(reference, near):
    kept = np.array([3, 5, 8, 13, 21, 34])
    part = permuted(near, kept)
    part.rows_total = 40
    row = compare(reference, {"part": part}, resamples=FEW).rows[0]
    expected = np.sqrt(np.square(reference.samples[kept] - near.samples[kept]).mean())
    assert row.entries["paired-rms"].estimate.value == pytest.approx(expected, rel=1e-12)
    assert row.notes == ("part: unfinished dump, 6 of 40 rows used",)


def test_another_scaling_is_noted(reference, near):
    reference.attributes["scaling"], near.attributes["scaling"] = [0, 16], [0, 255]
    row = compare(reference, {"near": near}, resamples=FEW).rows[0]
    assert row.notes == ("near: scaling [0, 255], the reference's is [0, 16]",)


def test_floor_of_halves_and_of_a_second_reference(rng):
    reference, second = rng.normal(size=(100, 3)), rng.normal(size=(70, 3))
    candidates = {"big": rng.normal(size=(90, 3)), "small": rng.normal(size=(20, 3))}
    metrics = {"sw": SlicedWasserstein(projections=8), "energy": EnergyDistance()}
    options = dict(metrics=metrics, resamples=FEW)
    halves = [row.entries["sw"].floor for row in compare(reference, candidates, **options).rows]
    assert [floor.sizes for floor in halves] == [(50, 50), (20, 80)]
    again = compare(reference, candidates, second=second, **options).rows
    assert [row.entries["sw"].floor.sizes for row in again] == [(70, 100), (20, 100)]
    floor = again[0].entries["sw"].floor.estimate
    assert floor.value == pytest.approx(metrics["sw"](reference, second), rel=1e-12)
    assert floor.lo < floor.value < floor.hi
    assert halves[1].estimate.value > halves[0].estimate.value
    energy = compare(reference, candidates, **options).rows[0].entries["energy"].floor.estimate
    assert energy.lo < 0.0 < energy.hi


def test_floor_takes_a_random_part_of_the_second_reference():
    signs = np.random.default_rng(9).choice([-1.0, 1.0], size=(3, 300, 1))
    reference, second, candidate = signs
    metrics = {"sw": SlicedWasserstein()}
    candidates = {"c": candidate[:60]}
    row = compare(reference, candidates, second=second, metrics=metrics, resamples=FEW).rows[0]
    # Rows of one sign are at W1 = 1, a random 60 at about 0.1: rows without ids are held sorted.
    assert row.entries["sw"].floor.estimate.value < 0.4


@pytest.mark.parametrize(
    ("name", "metric", "factor"),
    [
        ("sliced-w1", SlicedWasserstein(projections=4), 2.0**0.5),
        ("frechet", GaussianFrechet(), 2.0),
        ("energy-v", EnergyDistance(unbiased=False), 2.0),
    ],
)
@pytest.mark.slow
def test_floor_of_halves_overstates_by_the_stated_factor(name, metric, factor):
    rng, n = np.random.default_rng(31), 120
    pairs = rng.normal(size=(150, 2, n, 2))
    independent = np.array([metric(x, y) for x, y in pairs])
    halved = []
    for x, _ in pairs:
        sample = SampleSet.of("x", x)
        found = floors({name: metric}, sample, {}, None, n, seed=0, resamples=FEW, confidence=0.95)
        halved.append(found[name].estimate.value)
    error = np.hypot(np.std(halved) / np.mean(halved), independent.std() / independent.mean())
    ratio = np.mean(halved) / independent.mean()
    assert ratio == pytest.approx(factor, rel=4.0 * error / 150**0.5)
    assert 4.0 * error / 150**0.5 < 0.25


def test_floor_tells_a_good_candidate_from_a_bad_one(rng):
    reference, second = rng.normal(size=(2, 150, 4))
    candidates = {"good": rng.normal(size=(150, 4)), "bad": rng.normal(size=(150, 4)) + 0.5}
    good, bad = compare(reference, candidates, second=second, resamples=FEW).rows
    for name in ("sliced-w1", "energy", "frechet"):
        assert good.entries[name].at_floor
        assert not bad.entries[name].at_floor


def test_no_interval_where_it_would_cost_too_much(rng):
    metrics = {"frechet": GaussianFrechet(interval_dim=4)}
    x, y = rng.normal(size=(2, 30, 5))
    entry = compare(x, {"y": y}, metrics=metrics, second=y, resamples=FEW).rows[0]
    estimate = entry.entries["frechet"].estimate
    assert (estimate.lo, estimate.hi) == (None, None)
    assert estimate.value == pytest.approx(GaussianFrechet()(x, y), rel=1e-12)


def test_json_and_error_lines(reference, near):
    comparison = compare(reference, {"near": near, "plain": near.samples}, resamples=FEW)
    plain = comparison.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["rows"][0]["entries"]["sliced-w1"]["floor"]["sizes"] == [20, 20]
    (line,) = comparison.errors()
    assert (line["sampler"], line["nfe"]) == ("ddim", 10.0)
    assert line["lo"] < line["value"] < line["hi"]


GOOD = np.arange(12.0).reshape(6, 2)
BROKEN = GOOD.copy()
BROKEN[4, 1] = np.nan


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (BROKEN, r"1 of 6 samples of 'c' are not finite .* \(first: row 4\)"),
        (dump(BROKEN, ids=np.arange(10, 16)), "first: sample id 14"),
        (GOOD * 1e200, "beyond 1e"),
        (GOOD[:0], "at least 2 rows"),
        (GOOD[:1], "at least 2 rows"),
        (GOOD[:, :0], "at least 1 number"),
        (GOOD[:, 0], r"needed is \(n, \*event\)"),
        (GOOD.astype(str), "real numbers"),
        (GOOD + 1j, "complex128; real numbers"),
        (GOOD.reshape(6, 2, 1), r"'c' has shape \(2, 1\), one of the reference .* \(2,\)"),
        (dump(GOOD, ids=np.array([0, 1, 2, 2, 4, 5])), "id 2 of 'c' appears 2 times"),
        (dump(GOOD, ids=np.arange(5)), "each of the 6 samples"),
    ],
)
def test_unusable_samples_are_refused(bad, words):
    with pytest.raises(DataError, match=words):
        compare(GOOD, {"c": bad})


def test_slips_in_the_call_are_refused():
    with pytest.raises(OptionError, match="at least one candidate"):
        compare(GOOD, {})
    with pytest.raises(UnknownNameError, match="Did you mean 'energy'"):
        compare(GOOD, {"c": GOOD}, metrics=["enrgy"])
    with pytest.raises(UnknownNameError, match="unknown metric 'w2'"):
        compare(GOOD, {"c": GOOD}, metrics="w2")
    with pytest.raises(OptionError, match="needs 40"):
        compare(GOOD, {"c": GOOD}, resamples=10)


def test_reads_what_the_dump_reader_returns(tmp_path):
    io = pytest.importorskip("scoresde.io.dump")
    path = tmp_path / "a.h5"
    attributes = {"identity": {"sampler": "heun", "stochastic": False}, "provenance": {}}
    with io.create(path, attributes=attributes, rows=6, event_shape=(2,), first_id=3) as writer:
        writer.write(0, samples=GOOD[:4].astype(np.float32), nfe=18)
    sample = SampleSet.of("a", io.read(path))
    assert (len(sample), sample.rows_total, sample.nfe, sample.sampler) == (4, 6, 18.0, "heun")
    assert sample.sample_id.tolist() == [3, 4, 5, 6]
    assert np.array_equal(sample.rows, GOOD[:4])
