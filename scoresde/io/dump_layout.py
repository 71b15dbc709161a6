"""Layout of a sample dump: its columns, one row a sample, with shapes, dtypes and fills."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from scoresde.errors import DumpError, OptionError

SCHEMA = "scoresde-dump"
SCHEMA_VERSION = 1
FACTS = "facts"
BOOKKEEPING = ("sample_id", "done")
OPTIONAL = ("label", "trajectory", "log_prob", "chain")
_RESERVED = {"samples", "nfe", *BOOKKEEPING, *OPTIONAL, FACTS}
_FACT_DTYPES = ("<f4", "<f8", "<i4", "<i8")


@dataclass(frozen=True)
class Column:
    """One dataset of a dump: `shape` and `dtype` of a row, and the `fill` of an unwritten one."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    fill: float

    @property
    def row_bytes(self) -> int:
        return np.dtype(self.dtype).itemsize * math.prod(self.shape)

    @property
    def keyword(self) -> str:
        """The name under which rows of this column are handed to a writer."""
        return self.name.removeprefix(FACTS + "/")

    def rows(self, values: object, count: int) -> np.ndarray:
        """`values` as `count` contiguous rows of this column; a scalar serves for all rows.

        Raises DumpError for another shape, for a dtype that would lose its meaning (floats into
        integers, strings) and for integers out of range.
        """
        given = np.asarray(values)
        wanted = (count, *self.shape)
        if given.ndim == 0 and not self.shape:
            given = np.broadcast_to(given, wanted)
        if given.shape != wanted:
            raise DumpError(f"{self.keyword} has shape {given.shape}, the dump expects {wanted}")
        target = np.dtype(self.dtype)
        if given.dtype.kind not in "biuf" or not np.can_cast(given.dtype, target, "same_kind"):
            raise DumpError(f"{self.keyword} has dtype {given.dtype}, the dump holds {target}")
        with np.errstate(over="ignore"):  # a float that overflows becomes inf, checked by use
            rows = np.ascontiguousarray(given, dtype=target)
        if target.kind == "i" and not np.array_equal(rows, given):
            raise DumpError(f"{self.keyword} holds integers out of the range of {target}")
        return rows


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a dump has room for.

    rows: number of samples; `first_id`: id of the first (ids are consecutive); event_shape: shape
    of one sample; dtype: 'float32' or 'float64' of samples, trajectory and chain; trajectory:
    number of states kept along a sample's path; chain: number of draws kept of a sample's chain;
    log_prob, label: whether these are stored; facts: further per-sample scalars, name -> dtype
    (float32, float64, int32, int64).

    Raises OptionError for values out of range.
    """

    rows: int
    event_shape: tuple[int, ...]
    dtype: str = "float32"
    first_id: int = 0
    trajectory: int | None = None
    chain: int | None = None
    log_prob: bool = False
    label: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "event_shape", tuple(int(size) for size in self.event_shape))
        object.__setattr__(self, "dtype", _dtype_name(self.dtype, "dtype", ("<f4", "<f8")))
        given = (self.facts or {}).items()
        facts = {name: _dtype_name(dtype, name, _FACT_DTYPES) for name, dtype in given}
        object.__setattr__(self, "facts", facts)
        _at_least("rows", self.rows, 1)
        _at_least("first_id", self.first_id, 0)
        if self.first_id + self.rows > 2**63:
            raise OptionError(f"sample ids end at 2^63 - 1, first_id={self.first_id} is too large")
        for size in self.event_shape:
            _at_least("event_shape", size, 1)
        for name in ("trajectory", "chain"):
            if getattr(self, name) is not None:
                _at_least(name, getattr(self, name), 1)
        for name in facts:
            if name in _RESERVED or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise OptionError(f"a fact cannot be named {name!r}: use a free plain name")

    def columns(self) -> tuple[Column, ...]:
        """All datasets in the order in which they lie in the file."""
        event, real = self.event_shape, np.dtype(self.dtype).newbyteorder("<").str
        columns = [
            Column("samples", event, real, math.nan),
            Column("sample_id", (), "<i8", -1),
            Column("nfe", (), "<i8", -1),
            Column("done", (), "|u1", 0),
        ]
        if self.label:
            columns.append(Column("label", (), "<i8", -1))
        if self.trajectory is not None:
            columns.append(Column("trajectory", (self.trajectory, *event), real, math.nan))
        if self.log_prob:
            columns.append(Column("log_prob", (), "<f8", math.nan))
        if self.chain is not None:
            columns.append(Column("chain", (self.chain, *event), real, math.nan))
        for name, dtype in sorted(self.facts.items()):
            kind = np.dtype(dtype).newbyteorder("<")
            fill = math.nan if kind.kind == "f" else -1
            columns.append(Column(f"{FACTS}/{name}", (), kind.str, fill))
        return tuple(columns)


def _at_least(name: str, value: int, least: int) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise OptionError(f"{name} of a dump must be a whole number >= {least}, not {value!r}")


def _dtype_name(dtype: object, name: str, allowed: tuple[str, ...]) -> str:
    known = [np.dtype(kind).name for kind in allowed]
    try:
        found = np.dtype(dtype).name
    except TypeError:
        found = None
    if found not in known:
        raise OptionError(f"{name} of a dump cannot have dtype {dtype!r}; use {', '.join(known)}")
    return found
