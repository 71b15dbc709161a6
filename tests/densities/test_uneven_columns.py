"""Laws of covariances whose columns differ in scale by up to 1e10, against exact fractions."""

import math
from fractions import Fraction

import pytest
import torch

from scoresde.densities import Gaussian, GaussianMixture, condition
from scoresde.densities.principal import principal_axes

D, K = 6, 2
WEIGHTS = [0.25, 0.75]
SPREADS = {"1e8": 6.65, "1e11": 9.15, "1e20": 16.6}  # variances differ by 4^(2 spread)
TINY = 1e-12  # cond(R) is under 1e2 here, and a sum has a few dozen terms


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scales_of(spread: str, d: int = D) -> torch.Tensor:
    exponents = torch.linspace(-1, 1, d, dtype=torch.float64) * SPREADS[spread]
    return torch.exp2(exponents)[torch.randperm(d, generator=torch.Generator().manual_seed(2))]


def covariances(scales: torch.Tensor, k: int = K) -> torch.Tensor:
    d = len(scales)
    roots = random(1, k, d, 3 * d)
    dense = (roots @ roots.mT / (3 * d)) * scales * scales[:, None]
    return dense.tril() + dense.tril(-1).mT


def parts(kind: str, scales: torch.Tensor):
    """The law, and the means, covariances and weights that it has."""
    means, dense = random(5, K, D) * scales, covariances(scales)
    if kind == "gaussian":
        law = Gaussian(mean=means[0], covariance=dense[0])
        return law, means[:1], dense[:1], [1.0]
    if kind == "tied":
        options = {"covariances": dense[0], "structure": "tied"}
        law = GaussianMixture(means=means, weights=WEIGHTS, **options)
        return law, means, dense[:1].expand(K, -1, -1), WEIGHTS
    return GaussianMixture(means=means, covariances=dense, weights=WEIGHTS), means, dense, WEIGHTS


def exactly(values: torch.Tensor) -> list:
    return [[Fraction(v) for v in row] for row in values.tolist()]


def solved(matrix: list, right: list) -> tuple[list, Fraction]:
    """C^{-1} y and det C by elimination in fractions; C is positive definite."""
    rows = [[*row, y] for row, y in zip(matrix, right, strict=True)]
    det, d = Fraction(1), len(rows)
    for i in range(d):
        det *= rows[i][i]
        for j in range(i + 1, d):
            ratio = rows[j][i] / rows[i][i]
            rows[j] = [a - ratio * b for a, b in zip(rows[j], rows[i], strict=True)]
    out = [Fraction(0)] * d
    for i in reversed(range(d)):
        rest = sum(rows[i][j] * out[j] for j in range(i + 1, d))
        out[i] = (rows[i][d] - rest) / rows[i][i]
    return out, det


def truth(means, dense, weights, alpha: float, sigma: float, x: torch.Tensor):
    """log q, responsibilities, score, E[x0], E[eps] at one state (d,); `dense` of fractions."""
    a, s, logs, each = Fraction(alpha), Fraction(sigma), [], []
    for mean, matrix, weight in zip(exactly(means), dense, weights, strict=True):
        d = len(mean)
        total = [[a * a * matrix[i][j] + s * s * (i == j) for j in range(d)] for i in range(d)]
        y = [Fraction(v) - a * m for v, m in zip(x.tolist(), mean, strict=True)]
        pull, det = solved(total, y)
        square = float(sum(p * q for p, q in zip(pull, y, strict=True)))
        log_det = math.log(det.numerator) - math.log(det.denominator)
        logs.append(math.log(weight) - 0.5 * (square + log_det + d * math.log(2 * math.pi)))
        shift = [a * sum(c * p for c, p in zip(row, pull, strict=True)) for row in matrix]
        x0 = [float(m + v) for m, v in zip(mean, shift, strict=True)]
        each.append(([-float(p) for p in pull], x0, [float(s * p) for p in pull]))
    logs = torch.tensor(logs, dtype=torch.float64)
    r = logs.softmax(0)
    averages = (r @ torch.tensor(part, dtype=torch.float64) for part in zip(*each, strict=True))
    return logs.logsumexp(0), r, *averages


def levels(scales: torch.Tensor) -> list[tuple[float, float]]:
    small, middle, large = (float(v) for v in scales.sort().values[[0, D // 2, -1]])
    return [(1.0, 0.0), (1.0, small), (0.8, middle), (0.5, large)]


def states(means, scales, alpha: float, sigma: float, n: int = 2) -> torch.Tensor:
    return alpha * (means[0] + random(8, n, D) * scales) + sigma * random(9, n, D)


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("kind", ["gaussian", "tied", "full"])
def test_every_answer_is_the_exact_one(kind: str, spread: str) -> None:
    """At floats and at levels of rows; numbers of column j in units of its own scale."""
    scales = scales_of(spread)
    law, means, dense, weights = parts(kind, scales)
    fractions = [exactly(matrix) for matrix in dense]
    for alpha, sigma in levels(scales):
        x = states(means, scales, alpha, sigma)
        wanted = [truth(means, fractions, weights, alpha, sigma, row) for row in x]
        log_prob, r, score, x0, eps = (torch.stack(part) for part in zip(*wanted, strict=True))
        width = (alpha**2 * scales.square() + sigma**2).sqrt()
        rows = tuple(torch.full((len(x), 1), v, dtype=torch.float64) for v in (alpha, sigma))
        for level in ((alpha, sigma), rows):
            close = {"rtol": TINY, "atol": TINY}
            torch.testing.assert_close(law.log_prob(x, *level), log_prob, **close)
            torch.testing.assert_close(law.score(x, *level) * width, score * width, **close)
            got = law.posterior(x, *level)
            torch.testing.assert_close(got[0] / scales, x0 / scales, **close)
            torch.testing.assert_close(got[1] * width, eps * width, rtol=TINY, atol=TINY * sigma)
            if kind != "gaussian":
                torch.testing.assert_close(law.responsibilities(x, *level), r, **close)


@pytest.mark.parametrize("kind", ["gaussian", "full"])
def test_float32_states_lose_their_own_digits_alone(kind: str) -> None:
    scales = scales_of("1e20")
    law, means, dense, weights = parts(kind, scales)
    for alpha, sigma in levels(scales):
        x = states(means, scales, alpha, sigma).to(torch.float32)
        fractions = [exactly(matrix) for matrix in dense]
        wanted = [truth(means, fractions, weights, alpha, sigma, row)[2] for row in x.double()]
        width = (alpha**2 * scales.square() + sigma**2).sqrt()
        off = (law.score(x, alpha, sigma).double() - torch.stack(wanted)) * width
        assert float(off.abs().max()) < 1e-6


@pytest.mark.parametrize("kind", ["gaussian", "tied", "full"])
def test_the_score_is_the_slope(kind: str) -> None:
    scales = scales_of("1e20")
    law, means, *_ = parts(kind, scales)
    for alpha, sigma in levels(scales):
        x = states(means, scales, alpha, sigma, 5).requires_grad_()
        (slope,) = torch.autograd.grad(law.log_prob(x, alpha, sigma).sum(), x)
        width = (alpha**2 * scales.square() + sigma**2).sqrt()
        got = law.score(x.detach(), alpha, sigma) * width
        torch.testing.assert_close(got, slope * width, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("spread", SPREADS)
def test_axes_in_many_dimensions(spread: str) -> None:
    """Orthonormal, of the matrix entry by entry, and its density by Cholesky's factor."""
    scales = scales_of(spread, 60)
    dense = covariances(scales, 3)
    variances, axes = principal_axes(dense)
    assert bool((variances.diff() >= 0.0).all())
    unit = torch.eye(60, dtype=torch.float64).expand(3, -1, -1)
    torch.testing.assert_close(axes.mT @ axes, unit, rtol=0, atol=1e-13)
    back = (axes * variances.unsqueeze(-2)) @ axes.mT
    off = (back - dense) / (scales * scales[:, None])
    assert float(off.abs().max()) < 1e-13
    law = GaussianMixture(means=random(3, 3, 60) * scales, covariances=dense)
    x = law.means + random(4, 3, 60) * scales
    clean = (torch.ones(3, 1).double(), torch.zeros(3, 1).double())  # rows go by the axes
    torch.testing.assert_close(law.log_prob(x, *clean), law.log_prob(x), rtol=TINY, atol=0)
    scores = law.score(x, *clean) * scales, law.score(x) * scales
    torch.testing.assert_close(*scores, rtol=1e-11, atol=1e-11)


def test_even_columns_are_left_as_they_were() -> None:
    even, far = covariances(torch.linspace(0.1, 3.0, D)), covariances(scales_of("1e8"))
    for got, wanted in zip(principal_axes(even), torch.linalg.eigh(even), strict=True):
        assert torch.equal(got, wanted)
    mixed = principal_axes(torch.cat([even, far]))
    for got, wanted in zip(mixed, torch.linalg.eigh(even), strict=True):
        assert torch.equal(got[:K], wanted)


def test_a_column_of_zeros_is_left_out() -> None:
    """Noise of its own there, and the law of the other columns."""
    scales = scales_of("1e20")
    dense = covariances(scales)
    dense[:, 2], dense[:, :, 2] = 0.0, 0.0
    live = torch.arange(D) != 2
    law = GaussianMixture(means=torch.zeros(K, D), covariances=dense)
    rest = GaussianMixture(means=torch.zeros(K, D - 1), covariances=dense[:, live][:, :, live])
    assert law.degenerate
    for _, sigma in levels(scales)[1:]:
        x = states(torch.zeros(K, D), scales, 1.0, sigma)
        own = torch.distributions.Normal(torch.zeros(()).double(), sigma).log_prob(x[:, 2])
        wanted = rest.log_prob(x[:, live], 1.0, sigma) + own
        torch.testing.assert_close(law.log_prob(x, 1.0, sigma), wanted, rtol=TINY, atol=TINY)


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["gaussian", "tied", "full"])
def test_given_some_columns(kind: str, noise: float) -> None:
    """The least, a middle and the greatest, each at its mean 0: Schur's complement is the rest."""
    scales = scales_of("1e20")
    _, means, dense, weights = parts(kind, scales)
    means, seen = torch.zeros_like(means), scales.argsort()[[0, 2, 5]]
    law = (
        Gaussian(mean=means[0], covariance=dense[0])
        if kind == "gaussian"
        else GaussianMixture(
            means=means,
            weights=weights,
            covariances=dense[0] if kind == "tied" else dense,
            structure=kind,
        )
    )
    noises = noise * scales[seen].square()
    after = condition(law, torch.eye(D)[seen], torch.zeros(3), noises)
    left = []
    for matrix in map(exactly, dense):
        for c, r in zip(seen.tolist(), noises.tolist(), strict=True):  # one row after another
            gain = [matrix[i][c] / (matrix[c][c] + Fraction(r)) for i in range(D)]
            matrix = [[matrix[i][j] - gain[i] * matrix[c][j] for j in range(D)] for i in range(D)]
        left.append(matrix)
    held = [1.0] if kind == "gaussian" else after.weights.tolist()
    for alpha, sigma in levels(scales)[1:]:
        widths = torch.tensor([max(float(m[i][i]) for m in left) for i in range(D)]).double()
        x = alpha * random(8, 2, D) * widths.sqrt() + sigma * random(9, 2, D)
        wanted = [truth(means, left, held, alpha, sigma, row) for row in x]
        width = (alpha**2 * widths + sigma**2).sqrt()
        close = {"rtol": 1e-11, "atol": 1e-11}
        log_prob, _, score, *_ = (torch.stack(part) for part in zip(*wanted, strict=True))
        torch.testing.assert_close(after.log_prob(x, alpha, sigma), log_prob, **close)
        got = after.score(x, alpha, sigma)
        torch.testing.assert_close(got * width, score * width, **close)


@pytest.mark.parametrize("kind", ["gaussian", "full"])
def test_draws_have_every_columns_own_scale(kind: str) -> None:
    """Whitened draws of one component have unit variances, within 5 standard errors."""
    scales = scales_of("1e20")
    dense = covariances(scales, 1)
    if kind == "gaussian":
        law = Gaussian(mean=torch.zeros(D), covariance=dense[0])
    else:
        law = GaussianMixture(means=torch.zeros(1, D), covariances=dense)
    n = 4000
    root = torch.linalg.cholesky(dense[0] / scales / scales[:, None])
    drawn = law.sample(torch.arange(n), 1) / scales
    z = torch.linalg.solve_triangular(root, drawn.T, upper=False)
    unit = torch.eye(D, dtype=torch.float64)
    assert float((z @ z.T / n - unit).abs().max()) < 5 * math.sqrt(2 / n)


@pytest.mark.parametrize("kind", ["gaussian", "full"])
def test_gradients_reach_uneven_covariances(kind: str) -> None:
    """d log q / d Sigma = alpha^2 (C^{-1} y y^T C^{-1} - C^{-1}) / 2, to what `eigh` leaves."""
    scales = torch.exp2(torch.linspace(-4, 4, D, dtype=torch.float64))
    dense = covariances(scales, 1)[0].requires_grad_()
    if kind == "gaussian":
        law = Gaussian(mean=torch.zeros(D), covariance=dense)
    else:
        law = GaussianMixture(means=torch.zeros(1, D), covariances=dense[None])
    alpha, sigma, x = 0.8, 0.2, random(8, 1, D) * scales
    (got,) = torch.autograd.grad(law.log_prob(x, alpha, sigma).sum(), dense)
    inverse = torch.linalg.inv(alpha**2 * dense.detach() + sigma**2 * torch.eye(D))
    pull = inverse @ x[0]
    wanted = 0.5 * alpha**2 * (pull[:, None] * pull - inverse)
    units = scales * scales[:, None]
    symmetric = 0.5 * (got + got.T)
    torch.testing.assert_close(symmetric * units, wanted * units, rtol=1e-7, atol=1e-7)
