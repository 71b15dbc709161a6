"""EM: what it must never do, what it must agree with, and the statistics that it rests on."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Sklearn

from scoresde.densities import GaussianMixture
from scoresde.errors import DataError, NonFiniteError, OptionError
from scoresde.estimators.mixture import EM, GMM, elbo, estimate, gather
from scoresde.estimators.mixture.statistics import log_joint_of

STRUCTURES = ("spherical", "diagonal", "tied", "full", "low-rank")
THEIRS = {"spherical": "spherical", "diagonal": "diag", "tied": "tied", "full": "full"}


def problem(seed: int, *, n: int = 150, d: int = 3, k: int = 3, offset: float = 0.0):
    """Data of k clusters of unequal shape, float64 (n, d), and their centres."""
    g = torch.Generator().manual_seed(seed)
    centres = 3.0 * torch.randn(k, d, generator=g, dtype=torch.float64) + offset
    shapes = torch.randn(k, d, d, generator=g, dtype=torch.float64)
    z = torch.randint(k, (n,), generator=g)
    noise = torch.randn(n, d, generator=g, dtype=torch.float64)
    return centres[z] + torch.einsum("nij,nj->ni", shapes[z], noise), centres


def identity(structure: str, k: int, d: int) -> torch.Tensor:
    """Unit covariances in a structure's shape."""
    eye = torch.eye(d, dtype=torch.float64)
    shapes = {"spherical": torch.ones(k), "diagonal": torch.ones(k, d), "tied": eye}
    return shapes.get(structure, eye.repeat(k, 1, 1)).to(torch.float64)


def least_gain(trace) -> float:
    return float(np.diff(trace).min())


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize(
    "update",
    [
        ("weights", "means", "covariances"),
        ("means",),
        ("covariances",),
        ("means", "weights"),
    ],
    ids="-".join,
)
def test_the_likelihood_never_falls(structure, update) -> None:
    for seed in range(3):
        x, _ = problem(seed, n=40 + 20 * seed, d=2 + seed % 3, k=2 + seed % 2)
        method = EM(update=update, max_iterations=15, tolerance=0.0)
        rank = 1 if structure == "low-rank" else 0
        model = GMM(
            k=2 + seed % 3, structure=structure, rank=rank, method=method, start="random"
        ).fit(x, seed=seed)
        if len(model.trace) > 1:  # rounding of a sum of n terms alone
            assert least_gain(model.trace) > -1e-12 * abs(model.trace[-1])


@pytest.mark.parametrize("floor_by", ["clamp", "add"])
@pytest.mark.parametrize("structure", THEIRS)
def test_equal_starts_and_iterations_give_scikit_learns_parameters(structure, floor_by) -> None:
    x, centres = problem(5, n=400)
    first, weights = identity(structure, 3, 3), np.array([0.5, 0.3, 0.2])
    add = 0.0 if floor_by == "clamp" else 1e-3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = Sklearn(
            3,
            covariance_type=THEIRS[structure],
            reg_covar=add,
            tol=0.0,
            max_iter=8,
            weights_init=weights,
            means_init=centres.numpy() + 0.5,
            precisions_init=first.numpy(),
        ).fit(x.numpy())
    start = GaussianMixture(
        means=centres + 0.5, weights=weights, covariances=first, structure=structure
    )
    method = EM(max_iterations=8, tolerance=0.0, floor_by=floor_by)
    climb = method.climb(x, start, floor=add or 1e-12)
    found = climb.mixture
    np.testing.assert_allclose(found.weights, theirs.weights_, rtol=1e-9)
    np.testing.assert_allclose(found.means, theirs.means_, rtol=1e-9)
    np.testing.assert_allclose(found.covariances, theirs.covariances_, rtol=1e-8, atol=1e-10)
    assert climb.trace[-1] == pytest.approx(theirs.score(x.numpy()), rel=1e-11)


@pytest.mark.parametrize("structure", THEIRS)
def test_criteria_are_scikit_learns(structure) -> None:
    x, _ = problem(3)
    model = GMM(k=2, structure=structure).fit(x)
    theirs = Sklearn(2, covariance_type=THEIRS[structure], max_iter=1, reg_covar=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(x.numpy())
    got = model.density
    theirs.weights_, theirs.means_ = got.weights.numpy(), got.means.numpy()
    covariances = got.covariances
    roots = (
        torch.linalg.cholesky(torch.linalg.inv(covariances))
        if structure in ("tied", "full")
        else covariances.rsqrt()
    )
    theirs.precisions_cholesky_ = roots.numpy()
    assert model.bic == pytest.approx(theirs.bic(x.numpy()), rel=1e-10)
    assert model.aic == pytest.approx(theirs.aic(x.numpy()), rel=1e-10)
    each = theirs.score_samples(x.numpy())
    facts = model.facts()
    assert facts["log_likelihood"] == pytest.approx(each.mean(), rel=1e-10)
    error = each.std(ddof=1) / len(each) ** 0.5
    assert facts["log_likelihood_error"] == pytest.approx(error, rel=1e-8)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize(("k", "apart", "offset"), [(3, 1.0, 0.0), (20, 1.0, 1e6), (20, 1e5, 0.0)])
def test_statistics_are_the_weighted_moments(structure, k, apart, offset) -> None:
    """Near each other, far from the origin, far apart: the sums about centres lose no digits."""
    x, centres = problem(1, n=300, k=k)
    x, centres = apart * x + offset, apart * centres + offset + 0.1

    def joint(rows):
        return -0.5 * (rows[:, None] - centres).square().sum(-1)

    r, gap = joint(x).softmax(-1), x[:, None] - centres
    matrices = torch.einsum("nk,nki,nkj->kij", r, gap, gap)
    variances = matrices.diagonal(dim1=1, dim2=2)
    wanted = {"spherical": variances.sum(-1), "diagonal": variances, "tied": matrices.sum(0)}.get(
        structure, matrices
    )
    found = gather(x, joint, structure, centres, entropy=True)
    scale = float(wanted.abs().max())
    torch.testing.assert_close(found.counts, r.sum(0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.squares, wanted, rtol=0.0, atol=1e-11 * scale)
    entropy = float(torch.special.entr(r).sum())
    assert found.entropy == pytest.approx(entropy, rel=1e-9, abs=1e-9)
    assert found.log_normaliser == pytest.approx(float(joint(x).logsumexp(-1).sum()), rel=1e-12)

    parts = gather(x[:100], joint, structure, centres) + gather(x[100:], joint, structure, centres)
    torch.testing.assert_close(parts.squares, found.squares, rtol=1e-10, atol=1e-11 * scale)
    assert parts.rows == 300
    assert parts.scaled(0.5).log_normaliser == pytest.approx(0.5 * found.log_normaliser)
    moved = gather(x, joint, structure, centres + 0.3).recentred(centres)
    torch.testing.assert_close(moved.squares, found.squares, rtol=1e-7, atol=1e-9 * scale)


def test_statistics_about_other_centres_do_not_add_up() -> None:
    x, centres = problem(1)
    joint = log_joint_of(GaussianMixture(means=centres, covariances=torch.ones(3)))
    a, b = (gather(x, joint, "spherical", c) for c in (centres, centres + 1.0))
    with pytest.raises(OptionError, match="recentred"):
        a + b


class Lazy:
    """Rows that come a slice at a time and never lie in memory as float64."""

    fingerprint = "lazy"

    def __init__(self, x):
        self.x, self.shape = x, x.shape

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index]

    def blocks(self):
        yield from self.x.split(37)


def test_rows_that_do_not_lie_in_memory_give_the_same_fit() -> None:
    x, _ = problem(2)
    x = x.to(torch.float32)
    whole, lazy = (GMM(k=3).fit(rows) for rows in (x, Lazy(x)))
    torch.testing.assert_close(lazy.density.means, whole.density.means, rtol=1e-9, atol=1e-9)
    assert lazy.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-11)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_fit_moves_with_the_data(structure) -> None:
    """x -> 4 x + 2^20: the log-likelihood per datum falls by d log 4, for any offset."""
    x, _ = problem(4)
    x = (x * 2**10).round() / 2**10  # so that the offset costs no digit
    rank = 1 if structure == "low-rank" else 0
    own, moved = (
        GMM(k=2, structure=structure, rank=rank, method=EM(max_iterations=15, tolerance=0.0)).fit(
            y
        )
        for y in (x, 4.0 * x + 2.0**20)
    )
    shift = np.log(4.0) * 3 * len(x)
    assert moved.log_likelihood + shift == pytest.approx(own.log_likelihood, rel=1e-9)
    torch.testing.assert_close(
        (moved.density.means - 2.0**20) / 4.0, own.density.means, rtol=1e-7, atol=1e-7
    )


def test_the_bound_is_the_likelihood_at_the_posterior_and_below_it_by_kl_elsewhere() -> None:
    x, centres = problem(6)
    mixture = GaussianMixture(means=centres, covariances=torch.ones(3), weights=[1.0, 2.0, 3.0])
    likelihood = float(mixture.log_prob(x).sum())
    r = mixture.responsibilities(x)
    assert elbo(mixture, x, r) == pytest.approx(likelihood, rel=1e-12)
    other = (0.7 * r + 0.1).clamp(min=0.0)
    gap = likelihood - elbo(mixture, x, other)
    kl = float((other * (other.log() - mixture.log_joint(x).log_softmax(-1))).sum())
    assert gap == pytest.approx(kl, rel=1e-10)
    assert gap > 1.0
    hard = torch.nn.functional.one_hot(r.argmax(-1), 3)  # zeros: 0 log 0 = 0
    assert elbo(mixture, x, hard) <= likelihood


def test_without_the_entropy_the_bound_is_strictly_lower() -> None:
    """Two equal components on top of each other: r = 1/2, and log 2 a datum is missing."""
    x = torch.linspace(-1.0, 1.0, 50, dtype=torch.float64)[:, None]
    mixture = GaussianMixture(means=torch.zeros(2, 1), covariances=torch.ones(2))
    r = mixture.responsibilities(x)
    without = elbo(mixture, x, r, entropy=False)
    assert float(mixture.log_prob(x).sum()) - without == pytest.approx(50 * np.log(2.0), rel=1e-12)


@pytest.mark.parametrize("r", [torch.ones(150, 2) / 2, torch.ones(150, 3)], ids=["shape", "sum"])
def test_responsibilities_that_are_none_are_refused(r) -> None:
    x, centres = problem(6)
    mixture = GaussianMixture(means=centres, covariances=torch.ones(3))
    with pytest.raises(DataError, match="responsibilities"):
        elbo(mixture, x, r)


def test_parts_that_are_not_updated_stay_to_the_bit() -> None:
    x, centres = problem(7)
    start = GaussianMixture(means=centres, covariances=2.0 * torch.ones(3), weights=[1, 1, 2])
    found = EM(update=("means",)).climb(x, start, floor=1e-6).mixture
    assert torch.equal(found.covariances, start.covariances)
    assert torch.equal(found.weights, start.weights)
    assert not torch.equal(found.means, start.means)


def test_the_clamped_update_is_the_best_covariance_above_the_floor() -> None:
    """-n/2 (log det C + tr(C^-1 S)) over C with eigenvalues >= floor, against many others."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(60, 3, generator=g, dtype=torch.float64) * torch.tensor([1.0, 0.3, 0.01])
    x = x @ torch.linalg.qr(torch.randn(3, 3, generator=g, dtype=torch.float64))[0]
    one = gather(x, lambda rows: rows.new_zeros(len(rows), 1), "full", x.mean(0)[None])
    best = estimate(one, 0.02, "full")["covariances"][0]
    assert float(torch.linalg.eigvalsh(best)[0]) == pytest.approx(0.02, rel=1e-10)
    scatter = one.squares[0] / 60

    def value(c):
        return -float(torch.logdet(c) + torch.trace(torch.linalg.solve(c, scatter)))

    for _ in range(200):
        root = torch.linalg.cholesky(best) + 0.05 * torch.randn(3, 3, generator=g).double()
        values, axes = torch.linalg.eigh(root @ root.mT)
        other = (axes * values.clamp(min=0.02)) @ axes.mT
        assert value(other) <= value(best) + 1e-12


def test_the_best_restart_is_kept_and_a_seed_gives_one_fit() -> None:
    x, _ = problem(9, k=6, n=200)
    recipe = GMM(k=5, start="random", restarts=4, method=EM(max_iterations=20))
    a, b, c = (recipe.fit(x, seed=seed) for seed in (3, 3, 4))
    assert len(set(a.objectives)) == 4
    assert a.trace[-1] == max(a.objectives)
    assert torch.equal(a.density.means, b.density.means)
    assert a.objectives == b.objectives != c.objectives


def test_a_likelihood_that_leaves_the_finite_numbers_is_told() -> None:
    start = GaussianMixture(means=torch.zeros(1, 1), covariances=[1e-300])
    x = torch.full((3, 1), 1e10, dtype=torch.float64)
    with pytest.raises(NonFiniteError, match="iteration 0"):
        EM().climb(x, start, floor=1e-300)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: EM(update=()), "update"),
        (lambda: EM(update=("mean",)), "update"),
        (lambda: EM(floor_by="ridge"), "floor_by"),
        (lambda: EM(tolerance=-1.0), "tolerance"),
        (lambda: EM(max_iterations=0), "max_iterations"),
    ],
)
def test_options_out_of_range_are_told(make, said) -> None:
    with pytest.raises(OptionError, match=said):
        make()
