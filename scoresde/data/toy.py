"""Two-dimensional densities by formula, as in FFJORD (Grathwohl et al. 2019, appendix).

In the formulas U, U', ... are uniform on (0, 1), n, n', ... standard normal, angles in radians.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.random import PCG64, Generator, SeedSequence
from torch import Tensor

from scoresde.data.dataset import Dataset
from scoresde.data.scaling import Scaling
from scoresde.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class Toy(ABC):
    """Independent draws for the two splits, fixed by the seed; one scale for both coordinates.

    Each split has its own stream of PCG64, so neither depends on the other's size. The mean and
    the scale are those of the training split.

    Raises:
        OptionError: fewer than two points, or a seed below zero.
    """

    name: ClassVar[str]
    n_train: int = 20_000
    n_test: int = 4_000
    seed: int = 0

    def __post_init__(self) -> None:
        for option, least in (("n_train", 2), ("n_test", 2), ("seed", 0)):
            value = getattr(self, option)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise OptionError(f"{option} is a whole number >= {least}, got {value!r}")

    @abstractmethod
    def draw(self, n: int, rng: Generator) -> np.ndarray:
        """n points as the formula gives them, (n, 2) float64."""

    def load(self) -> Dataset:
        streams = SeedSequence(self.seed).spawn(2)
        train, test = (
            self.draw(n, Generator(PCG64(stream)))
            for n, stream in zip((self.n_train, self.n_test), streams, strict=True)
        )
        scaling = Scaling.standardising(train)
        return Dataset(
            name=self.name,
            train=torch.from_numpy(scaling.apply(train).astype(np.float32)),
            test=torch.from_numpy(scaling.apply(test).astype(np.float32)),
            scaling=scaling,
            attribution="drawn from a formula (FFJORD's toy densities, Grathwohl et al. 2019)",
        )


class EightGaussians(Toy):
    r"""(4 (cos, sin)(k pi/4) + (n, n')/2) / 1.414, k uniform in 0..7."""

    name = "8gaussians"

    def draw(self, n: int, rng: Generator) -> np.ndarray:
        angle = rng.integers(8, size=n) * (np.pi / 4)
        return (4.0 * _polar(1.0, angle) + 0.5 * rng.standard_normal((n, 2))) / 1.414

    def mixture(self, scaling: Scaling | None = None) -> tuple[Tensor, Tensor, float]:
        """The exact law: weights (8,), means (8, 2), standard deviation of the round components.

        Raw space, or model space where a scaling with one scale (as `load` gives) is passed.
        """
        means = 4.0 * _polar(1.0, np.arange(8) * (np.pi / 4)) / 1.414
        std = 0.5 / 1.414
        if scaling is not None:
            means, std = scaling.apply(means), std / scaling.scale
        return torch.full((8,), 0.125, dtype=torch.float64), torch.from_numpy(means), std


class TwoSpirals(Toy):
    r"""+-(-r cos r + U'/2, r sin r + U''/2) / 3 + (n, n')/10, r = 3 pi sqrt(U), half each sign."""

    name = "2spirals"

    def draw(self, n: int, rng: Generator) -> np.ndarray:
        r = 3.0 * np.pi * np.sqrt(rng.random(n))
        arm = _polar(r, r) * (-1.0, 1.0) + 0.5 * rng.random((n, 2))
        sign = np.where(np.arange(n) < n // 2, 1.0, -1.0)[:, None]
        return sign * arm / 3.0 + 0.1 * rng.standard_normal((n, 2))


class Checkerboard(Toy):
    r"""2 (a, U' - 2B + (floor(a) mod 2)), a = 4U - 2, B a fair coin: density 1/32 on 8 cells."""

    name = "checkerboard"

    def draw(self, n: int, rng: Generator) -> np.ndarray:
        a = 4.0 * rng.random(n) - 2.0
        b = rng.random(n) - 2.0 * rng.integers(2, size=n) + np.floor(a) % 2.0
        return 2.0 * np.stack([a, b], axis=1)


class Rings(Toy):
    r"""Circles of radius 3, 2.25, 1.5, 0.75, each with evenly spaced angles, plus 0.08 (n, n')."""

    name = "rings"

    def draw(self, n: int, rng: Generator) -> np.ndarray:
        counts = [n // 4 + (ring < n % 4) for ring in range(4)]
        circles = [
            _polar(radius, _turn(count))
            for radius, count in zip((3.0, 2.25, 1.5, 0.75), counts, strict=True)
        ]
        return rng.permutation(np.concatenate(circles)) + 0.08 * rng.standard_normal((n, 2))


class Circles(Toy):
    r"""3 (c + 0.08 (n, n')), c on circles of radius 1 and 1/2, evenly spaced angles."""

    name = "circles"

    def draw(self, n: int, rng: Generator) -> np.ndarray:
        circles = [_polar(1.0, _turn(n // 2)), _polar(0.5, _turn(n - n // 2))]
        points = rng.permutation(np.concatenate(circles))
        return 3.0 * (points + 0.08 * rng.standard_normal((n, 2)))


class Moons(Toy):
    r"""2 (m + (n, n')/10) - (1, 0.2); m = (cos a, sin a) or (1 - cos a, 1/2 - sin a), a to pi."""

    name = "moons"

    def draw(self, n: int, rng: Generator) -> np.ndarray:
        upper = _polar(1.0, np.linspace(0.0, np.pi, n // 2))
        lower = (1.0, 0.5) - _polar(1.0, np.linspace(0.0, np.pi, n - n // 2))
        points = rng.permutation(np.concatenate([upper, lower]))
        return 2.0 * (points + 0.1 * rng.standard_normal((n, 2))) + (-1.0, -0.2)


class SwissRoll(Toy):
    r"""(t (cos, sin)(t) + (n, n')) / 5, t = 3 pi (1 + 2U) / 2."""

    name = "swissroll"

    def draw(self, n: int, rng: Generator) -> np.ndarray:
        t = 1.5 * np.pi * (1.0 + 2.0 * rng.random(n))
        return (_polar(t, t) + rng.standard_normal((n, 2))) / 5.0


class Pinwheel(Toy):
    r"""2 (f_0 cos a + f_1 sin a, f_1 cos a - f_0 sin a): five bent arms.

    f = (1 + 0.3 n, 0.1 n'), a = 2 pi k/5 + exp(f_0)/4, equally many points for each k in 0..4.
    """

    name = "pinwheel"

    def draw(self, n: int, rng: Generator) -> np.ndarray:
        f = rng.standard_normal((n, 2)) * (0.3, 0.1) + (1.0, 0.0)
        angle = 2.0 * np.pi * rng.permutation(np.arange(n) % 5) / 5.0 + 0.25 * np.exp(f[:, 0])
        cos, sin = np.cos(angle), np.sin(angle)
        return 2.0 * np.stack([f[:, 0] * cos + f[:, 1] * sin, f[:, 1] * cos - f[:, 0] * sin], 1)


class Line(Toy):
    r"""(a, a), a = 5U - 5/2."""

    name = "line"

    def draw(self, n: int, rng: Generator) -> np.ndarray:
        a = 5.0 * rng.random(n) - 2.5
        return np.stack([a, a], axis=1)


class Cos(Toy):
    r"""(a, 2.5 sin a), a = 5U - 5/2."""

    name = "cos"

    def draw(self, n: int, rng: Generator) -> np.ndarray:
        a = 5.0 * rng.random(n) - 2.5
        return np.stack([a, 2.5 * np.sin(a)], axis=1)


def _polar(radius: float | np.ndarray, angle: np.ndarray) -> np.ndarray:
    """radius (cos, sin)(angle), (n, 2)."""
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _turn(count: int) -> np.ndarray:
    return np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)
