"""lincomb: the sum, its dtype, and its inputs left alone."""

import numpy as np
import pytest
import torch

from scoresde.kernels import lincomb

SHAPES = [(1,), (7, 3), (5, 1, 8, 8), (33, 17)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "eps"), [(torch.float64, 2.3e-16), (torch.float32, 1.2e-7)])
@pytest.mark.parametrize("terms", [1, 2, 5])
@pytest.mark.parametrize("kind", ["float", "sample", "elementwise", "mixed"])
def test_it_is_the_sum(shape, dtype, eps, terms, kind) -> None:
    rng = np.random.default_rng(3)
    xs = [rng.standard_normal(shape) for _ in range(terms)]
    sizes = {"float": (), "sample": (shape[0], *[1] * (len(shape) - 1)), "elementwise": shape}
    kinds = [kind if kind != "mixed" else list(sizes)[(i + 1) % 3] for i in range(terms)]
    cs = [rng.standard_normal(sizes[k]) for k in kinds]
    tensors = [torch.from_numpy(x).to(dtype) for x in xs]
    coefficients = [
        float(c) if k == "float" else torch.from_numpy(c) for c, k in zip(cs, kinds, strict=True)
    ]
    before = [t.clone() for t in tensors]
    coefficients_before = [c if isinstance(c, float) else c.clone() for c in coefficients]
    out = lincomb(coefficients, tensors)
    exact = sum(c * x for c, x in zip(cs, xs, strict=True))
    bound = 3 * terms * eps * sum(np.abs(c * x) for c, x in zip(cs, xs, strict=True))
    assert out.shape == torch.Size(shape)
    assert out.dtype == dtype
    assert bool((np.abs(out.double().numpy() - exact) <= bound).all())
    for now, then in zip(tensors, before, strict=True):
        assert torch.equal(now, then)
        assert now.data_ptr() != out.data_ptr()
    for now, then in zip(coefficients, coefficients_before, strict=True):
        assert now == then if isinstance(now, float) else torch.equal(now, then)


def test_an_unequal_number_of_terms_is_refused() -> None:
    with pytest.raises(ValueError, match="argument"):
        lincomb([1.0], [torch.zeros(1), torch.zeros(1)])
