"""Laws of kernel density estimates and of the diffused empirical distribution."""

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KernelDensity as SklearnKernelDensity
from torch.nn.attention import SDPBackend, sdpa_kernel

from scoresde.data import Digits
from scoresde.densities import KDE, FarFromDataWarning, GaussianMixture, load, save
from scoresde.errors import OptionError

RNG = np.random.default_rng(31)
N, D = 1300, 3  # two blocks of data
POINTS = RNG.standard_normal((N, D)) + np.array([3.0, -1.0, 0.0])
WEIGHTS = RNG.uniform(0.2, 1.0, N)
LABELS = tuple(i * i % 7 % 3 for i in range(N))
LEVELS = [(1.0, 0.0), (1.0, 0.01), (0.9, 0.1), (0.6, 0.8), (0.01, 1.0), (0.0, 1.0), (1.0, 30.0)]
FAR = pytest.mark.filterwarnings("ignore::scoresde.densities.FarFromDataWarning")
AT = pytest.mark.parametrize("level", LEVELS, ids=str)


def estimate(h: float = 0.3, **options) -> KDE:
    return KDE(points=POINTS, bandwidth=h, weights=WEIGHTS, **options)


def mixture(h: float = 0.3, **options) -> GaussianMixture:
    return GaussianMixture(
        means=POINTS, covariances=np.full(N, h * h), weights=WEIGHTS, **options
    )  # fmt: skip


def states(density, alpha: float, sigma: float, n: int = 150) -> torch.Tensor:
    """Draws of the diffused law, in two blocks of rows."""
    eps = torch.from_numpy(RNG.standard_normal((n, *density.event_shape)))
    return alpha * density.sample(torch.arange(n), 3) + sigma * eps


def digits(sigma: float, h: float = 0.0, rows: int = 24) -> torch.Tensor:
    """States (3 rows, 1, 8, 8) of float32: noisy data, other noisy data, and between neighbours.

    The last are where the nearer of two neighbours weighs e times the other, at small sigma: there
    an error of a weight shows most.
    """
    data = Digits().load()
    x, eps = data.train, torch.from_numpy(RNG.standard_normal((2 * rows, 1, 8, 8))).float()
    flat = x.double().flatten(1)
    one = flat[:rows]
    way = flat[torch.cdist(one, flat).argsort(1)[:, 1]] - one
    share = (h * h + sigma * sigma) / way.square().sum(1, keepdim=True)
    between = one + way * (0.5 - share.clamp(max=0.5))
    noisy = torch.cat([x[:rows], data.test[:rows]]) + sigma * eps
    return torch.cat([noisy, between.float().reshape(-1, 1, 8, 8)])


def differ(got: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest error of a row, as a share of the row's norm."""
    off = (got.double() - wanted).flatten(1).norm(dim=1)
    return float((off / wanted.flatten(1).norm(dim=1)).max())


@AT
@pytest.mark.parametrize("as_tensor", [False, True])
def test_it_is_the_mixture_of_one_component_a_datum(level, as_tensor: bool) -> None:
    one, other = estimate(), mixture()
    x, (alpha, sigma) = states(one, *level), level
    if as_tensor:
        alpha, sigma = (torch.full((len(x), 1), v, dtype=torch.float64) for v in level)
    torch.testing.assert_close(
        one.log_prob(x, alpha, sigma), other.log_prob(x, alpha, sigma), rtol=1e-12, atol=1e-12
    )
    assert differ(one.score(x, alpha, sigma), other.score(x, alpha, sigma)) < 1e-12
    for a, b in zip(one.posterior(x, alpha, sigma), other.posterior(x, alpha, sigma), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert torch.equal(one.sample(torch.arange(9), 5), other.sample(torch.arange(9), 5))


@FAR
def test_log_prob_is_sklearns() -> None:
    """One leaf: sums over a tree lose all digits far from the data."""
    x = torch.from_numpy(RNG.standard_normal((100, D)) * 2.0)
    for h in (0.1, 1.0):
        tree = SklearnKernelDensity(bandwidth=h, leaf_size=N).fit(POINTS)
        got = KDE(points=POINTS, bandwidth=h).log_prob(x)
        np.testing.assert_allclose(got, tree.score_samples(x.numpy()), rtol=1e-10)


@pytest.mark.parametrize("sigma", [0.002, 0.1, 2.0])
def test_without_bandwidth_it_is_a_softmax_over_the_data(sigma: float) -> None:
    z = states(estimate(0.05), 0.9, 0.05, 40)
    logits = -((z.numpy()[:, None] - 0.9 * POINTS) ** 2).sum(-1) / (2 * sigma**2)
    logits += np.log(WEIGHTS)
    weights = np.exp(logits - logits.max(1, keepdims=True))
    expected = weights @ POINTS / weights.sum(1, keepdims=True)
    x0, _ = estimate(0.0).posterior(z, 0.9, sigma)
    np.testing.assert_allclose(x0, expected, rtol=1e-10)


@pytest.mark.parametrize("sigma", [0.002, 0.02, 0.3, 1.0, 80.0])
@pytest.mark.parametrize("h", [0.0, 0.27])
def test_on_digits_in_either_precision(h: float, sigma: float) -> None:
    x = Digits().load().train
    z, density = digits(sigma, h), KDE(points=x, bandwidth=h)
    explicit = GaussianMixture(
        means=x.double().flatten(1), covariances=np.full(len(x), h * h), event_shape=(1, 8, 8)
    )
    wanted = explicit.score(z.double(), 1.0, sigma)
    assert differ(density.score(z, 1.0, sigma), wanted) < 1e-4
    y = z.double().requires_grad_()
    (slope,) = torch.autograd.grad(density.log_prob(y, 1.0, sigma).sum(), y)
    for exact in (slope, wanted):
        assert differ(density.score(z.double(), 1.0, sigma), exact) < 1e-10
    x0, eps = density.posterior(z, 1.0, sigma)
    for got, exact in zip((x0, eps), explicit.posterior(z.double(), 1.0, sigma), strict=True):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got.double(), exact, rtol=0.0, atol=1e-4)


def test_a_row_is_the_same_in_every_batch() -> None:
    """Rows of very different levels and distances, which go by different arithmetic."""
    density = KDE(points=Digits().load().train, bandwidth=0.01)
    z = digits(0.1, rows=2)
    z[1] *= 1e3
    sigma = torch.tensor([0.002, 0.1, 0.3, 1.0, 5.0, 0.05]).reshape(-1, 1, 1, 1)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        x = z.to(dtype)
        together = density.score(x, torch.ones_like(sigma), sigma)
        for i in range(len(x)):
            alone = density.score(x[i : i + 1], 1.0, float(sigma[i]))
            assert differ(together[i : i + 1], alone.double()) < tolerance


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_read_out_is_a_fused_kernel(dtype) -> None:
    """A kernel that cannot serve the layout raises here, and would hold all weights elsewhere."""
    density = KDE(points=Digits().load().train, bandwidth=0.3)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        density.score(digits(1.0).to(dtype), 1.0, 1.0)


@pytest.mark.parametrize("n", [40, 40_000])
def test_scales_of_two_change_no_bit(n: int) -> None:
    """float32 has no squares at 2^-90; data are brought to units first."""
    points, x = torch.from_numpy(RNG.standard_normal((n, 2))), torch.ones(3, 2)
    one = KDE(points=points, bandwidth=0.3).score(x, 1.0, 0.5).double()
    for power in (-90, 60):
        s = 2.0**power
        scaled = KDE(points=points * s, bandwidth=0.3 * s).score(x.double() * s, 1.0, 0.5 * s)
        wanted = KDE(points=points, bandwidth=0.3).score(x.double(), 1.0, 0.5)
        assert torch.equal(scaled * s, wanted)
        small = KDE(points=points * s, bandwidth=0.3 * s).score(x * s, 1.0, 0.5 * s)
        assert torch.equal(small.double() * s, one)


def test_a_large_offset_costs_only_its_own_digits() -> None:
    x = states(estimate(), 1.0, 0.0)
    there = KDE(points=POINTS + 2.0**20, bandwidth=0.3, weights=WEIGHTS)
    assert differ(there.score(x + 2.0**20), estimate().score(x)) < 1e-8


def test_it_is_the_optimum_of_denoising_score_matching() -> None:
    r"""L(s) = sum_i w_i int N(z; a x_i, sigma^2) |s - (a x_i - z)/sigma^2|^2 dz, L(s + u) - L(s) =
    int q u^2 dz for every u: no change of the score lowers the loss."""
    x, w, alpha, sigma = np.array([-1.0, 0.2, 0.3, 2.0]), np.array([0.1, 0.2, 0.3, 0.4]), 0.8, 0.4
    z = np.linspace(-6.0, 6.0, 4001)
    joint = w * np.exp(-((z[:, None] - alpha * x) ** 2) / (2 * sigma**2))
    joint /= math.sqrt(2 * math.pi) * sigma
    target = (alpha * x - z[:, None]) / sigma**2
    density = KDE(points=x[:, None], bandwidth=0.0, weights=w)
    score = density.score(torch.from_numpy(z)[:, None], alpha, sigma)[:, 0].numpy()

    def loss(s: np.ndarray) -> float:
        return np.trapezoid((joint * (s[:, None] - target) ** 2).sum(1), z)

    for _ in range(20):
        u = RNG.standard_normal(len(z)) * 10.0 ** RNG.uniform(-2, 1)
        gain = np.trapezoid(joint.sum(1) * u**2, z)
        assert loss(score + u) - loss(score) == pytest.approx(gain, rel=1e-9)
        assert gain > 0.0


@FAR
def test_leaving_out_is_deletion() -> None:
    rows = torch.tensor([0, 5, 1023, 1024, N - 1])
    bandwidths = [0.001, 0.2, 1.5]
    got = estimate(labels=LABELS).leave_one_out(bandwidths, rows=rows)
    assert got.shape == (3, 5)
    for j, i in enumerate(rows.tolist()):
        rest = np.arange(N) != i
        for k, h in enumerate(bandwidths):
            other = KDE(points=POINTS[rest], bandwidth=h, weights=WEIGHTS[rest])
            wanted = other.log_prob(torch.from_numpy(POINTS[i : i + 1]))
            assert float(got[k, j]) == pytest.approx(float(wanted), rel=1e-11)
    own = estimate(0.2).leave_one_out()
    torch.testing.assert_close(own[rows], got[1], rtol=1e-12, atol=0.0)


def test_states_far_from_the_data_are_told_once() -> None:
    density = estimate()
    x = states(density, 1.0, 0.0, 64)
    density.score(x)
    density.log_prob(x)
    x[:3] += torch.tensor([[300.0], [30.0], [-60.0]])
    density.score(x, 1.0, 0.5)  # at a level the diffused law is right everywhere
    text = r"3 of 64 states lie farther than 7\.6 bandwidths \(h = 0\.3\).*farthest 17\d\d\.\d"
    with pytest.warns(FarFromDataWarning, match=text) as caught:
        density.log_prob(x)
    assert caught[0].filename == __file__
    density.score(x)
    with pytest.warns(FarFromDataWarning, match="3 of 64") as caught:
        estimate().score(x)
    assert caught[0].filename == __file__


def test_the_reach_of_a_kernel_on_the_line() -> None:
    """1 + 2 sqrt(20) + 40 = 49.94 = 7.067^2."""
    x = torch.tensor([[7.06], [-7.06]], dtype=torch.float64)
    KDE(points=[[0.0]], bandwidth=1.0).score(x)
    for ask in ("score", "log_prob"):
        with pytest.warns(FarFromDataWarning, match="2 of 2"):
            getattr(KDE(points=[[0.0]], bandwidth=1.0), ask)(x * 1.002)


def test_neighbours_are_counted() -> None:
    pair = KDE(points=[[-1.0, 0.0], [1.0, 0.0]], bandwidth=0.1, weights=[1.0, 1.0])
    x = torch.tensor([[0.0, 0.0], [1.0, 0.5], [9.0, 0.0]], dtype=torch.float64)
    distance, number = pair.neighbours(x)
    np.testing.assert_allclose(distance, [10.0, 5.0, 80.0], rtol=1e-14)
    np.testing.assert_allclose(number, [2.0, 1.0, 1.0], rtol=1e-14)
    distance, number = pair.neighbours(x, 0.0, 2.0)  # all share alike when nothing is known
    np.testing.assert_allclose(number, 2.0, rtol=1e-14)
    np.testing.assert_allclose(distance, x.norm(dim=1) / 2.0, rtol=1e-14, atol=1e-14)
    many = estimate()
    z = states(many, 0.6, 0.8)
    r = mixture().responsibilities(z, 0.6, 0.8)
    entropy = -torch.special.xlogy(r, r).sum(1)
    torch.testing.assert_close(many.neighbours(z, 0.6, 0.8)[1], entropy.exp())


@FAR  # a state of one class may be far from another
@AT
def test_classes_are_those_of_the_labelled_mixture(level) -> None:
    one, other = estimate(labels=LABELS), mixture(labels=LABELS)
    x = states(one, *level, 9)
    torch.testing.assert_close(one.class_log_prob(x, *level), other.class_log_prob(x, *level))
    of_rows = torch.tensor([0, 1, -1, 2, 1, 0, 0, 2, -1])
    mine, theirs = one.given(of_rows), other.given(of_rows)
    torch.testing.assert_close(mine.log_prob(x, *level), theirs.log_prob(x, *level))
    torch.testing.assert_close(mine.score(x, *level), theirs.score(x, *level))
    for a, b in zip(mine.posterior(x, *level), theirs.posterior(x, *level), strict=True):
        torch.testing.assert_close(a, b)
    with pytest.raises(OptionError, match="9 labels was asked about 4 rows"):
        mine.score(x[:4], *level)


def test_it_is_made_again_to_the_bit(tmp_path) -> None:
    points = torch.from_numpy(RNG.uniform(size=(20, 1, 2, 3))).float()
    for weights in (None, WEIGHTS[:20]):
        density = KDE(points=points, bandwidth=0.1, weights=weights, labels=[0, 1] * 10)
        assert density.event_shape == (1, 2, 3)
        save(tmp_path / "kde.safetensors", density)
        points_given = density.points.clone()
        for again in (type(density)(**density.arguments()), load(tmp_path / "kde.safetensors")):
            assert torch.equal(again.score(points), density.score(points))
            assert torch.equal(again.points, points_given)
            assert again.classes == 2
        moved = density.to("cpu")
        assert torch.equal(moved.class_log_prob(points), density.class_log_prob(points))


def test_a_draw_given_a_class_is_of_its_points() -> None:
    of_rows = torch.tensor([0, 1, -1, 2] * 50)
    drawn = estimate(1e-6, labels=LABELS).given(of_rows).sample(torch.arange(200), 1)
    nearest = torch.cdist(drawn, torch.from_numpy(POINTS)).argmin(1)
    found = torch.tensor(LABELS)[nearest]
    assert torch.equal(found[of_rows >= 0], of_rows[of_rows >= 0])
    assert found[of_rows < 0].unique().tolist() == [0, 1, 2]
    assert len(nearest.unique()) > 150
