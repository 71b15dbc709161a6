r"""Noise as a function, not a state.

Number j of sample `id` at `step` for a `purpose` under a `seed` is a fixed number, whatever else
is drawn beside it: no batch size, order, worker count, restart or device changes a bit of it.

Bit layout (every word 32 bits):

    key      k0 = seed               k1 = purpose
    counter  c0 = j // 4             c1 = step
             c2 = id mod 2^32        c3 = id // 2^32

The four words w0..w3 of a block serve the elements j = 4 c0 + 0..3 of the sample, in the row-major
order of its event. Integer to real: u = (w + 1/2) / 2^32, in (0, 1), exact in float64.
Normals by Box & Muller 1958 in float64, from the pairs (w0, w1) and (w2, w3):

    r = sqrt(-2 log u_a),   n_a = r cos(2 pi u_b),   n_b = r sin(2 pi u_b).

log, cos and sin are series of additions, multiplications and divisions alone (`box_muller`).
Those are correctly rounded everywhere, a library's log and cos are not (and differ between a
vector's body and its tail), so equal keys give equal bits on every device. float32 normals are
the same numbers, rounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.kernels.box_muller import box_muller
from scoresde.kernels.philox import philox, rounds

LANES = 4096  # blocks computed at once on the host, whose cache then holds the work
DRAWN_AHEAD = 2**16  # numbers that a source draws ahead of the step that asks for them


Key = tuple[int, int, tuple[float, float] | None]
"""(step, purpose, interval): a draw; between which log SNRs it acts, where that matters."""


class Purpose(IntEnum):
    """What a number is for; distinct purposes never share a number."""

    START = 0  # the state at the first level
    STEP = 1  # the noise of a move
    CHURN = 2  # the noise of a move upwards
    PROPOSAL = 3  # a Langevin proposal
    ACCEPT = 4  # a Metropolis test
    PATH = 5  # a Brownian path
    ORDER = 6  # the order of the training data
    TIME = 7  # training times
    TRAIN = 8  # training noise
    VALIDATE = 9  # noise for held-out losses
    DATA = 10  # draws from an exact density
    PROJECTION = 11  # directions of sliced score matching
    LABEL = 12  # labels dropped in training
    FLIP = 13  # images mirrored in training
    CORRECT = 14  # a Langevin step at a level
    RESTART = 15  # the noise of a restart
    LEVELS = 16  # a Brownian path on the clock SNR
    FIT = 17  # random starts and minibatches of an estimator


def check_seed(seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise OptionError(f"a seed is an integer in [0, 2^32), got {seed!r}")
    return seed


def on_device(numbers: Sequence[int], device: torch.device) -> Tensor:
    """int64 numbers on a device, without waiting for it."""
    there = torch.tensor(numbers, dtype=torch.int64, device="cpu")
    if device.type == "cpu":
        return there
    return there.pin_memory().to(device, non_blocking=True)


def check_step(step: int) -> int:
    if not 0 <= step < 2**32:
        raise OptionError(f"the step of a noise key lies in [0, 2^32), got {step}")
    return int(step)


def _halves(ids: Tensor) -> tuple[Tensor, Tensor]:
    return ids & 0xFFFFFFFF, ids >> 32 & 0xFFFFFFFF


def uniform(seed: int, purpose: int, step: int, ids: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Uniform numbers in (0, 1), float64, of shape (len(ids), *shape)."""
    count = math.prod(shape)
    blocks = torch.arange(-(-count // 4), device=ids.device)
    low, high = _halves(ids[:, None])
    words = philox(blocks, check_step(step), low, high, check_seed(seed), int(purpose))
    numbers = torch.stack(words, dim=-1).reshape(len(ids), 4 * len(blocks))[:, :count]
    return ((numbers.to(torch.float64) + 0.5) * 2.0**-32).reshape(len(ids), *shape)


def normal(seed: int, purpose: int, step: int, ids: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Standard normal numbers, float64, of shape (len(ids), *shape).

    `ids` is an int64 tensor of sample ids in [0, 2^63); `step` lies in [0, 2^32).
    """
    steps = ids.new_full((1,), check_step(step)).expand(len(ids))
    return normals(seed, int(purpose), steps, ids, shape)


def normals(
    seed: int, purpose: int | Tensor, steps: Tensor, ids: Tensor, shape: tuple[int, ...]
) -> Tensor:
    """As `normal`, row i with a step (and a purpose) of its own: `steps` (len(ids),) of int64.

    The work is done in pieces of at most 4 `LANES` numbers (8 on a device, where a call costs
    more), so its memory is bounded.
    """
    check_seed(seed)
    count, rows = math.prod(shape), len(ids)
    blocks = -(-count // 4)
    lanes = LANES if ids.device.type == "cpu" else 2 * LANES
    wide = max(1, min(blocks, lanes))
    tall = max(1, lanes // wide)
    pairs = 1 if count <= 2 else 2
    out = torch.empty(rows, blocks, pairs, 2, dtype=torch.float64, device=ids.device)
    index = torch.arange(blocks, device=ids.device)
    low, high = _halves(ids)
    for i in range(0, rows, tall):
        some = slice(i, i + tall)
        counters = (steps[some, None], low[some, None], high[some, None])
        key = purpose[some, None] if isinstance(purpose, Tensor) else purpose
        for j in range(0, blocks, wide):
            upper, lower = rounds(index[j : j + wide], *counters, seed, key)
            part = out[some, j : j + wide]
            if pairs == 1:
                upper, lower = upper[1:], lower[1:]
            cosines, sines = box_muller(upper.flatten(), lower.flatten())
            # the halves come as (c2, c0), (c3, c1): the second pair first
            for pair, row in enumerate(range(pairs - 1, -1, -1)):
                part[:, :, pair, 0] = cosines.view(upper.shape)[row]
                part[:, :, pair, 1] = sines.view(upper.shape)[row]
    numbers = out.reshape(rows, blocks * 2 * pairs)
    return numbers[:, :count].reshape(rows, *shape)


@dataclass(frozen=True)
class Noise:
    """A run's noise source: ``noise(step, purpose, ids, shape)``, float64 (len(ids), *shape).

    Any callable of this form can stand in its place (recorded noise, say).
    """

    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self.seed)

    def __call__(self, step: int, purpose: int, ids: Tensor, shape: tuple[int, ...]) -> Tensor:
        return normal(self.seed, purpose, step, ids, shape)

    def many(
        self, keys: Sequence[Key], ids: Tensor, shape: tuple[int, ...], dtype=torch.float64
    ) -> Iterator[Tensor]:
        """The normals of each key in turn, drawn several at a time, bit for bit those of single
        calls. At most `DRAWN_AHEAD` numbers, or one draw, are held."""
        if type(self) is not Noise:  # a subclass may give other numbers
            yield from (self(step, purpose, ids, shape).to(dtype) for step, purpose, _ in keys)
            return
        together = max(1, DRAWN_AHEAD // max(1, len(ids) * math.prod(shape)))
        for i in range(0, len(keys), together):
            some = keys[i : i + together]
            steps = on_device([check_step(step) for step, _, _ in some], ids.device)
            purposes = {int(purpose) for _, purpose, _ in some}
            purpose = purposes.pop() if len(purposes) == 1 else None
            if purpose is None:
                purpose = on_device([int(p) for _, p, _ in some], ids.device)
                purpose = purpose.repeat_interleave(len(ids))
            rows = normals(
                self.seed,
                purpose,
                steps.repeat_interleave(len(ids)),
                ids.repeat(len(some)),
                shape,
            )
            yield from rows.to(dtype).reshape(len(some), len(ids), *shape).unbind()

    def uniform(self, step: int, purpose: int, ids: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Uniform numbers in (0, 1) under the same key."""
        return uniform(self.seed, purpose, step, ids, shape)
