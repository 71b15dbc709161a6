r"""Ways between two samples: starts on an arc or a line, carried by a deterministic sampler.

Of two starts a, b ~ N(0, I_d) and p in [0, 1]:

    arc    |w| = (1 - p)|a| + p|b|,  w/|w| on the great circle from a/|a| to b/|b| at the angle p
    line   w = ((1 - p) a + p b)/sqrt((1 - p)^2 + p^2), which is N(0, I) at every p

The arc is Shoemake's slerp (1985) with the radius along a line; in high dimension a and b are
nearly at right angles and of length sqrt(d), and the two agree. At p = 0 and 1 both give a and b
bit for bit, so that the ends are the samples of those ids.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scoresde.checkpointed import Source
from scoresde.errors import DataError, OptionError, UsageError
from scoresde.families import unknown
from scoresde.io.provenance import provenance
from scoresde.kernels import Noise, Purpose
from scoresde.processes import NoiseLevel
from scoresde.samplers import Sampler
from scoresde.transport.blocks import dtype_named, to_numpy
from scoresde.transport.encoding import Call, check_level, labels_of
from scoresde.transport.flow import certain, decode
from scoresde.transport.origin import DATA, Origin

_SMALLEST_SINE = 1e-6  # below it the great circle through a and b is not determined


def arc(a: Tensor, b: Tensor, place: Tensor) -> Tensor:
    """Points on the arc from rows a to b (batch, *event) at `place` (batch,), float64.

    Raises `DataError` for a and b in opposite directions, between which no arc is the shortest,
    and for a start of length 0.
    """
    p = place.reshape(-1, 1)
    flat_a, flat_b = a.flatten(1), b.flatten(1)
    length_a, length_b = (v.norm(dim=1, keepdim=True) for v in (flat_a, flat_b))
    if not bool((length_a * length_b > 0).all()):
        raise DataError("a start of length 0 has no direction; take --along line")
    u, v = flat_a / length_a, flat_b / length_b
    # the half-angle's tangent, accurate for nearly parallel and nearly opposite directions
    angle = 2.0 * torch.atan2((u - v).norm(dim=1), (u + v).norm(dim=1)).reshape(-1, 1)
    sine = angle.sin()
    if bool(((sine < _SMALLEST_SINE) & (angle > 1.0)).any()):
        raise DataError(
            "two starts lie in opposite directions, so that no arc between them is the shortest "
            "(in one dimension there is none); take --along line or another pair"
        )
    safe = sine.clamp(min=_SMALLEST_SINE)
    near = sine < _SMALLEST_SINE
    on_u = torch.where(near, 1.0 - p, ((1.0 - p) * angle).sin() / safe)
    on_v = torch.where(near, p, (p * angle).sin() / safe)
    w = (on_u * u + on_v * v) * ((1.0 - p) * length_a + p * length_b)
    return _with_ends(w.reshape(a.shape), a, b, place)


def line(a: Tensor, b: Tensor, place: Tensor) -> Tensor:
    """((1 - p) a + p b)/sqrt((1 - p)^2 + p^2), (batch, *event), N(0, I) where a and b are."""
    p = place.reshape(-1, *[1] * (a.ndim - 1))
    w = ((1.0 - p) * a + p * b) / ((1.0 - p).square() + p.square()).sqrt()
    return _with_ends(w, a, b, place)


def _with_ends(w: Tensor, a: Tensor, b: Tensor, place: Tensor) -> Tensor:
    p = place.reshape(-1, *[1] * (a.ndim - 1))
    return torch.where(p == 0.0, a, torch.where(p == 1.0, b, w))


WAYS = {"arc": arc, "line": line}


@dataclass(frozen=True, kw_only=True)
class Ways:
    """Between which ids, along what, at how many points, the two ends among them."""

    pairs: tuple[tuple[int, int], ...]
    points: int = 9
    along: str = "arc"

    def __post_init__(self) -> None:
        if self.along not in WAYS:
            raise OptionError(unknown("way between starts", self.along, list(WAYS)))
        if not 2 <= self.points <= 10_000:
            raise OptionError(f"points of a way, its ends included, are 2..10000: {self.points}")
        if not self.pairs:
            raise UsageError("a way has two ends; name the ids of at least one --pair A B")
        for pair in self.pairs:
            if len(pair) != 2 or min(pair) < 0:
                raise OptionError(f"a pair is two ids of at least 0, got {pair}")


class Interpolation:
    """Samples along the ways between starts; row p * points + k is point k of pair p.

    Starts are those of the seed's samples, or latents of an `Origin`. Facts of every row: `pair`,
    `place` in [0, 1], and the ids of the two ends, `from_id` and `to_id`.
    """

    first_id = 0

    def __init__(
        self,
        source: Source,
        call: Call,
        ways: Ways,
        *,
        seed: int = 0,
        latents: Origin | None = None,
        recorded: dict | None = None,
    ):
        self.source, self.call, self.ways, self.latents = source, call, ways, latents
        self.noise = Noise(seed)
        self.sampler: Sampler = certain(call.method.build("sampler"))
        self.levels: tuple[NoiseLevel, ...] = call.method.build("grid").levels(source.process)
        self.n, self.batch = len(ways.pairs) * ways.points, call.batch
        self.dtype = dtype_named(call.dtype)
        labels_of(source.model, torch.arange(1), call.label, None)
        if latents is not None:
            for end in sum(ways.pairs, ()):
                latents.chosen(end, 1)
            check_level(self.levels[0], recorded or {}, latents.name)
            self._check_labels()

    def _check_labels(self) -> None:
        """Points of a way have one label: its ends' own must be the same, or one is given."""
        if not self.source.model.classes or self.call.label is not None:
            return
        for a, b in self.ways.pairs:
            of = self._own(torch.tensor([a, b]))
            if of is not None and of[0] != of[1]:
                raise UsageError(
                    f"the latents {a} and {b} were encoded under the labels {int(of[0])} and "
                    f"{int(of[1])}; give the label of the points between them (--label)"
                )

    def _own(self, ids: Tensor) -> Tensor | None:
        known = self.latents is not None and self.latents.label_of is not None
        return self.latents.label_of(ids) if known else None

    def ends(self, ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(pair, place, id of the first end, id of the last) of rows."""
        pair, k = ids // self.ways.points, ids % self.ways.points
        place = k.to(torch.float64) / (self.ways.points - 1)
        named = torch.tensor(self.ways.pairs, dtype=torch.int64)
        return pair, place, named[pair, 0], named[pair, 1]

    def starts(self, ids: Tensor) -> Tensor:
        """Normalised starts (len(ids), *event), float64."""
        _, place, first, last = self.ends(ids)
        return WAYS[self.ways.along](self._start(first), self._start(last), place)

    def _start(self, ids: Tensor) -> Tensor:
        if self.latents is not None:
            return self.latents.read(ids).to(torch.float64)
        return self.noise(0, Purpose.START, ids, tuple(self.source.model.event_shape))

    def rows(self, ids: Tensor) -> dict[str, np.ndarray]:
        pair, place, first, last = self.ends(ids)
        model, device = self.source.model, self.call.device
        own = self._own(first)
        labels = labels_of(model, ids, self.call.label, None if own is None else lambda _: own)
        if labels is not None:
            model = model.given(labels.to(device))
        # in float64 until scaled: the ends are then the bits of a sample's own start
        starts = self.starts(ids).to(device)
        found = decode(model, self.sampler, self.levels, starts, ids=ids.to(device), dtype=self.dtype, trajectory=self.call.trajectory)
        undo = self.source.scaling.undo
        columns = {"samples": undo(found.x), "nfe": found.nfe, "pair": pair, "place": place}
        columns |= {"from_id": first, "to_id": last}
        if found.trajectory is not None:
            columns["trajectory"] = undo(found.trajectory)
        if labels is not None:
            columns["label"] = labels
        return to_numpy(columns)

    def layout(self) -> dict:
        whole = dict.fromkeys(("pair", "from_id", "to_id"), "int64")
        return {
            "rows": self.n,
            "event_shape": tuple(self.source.model.event_shape),
            "dtype": self.call.dtype,
            "trajectory": len(self.levels) if self.call.trajectory else None,
            "label": bool(self.source.model.classes),
            "facts": {**whole, "place": "float64"},
        }

    def attributes(self) -> dict:
        call, method = self.call, self.call.method.resolved()
        method.pop("seed")
        of = f"seed {self.noise.seed}" if self.latents is None else self.latents.identity
        ratio = self.levels[0].noise_ratio
        pairs = [list(pair) for pair in self.ways.pairs]
        identity = {
            "model": self.source.identity,
            "process": self.source.process_table,
            **method,
            "seed": self.noise.seed,
            "batch": call.batch,
            "device": call.device,
            "space": DATA,
            "stochastic": False,
            "start": f"{self.ways.along} {pairs} of {of}, sigma/alpha {ratio:.9g}",
            "pairs": pairs,
            "points": self.ways.points,
            "along": self.ways.along,
            "given": "own labels" if call.label is None else f"label {call.label}",
            "scaling": self.source.scaling.to_dict(),
        }
        described = {
            "description": self.source.description,
            "config": self.source.config.resolved(),
        }
        return {"identity": identity, "provenance": {**described, **provenance()}}
