"""phi functions and weights in 80 digits; exponential Runge-Kutta methods against the books."""

import itertools
import math

import pytest
from exponential_forms import begin, between, close, exact_phi, grid, lam, model, run

from scoresde.samplers.exponential.phi import interpolation_weights, phi


@pytest.mark.parametrize("k", range(6))
def test_phi_does_not_cancel(k: int) -> None:
    sizes = [1e-300, 1e-12, 1e-6, 1e-3, 0.1, 0.7, 1.0, 1.99, 2.0, 2.01, 3.0, 7.0, 20.0, 40.0]
    for z in [0.0, *sizes, *(-size for size in sizes)]:
        exact = float(exact_phi(k, z))
        assert phi(k, z) == pytest.approx(exact, rel=1e-13, abs=0.0), z


@pytest.mark.parametrize("z", [-9.0, -0.4, -1e-7, 0.0, 1e-7, 0.4, 9.0])
@pytest.mark.parametrize(
    "nodes", [(0.0,), (0.0, -1.0), (0.0, -0.5, -2.5), (0.0, -1.0, -2.0, -3.0), (0.0, -0.7, 1.0)]
)
def test_weights_integrate_polynomials_exactly(nodes, z: float) -> None:
    weights = interpolation_weights(nodes, z)
    assert sum(weights) == pytest.approx(float(exact_phi(1, z)), rel=1e-13)
    size = max(map(abs, weights))
    for k in range(len(nodes)):
        got = sum(w * node**k for w, node in zip(weights, nodes, strict=True))
        exact = math.factorial(k) * float(exact_phi(k + 1, z))
        assert got == pytest.approx(exact, rel=1e-13, abs=1e-14 * size * max(map(abs, nodes)) ** k)


BOOKS = {  # c, A, b of each table in phi_k(c_i z), as printed
    "cox-matthews": lambda p: (
        (0, 0.5, 0.5, 1),
        ((), (0.5 * p(1, 0.5),), (0, 0.5 * p(1, 0.5)),
         (0.5 * p(1, 0.5) * (p(0, 0.5) - 1), 0, p(1, 0.5))),
        (p(1) - 3 * p(2) + 4 * p(3), *[2 * p(2) - 4 * p(3)] * 2, 4 * p(3) - p(2)),
    ),
    "krogstad": lambda p: (
        (0, 0.5, 0.5, 1),
        ((), (0.5 * p(1, 0.5),), (0.5 * p(1, 0.5) - p(2, 0.5), p(2, 0.5)),
         (p(1) - 2 * p(2), 0, 2 * p(2))),
        (p(1) - 3 * p(2) + 4 * p(3), *[2 * p(2) - 4 * p(3)] * 2, 4 * p(3) - p(2)),
    ),
    "hochbruck-ostermann": lambda p: (
        (0, 0.5, 0.5, 1, 0.5),
        ((), (0.5 * p(1, 0.5),), (0.5 * p(1, 0.5) - p(2, 0.5), p(2, 0.5)),
         (p(1) - 2 * p(2), p(2), p(2)),
         (0.5 * p(1, 0.5) - 2 * ho(p) - (0.25 * p(2, 0.5) - ho(p)), ho(p), ho(p),
          0.25 * p(2, 0.5) - ho(p))),
        (p(1) - 3 * p(2) + 4 * p(3), 0, 0, 4 * p(3) - p(2), 4 * p(2) - 8 * p(3)),
    ),
}  # fmt: skip


def ho(p) -> float:
    """a_52 of Hochbruck and Ostermann's table."""
    return 0.5 * p(2, 0.5) - p(3) + 0.25 * p(2) - 0.5 * p(3, 0.5)


@pytest.mark.parametrize("kind", ["x0", "eps"])
@pytest.mark.parametrize("table", BOOKS)
def test_exponential_runge_kutta_is_its_table(table: str, kind: str) -> None:
    """u' = c u + F(u): u = x/alpha, c = -1, F = x0, or u = x/sigma, c = 1, F = -eps."""
    levels = grid("rectified-flow", steps=4)
    c = -1.0 if kind == "x0" else 1.0
    x, expected = begin(levels[0]), [begin(levels[0])]
    for t, s in itertools.pairwise(levels):
        h = lam(s) - lam(t)

        def p(k, at=1.0, z=c * h):
            return float(exact_phi(k, at * z))

        nodes, rows, outer = BOOKS[table](p)
        u, forces = x / (t.alpha if kind == "x0" else t.sigma), []
        for node, row in zip(nodes, rows, strict=True):
            level = s if node == 1 else t if node == 0 else between(t, s, node)
            inner = p(0, node) * u + h * sum(a * f for a, f in zip(row, forces, strict=True))
            scale = level.alpha if kind == "x0" else level.sigma
            forces.append(-c * model(kind, scale * inner, level))
        u = p(0) * u + h * sum(b * f for b, f in zip(outer, forces, strict=True))
        x = u * (s.alpha if kind == "x0" else s.sigma)
        expected.append(x)
    close(run(f"exp-rk4(table={table}, prediction={kind})", levels), expected)
