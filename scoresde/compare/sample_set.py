"""A named set of samples, checked once, its rows in an order of their own, not the file's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scoresde.errors import DataError

_LARGEST = 1e100  # squares of larger numbers, summed, may overflow


@dataclass(frozen=True, eq=False)
class SampleSet:
    """Samples as rows, and what their source says of them.

    rows: (n, d) float64, ordered by sample id, or by content where there are no ids; so no figure
    depends on the order in which a file keeps its rows. sample_id: (n,), rising, or None.
    nfe: mean number of model evaluations a sample, or None.
    """

    name: str
    rows: np.ndarray
    event_shape: tuple[int, ...]
    sample_id: np.ndarray | None
    nfe: float | None
    attributes: Mapping[str, object]
    rows_total: int

    @classmethod
    def of(cls, name: str, source: object) -> SampleSet:
        """From an array (n, *event), or from a dump (an object with samples, sample_id, nfe, …).

        Raises DataError for fewer than 2 rows, rows without numbers, values that are not real or
        not finite, and sample ids that repeat or do not fit the rows.
        """
        if isinstance(source, cls):
            return source
        samples = _checked(name, getattr(source, "samples", source))
        count = len(samples)
        ids = _checked_ids(name, getattr(source, "sample_id", None), count)
        rows = samples.reshape(count, -1).astype(np.float64)
        order = _by_content(rows) if ids is None else np.argsort(ids, kind="stable")
        _check_finite(name, rows, ids)
        nfe = getattr(source, "nfe", None)
        return cls(
            name=name,
            rows=rows[order],
            event_shape=samples.shape[1:],
            sample_id=None if ids is None else ids[order],
            nfe=None if nfe is None else float(np.mean(nfe)),
            attributes=dict(getattr(source, "attributes", None) or {}),
            rows_total=int(getattr(source, "rows_total", count)),
        )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def stochastic(self) -> bool:
        """Whether the sampler drew noise of its own; False where the source does not say."""
        return bool(self.attributes.get("stochastic", False))

    @property
    def sampler(self) -> str:
        """The sampler's name as the source gives it, else the name of this set."""
        sampler = self.attributes.get("sampler", self.name)
        if isinstance(sampler, Mapping):
            sampler = sampler.get("name", self.name)
        return str(sampler)

    def shared_with(self, other: SampleSet) -> tuple[np.ndarray, np.ndarray]:
        """Places (in self, in other) of the samples that began at the same noise.

        These bear one id in two sets whose attribute `start` is the same (or absent in both).
        """
        nothing = np.empty(0, dtype=np.intp)
        if self.sample_id is None or other.sample_id is None or not self.same_start(other):
            return nothing, nothing
        _, mine, theirs = np.intersect1d(
            self.sample_id, other.sample_id, assume_unique=True, return_indices=True
        )
        return mine, theirs

    def same_start(self, other: SampleSet) -> bool:
        """Whether both name the same starting noise (or neither names any)."""
        return self.attributes.get("start") == other.attributes.get("start")


def _checked(name: str, samples: object) -> np.ndarray:
    samples = np.asarray(samples)
    if samples.dtype.kind not in "fiub":
        raise DataError(f"samples of {name!r} are {samples.dtype}; real numbers are needed")
    if samples.ndim < 2:
        raise DataError(
            f"samples of {name!r} have shape {samples.shape}; needed is (n, *event), "
            "for n single numbers (n, 1)"
        )
    if len(samples) < 2 or samples[0].size == 0:
        raise DataError(
            f"samples of {name!r} have shape {samples.shape}; a comparison needs at least 2 rows "
            "of at least 1 number (an unfinished dump is completed by --resume)"
        )
    return samples


def _checked_ids(name: str, ids: object, count: int) -> np.ndarray | None:
    if ids is None:
        return None
    ids = np.asarray(ids)
    if ids.shape != (count,) or ids.dtype.kind not in "iu":
        raise DataError(
            f"sample ids of {name!r} are {ids.dtype} of shape {ids.shape}; needed is one whole "
            f"number for each of the {count} samples"
        )
    known, counts = np.unique(ids, return_counts=True)
    if len(known) < count:
        raise DataError(
            f"sample id {known[counts > 1][0]} of {name!r} appears {counts.max()} times; "
            "ids must differ within a dump"
        )
    return ids


def _check_finite(name: str, rows: np.ndarray, ids: np.ndarray | None) -> None:
    # NaN fails every comparison, so that one test finds NaN, infinities and the absurdly large.
    bad = np.flatnonzero(~(np.abs(rows) <= _LARGEST).all(axis=1))
    if len(bad):
        where = f"row {bad[0]}" if ids is None else f"sample id {ids[bad[0]]}"
        raise DataError(
            f"{len(bad)} of {len(rows)} samples of {name!r} are not finite or beyond "
            f"{_LARGEST:g} (first: {where}); sample them again with more steps, or leave "
            f"{name!r} out"
        )


def _by_content(rows: np.ndarray) -> np.ndarray:
    """An order of rows (n, d) that depends on their bytes only."""
    width = rows.dtype.itemsize * rows.shape[1]
    return np.argsort(np.ascontiguousarray(rows).view(np.dtype((np.void, width)))[:, 0])
