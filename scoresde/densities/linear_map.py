"""The map u -> A u + b under which densities have images."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scoresde.densities.base import as_float64
from scoresde.errors import OptionError

_ROUNDING = 1e-10  # of A A^T / c^2 off the identity, where it counts as one


@dataclass(frozen=True, kw_only=True, eq=False)
class Map:
    """u (n, d) -> A u + b (n, d'), A = diag(scale) matrix, or diag(scale) without a matrix."""

    scale: Tensor  # (d',)
    matrix: Tensor | None  # (d', d)
    shift: Tensor  # (d',)

    @property
    def linear(self) -> Tensor:
        """A, (d', d)."""
        return self.scale.diag() if self.matrix is None else self.scale[:, None] * self.matrix

    def turn(self, u: Tensor) -> Tensor:
        """A u, row by row."""
        return u * self.scale if self.matrix is None else (u @ self.matrix.T) * self.scale

    def turn_back(self, y: Tensor) -> Tensor:
        """A^T y, row by row."""
        return y * self.scale if self.matrix is None else (y * self.scale) @ self.matrix

    def row_square(self) -> float | None:
        """c^2 > 0 if A A^T = c^2 I, else None; a similarity of scale c if A is square."""
        if self.matrix is None:
            square, other = self.scale.square(), 0.0
        else:
            gram = self.linear @ self.linear.T
            square = gram.diagonal()
            other = float((gram - square.diag()).abs().max())
        c2 = float(square.mean())
        off = max(float((square - c2).abs().max()), other)
        return c2 if c2 > 0.0 and off <= _ROUNDING * c2 else None

    def to(self, device) -> Map:
        matrix = None if self.matrix is None else self.matrix.to(device)
        return Map(scale=self.scale.to(device), matrix=matrix, shift=self.shift.to(device))


def checked_map(d: int, scale, matrix, shift) -> Map:
    """The map of R^d that the options tell; raises `OptionError` naming what does not fit."""
    if matrix is not None:
        matrix = as_float64("matrix", matrix, 2)
        if matrix.shape[1] != d or 0 in matrix.shape:
            raise OptionError(f"matrix has shape {tuple(matrix.shape)}, needs (any, {d})")
    out = d if matrix is None else len(matrix)
    rows = {"scale": scale, "shift": 0.0 if shift is None else shift}
    for name, value in rows.items():
        value = as_float64(name, value, tuple(range(8))).reshape(-1)
        if value.numel() not in (1, out):
            raise OptionError(f"{name} has {value.numel()} numbers, needs one or {out}")
        rows[name] = value.expand(out).clone()
    return Map(matrix=matrix, **rows)
