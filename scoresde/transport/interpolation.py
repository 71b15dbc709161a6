r"""Ways between two samples: starts on an arc or a line, carried by a deterministic sampler.

Of two starts a, b ~ N(0, I_d) and p in [0, 1]:

    arc    |w| = (1 - p)|a| + p|b|,  w/|w| on the great circle from a/|a| to b/|b| at the angle p
    line   w = ((1 - p) a + p b)/sqrt((1 - p)^2 + p^2), which is N(0, I) at every p

The arc is Shoemake's slerp (1985) with the radius along a line; in high dimension a and b are
nearly at right angles and of length sqrt(d), and the two agree. At p = 0 and 1 both give a and b
bit for bit, so that the ends are the samples of those ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scoresde.checkpointed import Source
from scoresde.errors import DataError, OptionError, UsageError
from scoresde.families import unknown
from scoresde.transport.flow import certain, decode
from scoresde.transport.job import Call, Carried, check_level
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
            raise OptionError(
                f"points of a way, its ends included, lie in 2..10000, got {self.points}"
            )
        if not self.pairs:
            raise UsageError("a way has two ends; name the ids of at least one --pair A B")
        for pair in self.pairs:
            if len(pair) != 2 or not 0 <= min(pair) <= max(pair) < 2**63:
                raise OptionError(f"a pair is two ids from 0 to 2^63 - 1, got {pair}")


class Interpolation(Carried):
    """Samples along the ways between latents; row p * points + k is point k of pair p.

    `origin` holds the latents: those of an encoding, or the starts of a seed (`from_noise`). Facts
    of every row: `pair`, `place` in [0, 1], and the ids of the two ends, `from_id` and `to_id`.
    """

    def __init__(
        self,
        source: Source,
        call: Call,
        ways: Ways,
        origin: Origin,
        recorded: Mapping[str, object] | None = None,
        guide: Source | None = None,
    ):
        for end in sum(ways.pairs, ()):
            origin.chosen(end, 1)  # refuses an id that is not there
        super().__init__(source, call, origin, guide)
        certain(self.sampler)
        check_level(self.levels[0], recorded or {}, origin.name)
        self.ways, self.first_id, self.n = ways, 0, len(ways.pairs) * ways.points
        self._check_labels()

    def _check_labels(self) -> None:
        """A way has one label: both its ends have the same."""
        for pair in self.ways.pairs:
            a, b = self.given_at(torch.tensor(pair)) if self.labelled else (None, None)
            if a != b:
                raise UsageError(
                    f"the ends {pair[0]} and {pair[1]} have the labels {int(a)} and {int(b)}, and "
                    "the points between them need one; give it (--label)"
                )

    def ends(self, ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(pair, place, id of the first end, id of the last) of rows."""
        pair, k = ids // self.ways.points, ids % self.ways.points
        place = k.to(torch.float64) / (self.ways.points - 1)
        named = torch.tensor(self.ways.pairs, dtype=torch.int64)
        return pair, place, named[pair, 0], named[pair, 1]

    def latents(self, ids: Tensor) -> Tensor:
        """Normalised starts (len(ids), *event), float64."""
        _, place, first, last = self.ends(ids)
        a, b = (self.origin.read(end).to(torch.float64) for end in (first, last))
        return WAYS[self.ways.along](a, b, place)

    def rows(self, ids: Tensor) -> dict[str, np.ndarray]:
        pair, place, first, last = self.ends(ids)
        device = self.call.device
        model, labels = self.bound(first)
        found = decode(
            model, self.sampler, self.levels, self.latents(ids).to(device),
            ids=ids.to(device), dtype=self.dtype, trajectory=self.call.trajectory,
        )  # fmt: skip
        facts = {"pair": pair, "place": place, "from_id": first, "to_id": last}
        samples = self.source.scaling.undo(found.x)
        columns = {"samples": samples, "nfe": found.nfe, **facts}
        return self.columns(columns, labels, found.trajectory)

    def layout(self) -> dict:
        whole = dict.fromkeys(("pair", "from_id", "to_id"), "int64")
        return {**super().layout(), "facts": {**whole, "place": "float64"}}

    def attributes(self) -> dict:
        both = super().attributes()
        pairs = [list(pair) for pair in self.ways.pairs]
        ratio = self.levels[0].noise_ratio
        both["identity"] |= {
            "space": DATA,
            "start": (
                f"{self.ways.points} points of the {self.ways.along} between {pairs} of "
                f"{self.origin.start}, sigma/alpha {ratio:.9g}"
            ),
            "pairs": pairs,
            "points": self.ways.points,
            "along": self.ways.along,
            "scaling": self.source.scaling.to_dict(),
        }
        return both
