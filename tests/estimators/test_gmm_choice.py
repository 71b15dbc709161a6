"""The choice of k: three clusters are found, each criterion is its formula, folds keep apart."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture as Theirs

from scoresde.densities import Gaussian
from scoresde.errors import CapabilityError, DataError, OptionError
from scoresde.estimators.base import Estimator, Fitted
from scoresde.estimators.mixture.choose import choose
from scoresde.estimators.mixture.gmm import GMM


def clusters(n=150, d=2):
    rng = np.random.default_rng(4)
    corners = 9.0 * np.eye(3, d)
    return torch.from_numpy(corners[np.arange(n) % 3] + rng.standard_normal((n, d)))


class Table(Gaussian):
    """A density that gives each datum a number of the test's choosing."""

    def __init__(self, values):
        super().__init__(mean=[0.0], covariance=[[1.0]])
        self.values = values

    def log_prob(self, x, alpha=1.0, sigma=0.0):
        return self.values(x[:, 0])


@dataclass(frozen=True, kw_only=True, eq=False)
class Known(Fitted):
    density: Table
    parameters: int = 0


@dataclass(frozen=True, kw_only=True)
class Knower(Estimator):
    """Fits nothing: `law(k, rows)` says what each datum x then gets."""

    model = Known
    law: object
    k: int = 1

    def fit(self, x, *, seed=0, on_iteration=None):
        return Known(event_shape=(1,), density=Table(self.law(self.k, x[:, 0])), parameters=self.k)


@pytest.mark.parametrize("criterion", ["bic", "aic", "held-out"])
def test_three_clusters_are_found(criterion):
    x = clusters()
    choice = choose(
        GMM(k=1, structure="spherical"), x, ks=range(1, 5), criterion=criterion, folds=3
    )
    assert choice.k == 3
    assert choice.model.density.means.shape == (3, 2)
    assert [row.k for row in choice.table] == [1, 2, 3, 4]
    assert all(row.gap > 4.0 * row.gap_error for row in choice.table[:2])
    assert choice.table[2].gap == choice.table[2].gap_error == 0.0


@pytest.mark.parametrize(("structure", "name"), [
    ("spherical", "spherical"), ("diagonal", "diag"), ("tied", "tied"), ("full", "full"),
])  # fmt: skip
def test_bic_and_aic_are_scikit_learns_of_the_same_mixture(structure, name):
    x = clusters(n=60)
    for criterion in ("bic", "aic"):
        choice = choose(GMM(k=1, structure=structure), x, ks=[2], criterion=criterion)
        own = choice.model.density
        theirs = Theirs(2, covariance_type=name)
        theirs.weights_, theirs.means_ = own.weights.numpy(), own.means.numpy()
        theirs.covariances_ = np.asarray(own.arguments()["covariances"])
        if structure in ("tied", "full"):
            factors = np.linalg.inv(np.linalg.cholesky(theirs.covariances_))
            theirs.precisions_cholesky_ = np.swapaxes(factors, -1, -2)
        else:
            theirs.precisions_cholesky_ = theirs.covariances_**-0.5
        expected = getattr(theirs, criterion)(x.numpy())
        assert choice.table[0].value == pytest.approx(expected, rel=1e-12)
        assert choice.table[0].value == pytest.approx(getattr(choice.model, criterion), rel=1e-12)


def test_no_datum_is_scored_by_a_fit_that_saw_it():
    x = torch.arange(37.0)[:, None]
    fitted = []

    def law(k, rows):
        fitted.append(rows)
        return lambda own: 1000.0 * torch.isin(own, rows.to(own.dtype)) + own

    for folds in (2, 5, 37):
        fitted.clear()
        choice = choose(Knower(law=law), x, ks=[1], criterion="held-out", folds=folds)
        assert choice.table[0].value == pytest.approx(18.0)  # the mean of 0..36: 1000 never added
        assert len(fitted) == folds + 1  # and the model of all data
        assert torch.cat(fitted[:-1]).unique(return_counts=True)[1].tolist() == [folds - 1] * 37
    other = choose(Knower(law=law), x, ks=[1], criterion="held-out", folds=5, seed=1)
    assert other.table[0].value == pytest.approx(18.0)


def test_errors_are_paired_and_one_of_them_buys_a_smaller_k():
    rng = np.random.default_rng(0)
    x = torch.arange(50.0)[:, None]
    values = torch.from_numpy(rng.standard_normal((4, 50)) * 0.1 + 5.0 * rng.standard_normal(50))
    values += torch.tensor([[0.0], [0.99], [1.0], [1.0]])

    def law(k, rows):
        return lambda own: values[k - 1, own.long()]

    options = {"ks": [1, 2, 3, 4], "criterion": "held-out"}
    choice = choose(Knower(law=law), x, **options)
    means = values.mean(1)
    best = int(means.argmax())
    assert choice.k == best + 1
    for row in choice.table:
        own = values[row.k - 1].numpy()
        gaps = values[best].numpy() - own
        assert row.value == pytest.approx(own.mean())
        assert row.standard_error == pytest.approx(own.std(ddof=1) / np.sqrt(50))
        assert row.gap == pytest.approx(gaps.mean(), abs=1e-12)
        assert row.gap_error == pytest.approx(gaps.std(ddof=1) / np.sqrt(50))
    near = [r.k for r in choice.table if r.gap <= r.gap_error]
    assert min(near) == 2 < choice.k  # 1 is 1.0 behind, errors of values are near 0.7
    assert choose(Knower(law=law), x, one_standard_error=True, **options).k == 2


def test_bic_charges_log_n_and_aic_two_a_parameter():
    x = torch.arange(50.0)[:, None]

    def law(k, rows):
        return lambda own: torch.full((len(own),), 0.03 * k, dtype=torch.float64)

    for criterion, price in (("bic", np.log(50)), ("aic", 2.0)):
        table = choose(Knower(law=law), x, ks=[1, 4], criterion=criterion).table
        assert [row.value for row in table] == pytest.approx([price - 3.0, 4 * price - 12.0])


def test_candidates_are_told_and_the_choice_is_by_data_and_seed():
    x, told = clusters(60), []
    own = {"ks": [1, 3], "criterion": "held-out", "folds": 3}
    choice = choose(GMM(k=1), x, on_candidate=told.append, **own)
    assert [(c.k, c.value) for c in told] == [(c.k, c.value) for c in choice.table]
    assert choice.table == choose(GMM(k=9), x, **own).table
    as_image = choose(GMM(k=1), x.float().reshape(-1, 1, 1, 2), ks=[3])
    assert as_image.model.density.event_shape == (1, 1, 2)
    assert as_image.table[0].value == pytest.approx(choose(GMM(k=1), x, ks=[3]).table[0].value)


@pytest.mark.parametrize(("options", "error", "words"), [
    ({"criterion": "dic"}, OptionError, "one of bic, aic, held-out, got 'dic'"),
    ({"ks": []}, OptionError, "ks are whole numbers"),
    ({"ks": [0, 1]}, OptionError, "ks are whole numbers"),
    ({"ks": [1.5]}, OptionError, "ks are whole numbers"),
    ({"folds": 1}, OptionError, "folds is a whole number >= 2"),
    ({"ks": [13]}, DataError, "k = 13 components need as many data"),
    ({"ks": [11], "criterion": "held-out", "folds": 6}, DataError, "10 of 12 are there beside"),
    ({"criterion": "held-out", "folds": 13}, DataError, "at least 13 data, got 12"),
])  # fmt: skip
def test_slips_are_told(options, error, words):
    with pytest.raises(error, match=words):
        choose(GMM(k=1), clusters(12), **{"ks": [1], **options})


def test_models_without_a_count_and_estimators_without_k_are_told():
    @dataclass(frozen=True, kw_only=True, eq=False)
    class Bare(Fitted):
        density: Table

    @dataclass(frozen=True, kw_only=True)
    class Maker(Estimator):
        model = Bare
        k: int = 1

        def fit(self, x, *, seed=0, on_iteration=None):
            return Bare(event_shape=(1,), density=Table(lambda own: own))

    @dataclass(frozen=True, kw_only=True)
    class Fixed(Estimator):
        model = Bare
        fit = None

    x = torch.arange(5.0)[:, None]
    with pytest.raises(CapabilityError, match="Bare does not count its parameters, as bic needs"):
        choose(Maker(), x, ks=[1])
    with pytest.raises(OptionError, match="no option k"):
        choose(Fixed(), x, ks=[1])
    with pytest.raises(DataError, match="NaN"):
        choose(Knower(law=lambda k, rows: lambda own: own * torch.nan), x, ks=[1])


def test_a_datum_without_likelihood_never_wins():
    def law(k, rows):
        return lambda own: torch.where((own == 3.0) & (k == 1), -torch.inf, 0.1 * own).double()

    for one in (False, True):
        choice = choose(
            Knower(law=law), torch.arange(8.0)[:, None], ks=np.arange(1, 3),
            criterion="held-out", one_standard_error=one,
        )  # fmt: skip
        assert choice.k == 2
        assert choice.table[0].value == -np.inf
