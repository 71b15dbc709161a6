"""Grids of noise levels."""

from scoresde.samplers.grids.recipes import (
    GRIDS,
    Discrete,
    Explicit,
    Grid,
    Karras,
    UniformLogSNR,
    UniformTime,
)

__all__ = ["GRIDS", "Discrete", "Explicit", "Grid", "Karras", "UniformLogSNR", "UniformTime"]
