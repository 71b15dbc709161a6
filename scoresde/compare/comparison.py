"""Candidates held against a reference by every metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from scoresde.compare.intervals import (
    Estimate,
    check_options,
    exponentials,
    interval,
    weights_from,
)
from scoresde.compare.metrics import METRICS, Metric
from scoresde.compare.nearest import nearest_distance_ratio
from scoresde.compare.paired import why_unpaired
from scoresde.compare.sample_set import SampleSet
from scoresde.compare.self_distance import Floor, floors
from scoresde.errors import DataError, OptionError

REFERENCE_STREAM, CANDIDATE_STREAM = 0, 1
NEAREST = "nearest-ratio"


@dataclass(frozen=True)
class Entry:
    """One metric of one candidate; `blank` says why there is no estimate."""

    estimate: Estimate | None
    floor: Floor | None = None
    blank: str = ""

    @property
    def at_floor(self) -> bool:
        """Whether the interval reaches the floor's: no farther than a second reference may lie.

        Samples that share their starts with the reference may lie far below the floor, which is
        that of independent samples.
        """
        if self.estimate is None or self.floor is None:
            return False
        lowest = self.estimate.value if self.estimate.lo is None else self.estimate.lo
        floor = self.floor.estimate
        return lowest <= (floor.value if floor.hi is None else floor.hi)


@dataclass(frozen=True)
class Row:
    """One candidate; `entries` by the name of the metric."""

    name: str
    sampler: str
    rows: int
    rows_total: int
    nfe: float | None
    entries: dict[str, Entry]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Rows in the order of the candidates; `labels` and `units` by the name of the metric."""

    reference: str
    reference_rows: int
    labels: dict[str, str]
    units: dict[str, str]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    seed: int
    resamples: int
    confidence: float

    def to_dict(self) -> dict[str, object]:
        """All of it in JSON's types."""
        plain = asdict(self)
        plain["rows"] = [{**row, "notes": list(row["notes"])} for row in plain["rows"]]
        for row in plain["rows"]:
            for floor in (entry["floor"] for entry in row["entries"].values()):
                if floor:
                    floor["sizes"] = list(floor["sizes"])
        plain["notes"] = list(self.notes)
        return plain

    def errors(self, metric: str = "paired-rms") -> list[dict[str, object]]:
        """[{sampler, nfe, value, lo, hi}] of the rows that have this metric, for a picture."""
        return [
            {"sampler": row.sampler, "nfe": row.nfe, **asdict(row.entries[metric].estimate)}
            for row in self.rows
            if metric in row.entries and row.entries[metric].estimate and row.nfe
        ]


@dataclass(frozen=True)
class _Bench:
    """The reference, set up once for all candidates; e: its (resamples, rows) exponentials."""

    reference: SampleSet
    metrics: dict[str, Metric]
    sides: dict[str, object]
    e: np.ndarray
    seed: int
    resamples: int
    confidence: float

    def entry(self, name: str, candidate: SampleSet) -> Entry:
        metric = self.metrics[name]
        own, theirs = self.reference.shared_with(candidate)
        if metric.paired:
            blank = why_unpaired(self.reference, candidate, len(own))
            if blank:
                return Entry(None, blank=blank)
            weights = weights_from(self.e[:, own])
            a = metric.side(self.reference.rows[own], weights)
            b = metric.side(candidate.rows[theirs], weights)
            own = theirs = np.arange(len(own))
        else:
            e = exponentials(self.seed, CANDIDATE_STREAM, self.resamples, len(candidate))
            e[:, theirs] = self.e[:, own]  # what began at one noise is resampled as one
            a, b = self.sides[name], metric.side(candidate.rows, weights_from(e))
        distances = metric.between(a, b, (own, theirs))
        return Entry(interval(distances, self.confidence, signed=metric.signed))


def compare(
    reference: object,
    candidates: Mapping[str, object],
    *,
    second: object | None = None,
    train: object | None = None,
    metrics: str | Sequence[str | Metric] | Mapping[str, Metric] | None = None,
    seed: int = 0,
    resamples: int = 200,
    confidence: float = 0.95,
) -> Comparison:
    """Every metric of every candidate against the reference, with intervals and floors.

    reference and candidates (by name): dumps, `SampleSet`s or arrays (n, *event); sizes may
    differ. second: samples of the reference's law, independent of it, for the floor; without it
    the floor is taken between parts of the reference (see `self_distance`). train: training data;
    adds the nearest-training-distance ratio with the reference as held-out data. metrics: names,
    instances, or instances by name; all of `METRICS` by default.

    Depends on the seed and on the samples, not on the order of rows or on the other candidates.
    Raises DataError for samples that cannot be compared, UnknownNameError for a metric that does
    not exist, OptionError for resamples, confidence or a list of candidates that will not do.
    """
    check_options(resamples, confidence)
    if not candidates:
        raise OptionError("nothing to compare: give at least one candidate")
    chosen = _chosen(metrics)
    reference = SampleSet.of("reference", reference)
    sets = [SampleSet.of(str(name), source) for name, source in candidates.items()]
    extra = {"second": second, "train": train}
    extra = {k: SampleSet.of(k, source) for k, source in extra.items() if source is not None}
    _check_shapes(reference, (*sets, *extra.values()))
    e = exponentials(seed, REFERENCE_STREAM, resamples, len(reference))
    weights = weights_from(e)
    sides = {n: m.side(reference.rows, weights) for n, m in chosen.items() if not m.paired}
    bench = _Bench(reference, chosen, sides, e, seed, resamples, confidence)
    by_size = {
        size: floors(
            {n: chosen[n] for n in sides}, reference, sides, extra.get("second"), size,
            seed=seed, resamples=resamples, confidence=confidence,
        )
        for size in sorted({len(candidate) for candidate in sets})
    }  # fmt: skip
    rows = tuple(_row(bench, candidate, by_size[len(candidate)], extra) for candidate in sets)
    labels = {name: metric.label for name, metric in chosen.items()}
    units = {name: metric.unit for name, metric in chosen.items()}
    if "train" in extra:
        labels[NEAREST], units[NEAREST] = "nearest ratio", "1"
    return Comparison(
        reference=reference.name,
        reference_rows=len(reference),
        labels=labels,
        units=units,
        rows=rows,
        notes=_unfinished(reference),
        seed=seed,
        resamples=resamples,
        confidence=confidence,
    )


def _check_shapes(reference: SampleSet, others: Sequence[SampleSet]) -> None:
    for other in others:
        if other.event_shape != reference.event_shape:
            raise DataError(
                f"a sample of {other.name!r} has shape {other.event_shape}, one of the reference "
                f"{reference.name!r} {reference.event_shape}; compare samples of one shape"
            )


def _row(
    bench: _Bench, candidate: SampleSet, floor: dict[str, Floor], extra: dict[str, SampleSet]
) -> Row:
    entries = {}
    for name in bench.metrics:
        entry = bench.entry(name, candidate)
        entries[name] = Entry(entry.estimate, floor.get(name), entry.blank)
    if "train" in extra:
        ratio = nearest_distance_ratio(
            candidate, extra["train"], bench.reference,
            seed=bench.seed, resamples=bench.resamples, confidence=bench.confidence,
        )  # fmt: skip
        entries[NEAREST] = Entry(ratio)
    notes = _unfinished(candidate)
    scaling = [sample.attributes.get("scaling") for sample in (bench.reference, candidate)]
    if None not in scaling and scaling[0] != scaling[1]:
        notes += (f"{candidate.name}: scaling {scaling[1]}, the reference's is {scaling[0]}",)
    return Row(
        name=candidate.name,
        sampler=candidate.sampler,
        rows=len(candidate),
        rows_total=candidate.rows_total,
        nfe=candidate.nfe,
        entries=entries,
        notes=notes,
    )


def _unfinished(sample: SampleSet) -> tuple[str, ...]:
    if len(sample) >= sample.rows_total:
        return ()
    return (f"{sample.name}: unfinished dump, {len(sample)} of {sample.rows_total} rows used",)


def _chosen(metrics: Sequence[str | Metric] | Mapping[str, Metric] | None) -> dict[str, Metric]:
    if isinstance(metrics, Mapping):
        return dict(metrics)
    metrics = [metrics] if isinstance(metrics, str | Metric) else metrics
    chosen = {}
    for metric in METRICS.names() if metrics is None else metrics:
        instance = METRICS[metric]() if isinstance(metric, str) else metric
        chosen[METRICS.name_of(instance)] = instance
    return chosen
