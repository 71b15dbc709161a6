"""PPCA: the maximum of the likelihood, by the closed form and by EM, with entries missing."""

import math

import pytest
import torch
from scipy import stats
from sklearn import decomposition

from scoresde.errors import DataError, OptionError
from scoresde.estimators import PCA, PPCA, load, save
from scoresde.kernels import Purpose, normal

NAN = math.nan


def data(n: int = 400, d: int = 9, m: int = 3, noise: float = 0.7, seed: int = 0) -> torch.Tensor:
    """Draws from a PPCA law of mean 1, 2, ..., d."""
    draw = torch.Generator().manual_seed(seed)
    factor = torch.randn(d, m, generator=draw, dtype=torch.float64)
    factor *= torch.linspace(3.0, 1.0, m, dtype=torch.float64)
    z = torch.randn(n, m, generator=draw, dtype=torch.float64)
    eps = torch.randn(n, d, generator=draw, dtype=torch.float64)
    return z @ factor.T + noise * eps + torch.arange(1, d + 1, dtype=torch.float64)


def holed(x: torch.Tensor, share: float = 0.25, seed: int = 1) -> torch.Tensor:
    """Entries missing at random, and two rows wholly missing."""
    draw = torch.Generator().manual_seed(seed)
    x = x.masked_fill(torch.rand(x.shape, generator=draw) < share, NAN)
    x[[5, 11]] = NAN
    return x


def dense(factor, variance) -> torch.Tensor:
    return factor @ factor.T + variance * torch.eye(len(factor), dtype=torch.float64)


def observed_log_prob(x, mean, factor, variance) -> torch.Tensor:
    """sum over rows of log N(x_o; mean_o, C_oo), row by row."""
    covariance, total = dense(factor, variance), 0.0
    for row in x:
        seen = ~row.isnan()
        if bool(seen.any()):
            law = torch.distributions.MultivariateNormal(mean[seen], covariance[seen][:, seen])
            total = total + law.log_prob(row[seen])
    return total


@pytest.mark.parametrize(("n", "d"), [(200, 9), (12, 40)])
def test_the_closed_form_has_the_likelihood_of_theory(n, d) -> None:
    x, m = data(n, d), 4
    model = PPCA(components=m).fit(x)
    spectrum = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
    noise = float(spectrum[m:].mean())
    assert model.variance == pytest.approx(noise, rel=1e-10)
    top = float(spectrum[:m].log().sum()) + (d - m) * math.log(noise)
    theory = -0.5 * n * (d * math.log(2.0 * math.pi) + top + d)
    assert float(model.log_prob(x).sum()) == pytest.approx(theory, rel=1e-10)
    law = stats.multivariate_normal(model.mean.numpy(), dense(model.factor, model.variance))
    scipys = torch.tensor(law.logpdf(x.numpy()))
    torch.testing.assert_close(model.log_prob(x), scipys, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(model.density.log_prob(x), scipys, rtol=1e-10, atol=1e-10)


def test_the_closed_form_is_the_covariance_of_scikit_learn() -> None:
    x = data()
    model = PPCA(components=3).fit(x)
    theirs = decomposition.PCA(3).fit(x.numpy())  # takes covariances with 1/(n - 1)
    covariance = torch.tensor(theirs.get_covariance()) * (len(x) - 1) / len(x)
    torch.testing.assert_close(dense(model.factor, model.variance), covariance)
    assert float(model.log_prob(x).mean()) > theirs.score(x.numpy())


@pytest.mark.parametrize("missing", [False, True])
def test_the_gradient_of_the_likelihood_vanishes(missing) -> None:
    x = data(60, 7)
    if missing:
        x = holed(x)
        model = PPCA(components=2, method="em", tolerance=1e-13).fit(x)
        assert model.converged
    else:
        model = PPCA(components=2).fit(x)
    at = [
        model.mean.clone(),
        model.factor.clone(),
        torch.tensor(model.variance, dtype=torch.float64),
    ]
    at = [part.requires_grad_() for part in at]
    total = observed_log_prob(x, *at) / len(x)
    # the gain of the last iteration, 1e-13 nats, allows gradients of its root
    for gradient in torch.autograd.grad(total, at):
        assert float(gradient.abs().max()) < (3e-6 if missing else 1e-10)
    if missing:
        assert model.trace[-1] == pytest.approx(
            float(total.detach()) * len(x) / (len(x) - 2), rel=1e-12
        )


@pytest.mark.parametrize("noise", [0.05, 0.7, 2.0])
def test_em_climbs_to_the_closed_form(noise) -> None:
    x = data(noise=noise)
    closed = PPCA(components=3).fit(x)
    seen = []
    model = PPCA(components=3, method="em", tolerance=1e-14).fit(
        x, seed=4, on_iteration=lambda i, value: seen.append((i, value))
    )
    assert seen == list(enumerate(model.trace, 1))
    gains = torch.tensor(model.trace).diff()
    assert float(gains.min()) > -1e-12
    scale = float(closed.factor.square().max())
    torch.testing.assert_close(
        dense(model.factor, model.variance),
        dense(closed.factor, closed.variance),
        rtol=0.0,
        atol=1e-6 * scale,
    )
    torch.testing.assert_close(model.factor, closed.factor, rtol=0.0, atol=2e-6 * scale)
    assert model.trace[-1] == pytest.approx(float(closed.log_prob(x).mean()), abs=1e-11)


def test_em_never_falls_and_finds_the_law_behind_holes() -> None:
    n, d, m, share = 1000, 10, 3, 0.2
    x = data(n, d, m)
    y = holed(x, share)
    model = PPCA(components=m, method="em").fit(y)
    assert model.converged
    assert float(torch.tensor(model.trace).diff().min()) > -1e-12
    kept = ~y.isnan().all(1)
    dropped = PPCA(components=m, method="em").fit(y[kept])
    torch.testing.assert_close(dropped.factor, model.factor, rtol=1e-9, atol=1e-9)
    assert model.log_prob(y)[~kept].tolist() == [0.0, 0.0]
    # the log-likelihood ratio of full data: p / 2 of mean, by the share of information missing;
    # four times that is beyond any chance
    closed = PPCA(components=m).fit(x)
    parameters = d * m - m * (m - 1) / 2 + d + 1
    lost = float((closed.log_prob(x) - model.log_prob(x)).sum())
    assert 0.0 < lost < 4.0 * parameters / 2.0 * share / (1.0 - share)


def test_the_posterior_and_the_imputed_are_those_of_the_joint_gaussian() -> None:
    x = data(300, 6, 2)
    model = PPCA(components=2).fit(x)
    y = holed(x[:20], 0.4)
    means, spreads = model.posterior(y)
    filled = model.impute(y)
    assert torch.equal(filled[~y.isnan()], y[~y.isnan()])
    w, covariance = model.factor, dense(model.factor, model.variance)
    for row, mean, spread, full in zip(y, means, spreads, filled, strict=True):
        seen = ~row.isnan()
        gain = torch.linalg.solve(covariance[seen][:, seen], w[seen]).T
        there = row[seen] - model.mean[seen]
        torch.testing.assert_close(mean, gain @ there, rtol=1e-9, atol=1e-9)
        eye = torch.eye(2, dtype=torch.float64)
        torch.testing.assert_close(spread, eye - gain @ w[seen], rtol=1e-9, atol=1e-9)
        regress = torch.linalg.solve(covariance[seen][:, seen], covariance[seen][:, ~seen]).T
        guess = model.mean[~seen] + regress @ there
        torch.testing.assert_close(full[~seen], guess, rtol=1e-9, atol=1e-9)
    whole = model.posterior(x[:3])
    part = model.posterior(torch.cat([x[:3], y]))
    torch.testing.assert_close(whole[0], part[0][:3], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(whole[1], part[1][:3], rtol=1e-12, atol=1e-12)


def test_the_diffused_score_is_the_dense_one() -> None:
    x, alpha, sigma = data(150, 60, 5), 0.8, 0.3
    model = PPCA(components=5).fit(x)
    covariance = alpha**2 * dense(model.factor, model.variance)
    covariance += sigma**2 * torch.eye(60, dtype=torch.float64)
    score = -torch.linalg.solve(covariance, (x - alpha * model.mean).T).T
    torch.testing.assert_close(model.density.score(x, alpha, sigma), score, rtol=1e-10, atol=1e-10)


def test_twenty_thousand_dimensions_need_no_square_matrix() -> None:
    """One would take 3.2 GB. Off the subspace the score is -y / (alpha^2 s2 + sigma^2)."""
    x = data(12, 20_000, 5)
    model = PPCA(components=5).fit(x)
    ids = torch.arange(2)
    y = normal(0, Purpose.DATA, 0, ids, (20_000,))
    axes = torch.linalg.qr(model.factor).Q
    y = y - (y @ axes) @ axes.T
    score = model.density.score(0.5 * model.mean + y, 0.5, 0.5)
    expected = -y / (0.25 * model.variance + 0.25)
    torch.testing.assert_close(score, expected, rtol=1e-8, atol=1e-8)


def test_the_factor_is_canonical() -> None:
    x = data()
    fits = [PPCA(components=3).fit(x), PPCA(components=3, method="em").fit(holed(x))]
    for model in fits:
        gram = model.factor.T @ model.factor
        torch.testing.assert_close(gram, gram.diag().diag(), rtol=0.0, atol=1e-10)
        assert bool((gram.diag().diff() < 0.0).all())
        peak = model.factor.gather(0, model.factor.abs().argmax(0, keepdim=True))
        assert bool((peak > 0.0).all())


def test_an_explicit_start() -> None:
    x = data(100, 6)
    closed = PPCA(components=2).fit(x)
    em = PPCA(components=2, method="em", tolerance=1e-12)
    stays = em.fit(x, start=closed)
    assert stays.iterations == 1
    torch.testing.assert_close(stays.factor, closed.factor, rtol=0.0, atol=1e-9)
    with pytest.raises(OptionError, match="start has 3 components"):
        em.fit(x, start=PPCA(components=3).fit(x))
    with pytest.raises(OptionError, match="closed form"):
        PPCA(components=2).fit(x, start=closed)
    with pytest.raises(OptionError, match="PPCAModel"):
        em.fit(x, start=PCA(components=2).fit(x))


def test_a_far_mean_a_tiny_scale_and_float32() -> None:
    x = (data(100, 6) * 2.0**20).round() / 2.0**20  # so that adding 1e6 is exact
    y = holed(x)
    for method, rows in (("closed", x), ("em", y)):
        options = PPCA(components=2, method=method, max_iterations=30)
        near, far = options.fit(rows), options.fit(rows + 1e6)
        tiny = options.fit(rows * 2.0**-300)
        torch.testing.assert_close(far.factor, near.factor, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(tiny.factor * 2.0**300, near.factor, rtol=1e-8, atol=1e-8)
        assert far.variance == pytest.approx(near.variance, rel=1e-9)
        events = rows.float().reshape(-1, 1, 2, 3)
        half = options.fit(events)
        assert half.density.event_shape == (1, 2, 3)
        assert half.impute(events).shape == events.shape
        assert half.impute(events).dtype == half.posterior(events)[0].dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"components": 0}, "components"),
        ({"components": 0.9}, "components"),
        ({"components": 2, "method": "map"}, "method"),
        ({"components": 2, "solver": "svd"}, "solver"),
        ({"components": 2, "max_iterations": 0}, "max_iterations"),
        ({"components": 2, "tolerance": NAN}, "tolerance"),
        ({"components": 2, "tolerance": "small"}, "tolerance"),
    ],
)
def test_options_out_of_range(options, says) -> None:
    with pytest.raises(OptionError, match=says):
        PPCA(**options)


@pytest.mark.parametrize("method", ["closed", "em"])
def test_data_without_noise_are_refused(method) -> None:
    x = data(30, 6)
    low = x[:, :2] @ x[:2]
    for m in (2, 3):
        with pytest.raises(DataError, match="subspace"):
            PPCA(components=m, method=method).fit(low)
    with pytest.raises(DataError, match="do not vary"):
        PPCA(components=2, method=method).fit(torch.full((9, 5), 1.0 / 3.0))
    with pytest.raises(OptionError, match="at most 5"):
        PPCA(components=6, method=method).fit(x)
    with pytest.raises(OptionError, match="at most 2"):
        PPCA(components=3, method=method).fit(x[:4])
    with pytest.raises(OptionError, match="no number"):
        PPCA(components=1, method=method).fit(x[:, :1])
    with pytest.raises(DataError, match="at least 3"):
        PPCA(components=1, method=method).fit(x[:2])
    constant = x.clone()
    constant[:, 2] = 4.0
    assert abs(PPCA(components=2, method=method).fit(constant).factor[2]).max() < 1e-5


def test_missing_data_that_cannot_be_used() -> None:
    x = holed(data(30, 6))
    with pytest.raises(DataError, match="PPCA"):
        PPCA(components=2).fit(x)
    x[:, 4] = NAN
    with pytest.raises(DataError, match="column 4"):
        PPCA(components=2, method="em").fit(x)
    few = torch.full((9, 4), NAN, dtype=torch.float64)
    few[:3] = data(3, 4)
    with pytest.raises(OptionError, match="3 rows"):
        PPCA(components=2, method="em").fit(few)
    with pytest.raises(DataError, match="infinite"):
        PPCA(components=2, method="em").fit(torch.full((9, 4), math.inf))


def test_a_model_comes_back_to_the_bit(tmp_path) -> None:
    x = holed(data(40, 6)).reshape(40, 2, 3)
    model = PPCA(components=2, method="em", max_iterations=5).fit(x)
    save(tmp_path / "ppca.safetensors", model)
    back = load(tmp_path / "ppca.safetensors")
    assert (back.trace, back.variance, back.converged) == (model.trace, model.variance, False)
    assert torch.equal(back.impute(x), model.impute(x))
    z = model.impute(x)
    assert torch.equal(back.density.log_prob(z, 0.5, 0.5), model.density.log_prob(z, 0.5, 0.5))
