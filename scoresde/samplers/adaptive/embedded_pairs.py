"""Embedded Runge-Kutta pairs whose last stage is the next step's first."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EmbeddedPair:
    r"""k_i = F(tau + c_i h, u + h sum_j a_ij k_j); the last row of a is the step itself.

    `error` are b - b^, so that h sum_i error_i k_i estimates the local error of the lower order;
    it falls as h^`error_order`. `order` is that of the step.
    """

    order: int
    error_order: int
    nodes: tuple[float, ...]
    rows: tuple[tuple[float, ...], ...]
    error: tuple[float, ...]

    @property
    def evaluations(self) -> int:
        """Of one attempt; the first stage is known."""
        return len(self.nodes) - 1


# Dormand & Prince 1980, A family of embedded Runge-Kutta formulae, RK5(4)7M
DORMAND_PRINCE = EmbeddedPair(
    order=5,
    error_order=5,
    nodes=(0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0),
    rows=(
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    error=(
        71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40,
    ),
)  # fmt: skip

# Bogacki & Shampine 1989, A 3(2) pair of Runge-Kutta formulas
BOGACKI_SHAMPINE = EmbeddedPair(
    order=3,
    error_order=3,
    nodes=(0.0, 1 / 2, 3 / 4, 1.0),
    rows=((), (1 / 2,), (0.0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
    error=(-5 / 72, 1 / 12, 1 / 9, -1 / 8),
)

PAIRS = {"dopri5": DORMAND_PRINCE, "bosh3": BOGACKI_SHAMPINE}
