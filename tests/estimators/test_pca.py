"""PCA: scikit-learn's eigenvectors, the error that it states, and the bound of the random one."""

import math

import numpy as np
import pytest
import torch
from sklearn import decomposition

from scoresde.errors import CapabilityError, DataError, OptionError
from scoresde.estimators import PCA, NotFittedError, load, save


def data(n: int, d: int, seed: int = 0) -> torch.Tensor:
    """Correlated rows whose eigenvalues lie well apart, of mean 1, 2, ..., d."""
    draw = torch.Generator().manual_seed(seed)
    z = torch.randn(n, d, generator=draw, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(d, d, generator=draw, dtype=torch.float64)).Q
    spread = 3.0 * 0.8 ** torch.arange(d, dtype=torch.float64)
    return (z * spread) @ turn + torch.arange(1, d + 1, dtype=torch.float64)


class LazyRows:
    """Rows that come in blocks of seven, as a file may hold them."""

    def __init__(self, x: torch.Tensor):
        self.x, self.shape = x, x.shape

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index]

    def blocks(self):
        yield from self.x.split(7)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("n", "d", "solver"), [(150, 12, "covariance"), (15, 40, "gram")])
def test_the_exact_solver_is_that_of_scikit_learn(n, d, solver, dtype) -> None:
    x = data(n, d).to(dtype)
    model = PCA(components=5).fit(x)
    theirs = decomposition.PCA(5, svd_solver="full").fit(x.numpy().astype(np.float64))
    assert model.solver == solver
    torch.testing.assert_close(model.mean, torch.tensor(theirs.mean_), rtol=1e-12, atol=1e-12)
    variances = torch.tensor(theirs.explained_variance_) * (n - 1) / n
    torch.testing.assert_close(model.variances, variances, rtol=1e-10, atol=0.0)
    axes = torch.tensor(theirs.components_.T)
    torch.testing.assert_close(model.axes.abs(), axes.abs(), rtol=0.0, atol=1e-10)
    overlap = (model.axes * axes).sum(0).abs()
    torch.testing.assert_close(overlap, torch.ones_like(overlap), rtol=0.0, atol=1e-10)
    share = torch.tensor(theirs.explained_variance_ratio_)
    torch.testing.assert_close(model.explained, share, rtol=1e-10, atol=0.0)


def rows32(last: float, kind: str) -> torch.Tensor:
    """Rows (3000, 160) of float32; the smallest deviation is 10^last of the largest."""
    draw = torch.Generator().manual_seed(3)
    spread = torch.logspace(0, last, 160, dtype=torch.float64)
    z = torch.randn(3000, 160, generator=draw, dtype=torch.float64)
    if kind == "two values":  # whose products round alike, row after row
        return (0.1 * spread * z.sign()).to(torch.float32)
    turn = torch.linalg.qr(torch.randn(160, 160, generator=draw, dtype=torch.float64)).Q
    scale, offset = {"plain": (1.0, 0.0), "far": (1.0, 1e3), "tiny": (1e-15, 0.0)}[kind]
    return (scale * ((z * spread) @ turn + offset)).to(torch.float32)


@pytest.mark.parametrize("kind", ["plain", "far", "tiny", "two values"])
@pytest.mark.parametrize("last", [-1.5, -10.0])
def test_few_axes_of_float32_data_are_those_of_float64(last, kind) -> None:
    """Sought in float32 where that can tell them; in float64 where the spectrum is too steep."""
    x = rows32(last, kind)
    y = x.to(torch.float64) - x.mean(0, dtype=torch.float64)
    exact = torch.linalg.eigvalsh(y.T @ y / len(x)).flip(0)
    model = PCA(components=40).fit(x)
    torch.testing.assert_close(model.variances, exact[:40], rtol=1e-9, atol=0.0)
    assert model.rest == pytest.approx(float(exact[40:].sum()), rel=1e-9)
    error = model.reconstruction_error(x.to(torch.float64))
    assert float(error.mean()) == pytest.approx(model.rest, rel=1e-9)
    eye = torch.eye(40, dtype=torch.float64)
    torch.testing.assert_close(model.axes.T @ model.axes, eye, rtol=0.0, atol=1e-13)


@pytest.mark.parametrize("solver", ["exact", "randomised"])
@pytest.mark.parametrize(("n", "d"), [(150, 12), (15, 40)])
def test_what_is_lost_is_the_discarded_variance(n, d, solver) -> None:
    x = data(n, d)
    model = PCA(components=4, solver=solver).fit(x)
    error = model.reconstruction_error(x)
    assert float(error.mean()) == pytest.approx(model.rest, rel=1e-10)
    assert model.total == pytest.approx(float(x.var(0, correction=0).sum()), rel=1e-12)
    torch.testing.assert_close(
        error, (x - model.reconstruct(x)).square().sum(1), rtol=1e-9, atol=1e-12
    )
    eye = torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(model.axes.T @ model.axes, eye, rtol=0.0, atol=1e-13)
    peak = model.axes.gather(0, model.axes.abs().argmax(0, keepdim=True))
    assert bool((peak > 0.0).all())
    z = model.transform(x)
    torch.testing.assert_close(z.T @ z / n, model.variances.diag(), rtol=1e-10, atol=1e-10)
    white = model.whiten(x)
    torch.testing.assert_close(white.T @ white / n, eye, rtol=0.0, atol=1e-10)
    nearest = model.reconstruct(x)
    for other in (model.inverse(z), model.unwhiten(white), model.reconstruct(nearest)):
        torch.testing.assert_close(other, nearest, rtol=1e-12, atol=1e-12)


def test_a_far_mean_and_odd_blocks_cost_no_digits() -> None:
    x = (data(200, 9) * 2.0**20).round() / 2.0**20  # so that adding 1e6 is exact
    near = PCA(components=3).fit(x)
    for other in (PCA(components=3).fit(x + 1e6), PCA(components=3).fit(LazyRows(x))):
        torch.testing.assert_close(other.variances, near.variances, rtol=1e-12, atol=0.0)
        torch.testing.assert_close(other.axes, near.axes, rtol=0.0, atol=1e-12)
        assert other.rest == pytest.approx(near.rest, rel=1e-12)
    options = PCA(components=3, solver="randomised")
    whole, pieces = options.fit(x), options.fit(LazyRows(x))
    torch.testing.assert_close(whole.axes, pieces.axes, rtol=0.0, atol=1e-10)
    half = PCA(components=3).fit(x.float() * 2.0**-30)
    assert half.variances.dtype == torch.float64
    torch.testing.assert_close(half.variances * 2.0**60, near.variances, rtol=1e-5, atol=0.0)


def test_a_share_of_the_variance_takes_the_fewest_axes() -> None:
    x = data(150, 12)
    every = PCA(components=12).fit(x).explained.cumsum(0)
    for share in (0.01, 0.5, 0.9, 0.999, 1.0 - 1e-12):
        model = PCA(components=share).fit(x)
        assert float(model.explained.sum()) >= share
        assert model.components == 1 or float(every[model.components - 2]) < share


@pytest.mark.parametrize("q", [1, 3])
def test_the_randomised_solver_keeps_its_bound(q) -> None:
    m, p, d = 6, 6, 80
    x = data(120, d)
    exact = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
    y = x - x.mean(0)
    outside = []
    for seed in range(5):
        model = PCA(components=m, solver="randomised", oversampling=p, power_iterations=q).fit(
            x, seed=seed
        )
        off = y - (y @ model.axes) @ model.axes.T
        outside.append(float(torch.linalg.matrix_norm(off, 2)) / math.sqrt(len(x)))
        nearest = (model.variances[:, None] - exact).abs().min(1).values
        assert bool((nearest <= (model.residual + 1e-14) * exact[0]).all())
        assert bool((model.variances <= exact[:m] * (1.0 + 1e-12)).all())
    bound = (1.0 + math.sqrt(m / (p - 1))) * exact[m] ** q
    tail = float(exact[m:].pow(2 * q).sum()) ** 0.5
    bound += math.e * math.sqrt(m + p) / p * tail
    # theorem 9.3 for keeping m of the m + p columns
    limit = math.sqrt(exact[m]) + float(bound) ** (0.5 / q)
    assert math.sqrt(exact[m]) * (1.0 - 1e-12) <= sum(outside) / len(outside) <= limit


def test_the_randomised_solver_depends_on_its_seed_alone() -> None:
    x = data(60, 50)
    options = PCA(components=4, solver="randomised", power_iterations=2)
    first, again, other = (options.fit(x, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.axes, again.axes)
    assert not torch.equal(first.axes, other.axes)
    many = PCA(components=4, solver="randomised", power_iterations=60).fit(x)
    exact = PCA(components=4, solver="exact").fit(x)
    torch.testing.assert_close(many.variances, exact.variances, rtol=1e-12, atol=0.0)
    torch.testing.assert_close(many.axes, exact.axes, rtol=0.0, atol=1e-9)
    assert many.residual < 1e-9


def test_the_diffused_density_is_the_dense_gaussian() -> None:
    x = data(80, 8)
    model = PCA(components=3).fit(x)
    dense = (model.axes * model.variances) @ model.axes.T
    alpha, sigma = 0.7, 0.4
    covariance = alpha**2 * dense + sigma**2 * torch.eye(8, dtype=torch.float64)
    law = torch.distributions.MultivariateNormal(alpha * model.mean, covariance)
    torch.testing.assert_close(
        model.density.log_prob(x, alpha, sigma), law.log_prob(x), rtol=1e-10, atol=1e-10
    )
    drawn = model.density.sample(torch.arange(50), seed=1)
    assert float(model.reconstruction_error(drawn).max()) < 1e-24 * model.total * 8 + 1e-26


def test_events_keep_their_shape_and_dtype() -> None:
    x = data(40, 12).float().reshape(40, 1, 3, 4)
    model = PCA(components=5).fit(x)
    flat = PCA(components=5).fit(x.flatten(1))
    assert torch.equal(model.axes, flat.axes)
    for back in (model.reconstruct(x), model.inverse(model.transform(x))):
        assert back.shape == x.shape
        assert back.dtype == torch.float32
    assert model.density.event_shape == (1, 3, 4)
    with pytest.raises(DataError, match=r"\(1, 3, 4\)"):
        model.transform(x.flatten(1))
    with pytest.raises(DataError, match=r"needs \(batch, 5\)"):
        model.inverse(torch.zeros(3, 4))


@pytest.mark.parametrize("solver", ["exact", "randomised"])
def test_axes_without_variance(solver) -> None:
    draw = torch.Generator().manual_seed(2)
    low = torch.randn(30, 2, generator=draw, dtype=torch.float64) @ data(2, 50)[:, :20]
    for x in (low, torch.cat([low[:6], low[:6]])):  # more data than columns, and doubled rows
        model = PCA(components=4, solver=solver).fit(x)
        eye = torch.eye(4, dtype=torch.float64)
        torch.testing.assert_close(model.axes.T @ model.axes, eye, rtol=0.0, atol=1e-12)
        assert model.rest == 0.0
        torch.testing.assert_close(model.reconstruct(x), x, rtol=1e-10, atol=1e-10)
        with pytest.raises(CapabilityError, match="components = 2"):
            model.whiten(x)
    still = PCA(components=2, solver=solver).fit(torch.full((7, 5), 1.0 / 3.0))
    assert (still.total, float(still.explained.sum())) == (0.0, 0.0)
    with pytest.raises(CapabilityError, match="do not vary"):
        still.unwhiten(torch.zeros(1, 2))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"components": 0}, "at least 1"),
        ({"components": True}, "components"),
        ({"components": "2"}, "components"),
        ({"components": 1.0}, r"\(0, 1\)"),
        ({"components": math.nan}, r"\(0, 1\)"),
        ({"components": 0.5, "solver": "randomised"}, "integer"),
        ({"components": 2, "solver": "svd"}, "solver"),
        ({"components": 2, "oversampling": 1}, "oversampling"),
        ({"components": 2, "power_iterations": 0}, "power_iterations"),
    ],
)
def test_options_out_of_range(options, says) -> None:
    with pytest.raises(OptionError, match=says):
        PCA(**options)


def test_data_that_cannot_be_used() -> None:
    x = data(10, 4)
    with pytest.raises(DataError, match="at least 2"):
        PCA(components=1).fit(x[:1])
    with pytest.raises(OptionError, match="at most 4"):
        PCA(components=5).fit(x)
    with pytest.raises(OptionError, match="at most 2"):
        PCA(components=3).fit(x[:3])
    with pytest.raises(DataError, match="PPCA"):
        PCA(components=1).fit(torch.where(x == x[3, 2], math.nan, x))
    with pytest.raises(DataError, match="float64"):
        PCA(components=1).fit(x * 1e200)
    with pytest.raises(DataError, match="do not vary"):
        PCA(components=0.5).fit(torch.ones(5, 3))
    with pytest.raises(NotFittedError):
        PCA(components=1).transform(x)


def test_a_model_comes_back_to_the_bit(tmp_path) -> None:
    x = data(30, 6).reshape(30, 2, 3)
    model = PCA(components=2).fit(x)
    save(tmp_path / "pca.safetensors", model)
    back = load(tmp_path / "pca.safetensors")
    assert (back.rest, back.solver, back.event_shape) == (model.rest, "covariance", (2, 3))
    assert torch.equal(back.transform(x), model.transform(x))
    assert torch.equal(back.density.score(x, 0.5, 0.5), model.density.score(x, 0.5, 0.5))
