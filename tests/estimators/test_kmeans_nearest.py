"""The nearest centre: exact where float32 cannot tell, and spared where leads do."""

import numpy as np
import pytest
import torch

from scoresde.estimators import KMeans
from scoresde.estimators.kmeans import centred, lloyd, nearest
from scoresde.estimators.kmeans.centred import Centred, Frame

RNG = np.random.default_rng(11)
X = torch.from_numpy(
    RNG.normal(size=(600, 5)) + 3.0 * RNG.normal(size=(6, 5))[RNG.integers(6, size=600)]
)


def brute(x: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Squared distances by differences, (n, k)."""
    return (x.double().flatten(1)[:, None] - centres).square().sum(-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_assignment_is_exact_where_float32_cannot_tell(dtype) -> None:
    """Rows within 1e-9 of the mid-plane of two centres, far below float32's 1e-7."""
    centres = torch.tensor([[-1.0, 0.3, 5.0], [1.0, 0.3, 5.0], [0.0, 90.0, 0.0]]).double()
    side = torch.from_numpy(RNG.choice([-1e-9, 1e-9], 2000))
    x = torch.from_numpy(RNG.normal(size=(2000, 3)))
    x[:, 0], x[:, 2] = side, x[:, 2] + 5.0
    labels = nearest.nearest_of(x.to(dtype), centres, (3,))
    assert torch.equal(labels, (side > 0).long())


def test_products_of_less_than_float32_are_not_trusted() -> None:
    torch.set_float32_matmul_precision("medium")
    try:
        assert centred.screening_dtype() == torch.float64
        model = KMeans(k=6, restarts=1).fit(X.float())
        assert torch.equal(model.predict(X), brute(X, model.centres).argmin(1))
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_precision_that_torch_tells_by_backend_alone_is_not_trusted(monkeypatch) -> None:
    def told():
        raise RuntimeError("the precision was set by backend")

    monkeypatch.setattr(torch, "get_float32_matmul_precision", told)
    assert centred.screening_dtype() == torch.float64
    model = KMeans(k=6, restarts=1).fit(X.float().requires_grad_())
    assert torch.equal(model.predict(X), brute(X, model.centres).argmin(1))


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_leads_spare_comparisons_but_change_no_bit(monkeypatch, scale) -> None:
    x = torch.from_numpy(RNG.normal(size=(900, 4))) * scale
    fits = [KMeans(k=9, restarts=2, tolerance=0.0).fit(x)]
    for settled in (0.0, 2.0):  # leads never kept; from the first assignment on
        monkeypatch.setattr(lloyd, "SETTLED", settled)
        monkeypatch.setattr(lloyd, "WORTH", 1.0)
        fits.append(KMeans(k=9, restarts=2, tolerance=0.0).fit(x))
    for fit in fits[1:]:
        assert torch.equal(fits[0].centres, fit.centres)
        assert fits[0].trace == fit.trace
    assert fits[0].iterations > 10
    data = Centred(x, Frame.around(x))
    centres = data.frame(fits[0].centres)
    labels = brute(data.rows(slice(None)), centres).argmin(1)
    _, y, norms = next(iter(data.screening()))
    found, leads = nearest.Nearest(centres).screened(y, norms, data.rows)
    assert torch.equal(found, labels)
    told = leads.double()
    near, second = brute(data.rows(slice(None)), centres).sqrt().topk(2, largest=False).values.T
    assert bool((told <= second - near).all())
    assert float((second - near - told).max()) < 2e-3 * scale


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("far", [0.0, 6.0, 1000.0])
def test_of_equally_near_centres_of_a_lattice_the_first_is_taken(far, dtype) -> None:
    """The mean of such data, about which they are screened, is no finite binary fraction."""
    ties = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = torch.from_numpy(rng.integers(0, 9, (300, 2)) + far).to(dtype)
        centres = x[torch.from_numpy(rng.choice(300, 7, replace=False))].double()
        squares = brute(x, centres)
        labels = squares.argmin(1)
        ties += int((squares == squares.amin(1, keepdim=True)).sum()) - 300
        assert torch.equal(nearest.nearest_of(x, centres, (2,)), labels)
        counts = torch.bincount(labels, minlength=7)
        if bool((counts > 0).all()):
            model = KMeans(k=7, max_iterations=1).fit(x, start=centres)
            sums = torch.zeros(7, 2).double().index_add_(0, labels, x.double())
            torch.testing.assert_close(model.centres, sums / counts[:, None], rtol=0, atol=1e-12)
    assert ties > 500
